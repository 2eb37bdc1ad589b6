package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

// secured is a server that takes two roles by TLS only, one of them only with a client
// certificate of its name.
type secured struct {
	*base
	ca                 *server.Authority
	anybody, certified *url.Userinfo
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	t.Parallel()
	own := server.OwnPostgres(t)
	s := &secured{ca: server.NewAuthority(t), anybody: own.Role(t), certified: own.Role(t)}
	s.base = newBaseOn(t, own)
	s.queue(s.client(), "jobs")
	for _, who := range []**url.Userinfo{&s.anybody, &s.certified} {
		name := (*who).Username()
		s.execf("ALTER ROLE %s PASSWORD '%s'", name, canary)
		s.execf("GRANT USAGE ON SCHEMA pgmq TO %s; GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO %[1]s", name)
		*who = url.UserPassword(name, canary)
	}
	s.serveTLS()
	return s
}

// serveTLS sets the server up, and back when the test is over: by SQL, since it may run
// in a container.
func (s *secured) serveTLS() {
	s.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		s.ok(err)
		return string(text)
	}
	cert := s.ca.Issue("localhost", 0)
	hba := value[string](s.base, "SELECT pg_read_file('pg_hba.conf')")
	configure := func(ssl, file, rules string) {
		s.server.WriteFile(s, "pg_hba.conf", rules+hba)
		s.server.Exec(s, "ALTER SYSTEM SET ssl = "+ssl)
		s.server.Exec(s, "ALTER SYSTEM SET ssl_ca_file = '"+file+"'")
		s.server.Exec(s, "SELECT pg_reload_conf()")
	}
	s.server.WriteFile(s, "server.crt", read(cert.CertFile))
	s.server.WriteFile(s, "server.key", read(cert.KeyFile))
	s.server.WriteFile(s, "test-ca.crt", read(s.ca.File()))
	s.Cleanup(func() { configure("off", "", "") })
	a, b := s.anybody.Username(), s.certified.Username()
	configure("on", "test-ca.crt", fmt.Sprintf(`hostssl all %s all scram-sha-256
hostssl all %s all scram-sha-256 clientcert=verify-full
host all %[1]s,%[2]s all reject
`, a, b))
	s.eventually("the server wants certificates", func() bool {
		err := s.pool("pgx", s.dsnOf(s.certified, "sslmode=require")).PingContext(s.Context())
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
}

// dsnOf returns the DSN of a role with these parameters only.
func (s *secured) dsnOf(who *url.Userinfo, params ...string) string {
	u, err := url.Parse(as(s.dsn, who))
	s.ok(err)
	u.Host = "localhost:" + u.Port()
	u.RawQuery = strings.Join(append(params, "connect_timeout=60"), "&")
	return u.String()
}

func trusting(ca *server.Authority) string { return "sslmode=verify-full&sslrootcert=" + ca.File() }

func showing(c *server.Certificate) string { return "sslcert=" + c.CertFile + "&sslkey=" + c.KeyFile }

// ways are the ways to the server: both libraries, and a pool of the caller's own.
var ways = map[string]func(b *base, dsn string) *mq.Client{
	"pgx": func(b *base, dsn string) *mq.Client { return b.open(dsn) },
	"pq":  func(b *base, dsn string) *mq.Client { return b.open(with(dsn, "driver=pq")) },
	"FromPool": func(b *base, dsn string) *mq.Client {
		pool, err := pgxpool.New(context.WithoutCancel(b.Context()), dsn)
		b.ok(err)
		b.Cleanup(pool.Close)
		c := mq.New(pgmq.FromPool(pool, pgmq.Config{Logger: b.config().Logger}), b.config())
		b.closing(c)
		return c
	},
}

// TestTLS: all connections are encrypted and verified, the one that listens as well.
// Whatever is wrong with a certificate is told at the first call, and no secret.
func TestTLS(t *testing.T) {
	s := newSecured(t)
	other := server.NewAuthority(t)
	full := trusting(s.ca)
	mine := s.ca.Issue(s.certified.Username(), 0)
	strangersCert := other.Issue(s.certified.Username(), 0)
	notMine := s.ca.Issue("somebody", 0)
	_, expired, _ := net.SplitHostPort(server.Stranger(t, greets(server.Shows(t, s.ca.Issue("localhost", time.Hour)))))
	for way, open := range ways {
		for name, dsn := range map[string]string{
			"verify-full": s.dsnOf(s.anybody, full),
			"mutual":      s.dsnOf(s.certified, full, showing(mine)),
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				b := s.of(t)
				q := open(b, dsn).Queue("jobs")
				got := b.waiting(q)
				b.listens(1)
				b.post(q, 1)
				arrives(b, got)
				if n := b.sessions("usename LIKE 'mqtest%' AND pid NOT IN (SELECT pid FROM pg_stat_ssl WHERE ssl)"); n > 0 {
					t.Errorf("%d sessions have no TLS", n)
				}
			})
		}
		for _, trouble := range []struct {
			name, dsn, says string
			passes          bool // it may be mended at the server's side
		}{
			{"authority", s.dsnOf(s.anybody, trusting(other)), "unknown authority", true},
			{"host", strings.Replace(s.dsnOf(s.anybody, full), "localhost", "127.0.0.1", 1), "certificate for 127.0.0.1", true},
			{"expired", strings.Replace(s.dsnOf(s.anybody, full), portOf(s.dsn), expired, 1), "expired", true},
			{"no certificate", s.dsnOf(s.certified, full), "requires a valid client certificate", false},
			{"certificate of another authority", s.dsnOf(s.certified, full, showing(strangersCert)), "certificate", true},
			{"certificate of another role", s.dsnOf(s.certified, full, showing(notMine)), "authentication failed", false},
			{"plaintext", s.dsnOf(s.anybody, "sslmode=disable"), "no encryption", false},
		} {
			t.Run(way+"/"+trouble.name, func(t *testing.T) {
				c := open(s.of(t), trouble.dsn)
				for _, err := range []error{c.Ping(t.Context()), run("send")(t.Context(), s.of(t), c.Queue("jobs"))} {
					if err == nil || !strings.Contains(err.Error(), trouble.says) || errors.Is(err, mq.ErrBadConn) != trouble.passes || errors.Is(err, mq.ErrUnavailable) {
						t.Errorf("%v, want it to say %q and to be ErrBadConn: %v", err, trouble.says, trouble.passes)
					}
				}
			})
		}
	}
}

// TestTLSFromServer: a server without TLS, or that does not answer, does not get the
// password, and keeps nobody waiting.
func TestTLSFromServer(t *testing.T) {
	b := newBase(t)
	ca := server.NewAuthority(t)
	for name, serve := range map[string]func(net.Conn){
		"refuses":               func(c net.Conn) { _ = ask(c, "N"); server.Silent(c) },
		"silent":                server.Silent,
		"silent in a handshake": greets(server.Silent),
	} {
		for way, open := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				b := b.of(t)
				at := server.Stranger(t, serve)
				dsn := "postgres://app:" + canary + "@" + at + "/shop?connect_timeout=1&" + trusting(ca)
				start := time.Now()
				err := open(b, dsn).Ping(t.Context())
				if b.is(err, mq.ErrBadConn, "Ping"); time.Since(start) > 20*time.Second {
					t.Errorf("it took %v", time.Since(start))
				}
			})
		}
	}
}

// greets agrees to TLS, and goes on with what follows.
func greets(then func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if ask(c, "S") == nil {
			then(c)
		}
	}
}

// ask answers a client that asks for TLS.
func ask(c net.Conn, answer string) error {
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		return err
	}
	_, err := io.WriteString(c, answer)
	return err
}

func portOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	return u.Port()
}
