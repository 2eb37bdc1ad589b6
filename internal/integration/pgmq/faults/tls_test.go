package faults

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// TestTLS: both sides prove who they are with certificates, on all connections. Whoever
// cannot is refused, soon, by an error that says why.
func TestTLS(t *testing.T) {
	c := server.OwnPostgres(t)
	ours, others := server.NewAuthority(t), server.NewAuthority(t)
	user := c.Role(t)
	dsn := checks.Must(url.Parse(c.Database(t)))(t)
	database := strings.TrimPrefix(dsn.Path, "/")
	c.Exec(t, "GRANT CREATE ON DATABASE "+database+" TO "+user.Username())
	t.Cleanup(func() { c.Exec(t, "REVOKE CREATE ON DATABASE "+database+" FROM "+user.Username()) })
	serve := demandTLS(t, c, user.Username(), ours)
	serve(ours.Issue("localhost", 0))

	client := ours.Issue(user.Username(), 0)
	through := func(host string, set map[string]string) string {
		u := url.URL{Scheme: "pgmq", User: user, Host: host + ":" + dsn.Port(), Path: dsn.Path}
		q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ours.File()}, "sslcert": {client.CertFile}, "sslkey": {client.KeyFile}}
		for name, value := range set {
			if q.Set(name, value); value == "" {
				q.Del(name)
			}
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	ways := map[string]func(*testing.T, string) *mq.Client{
		"pgx":      func(t *testing.T, dsn string) *mq.Client { return openTLS(t, dsn+"&driver=pgx") },
		"pq":       func(t *testing.T, dsn string) *mq.Client { return openTLS(t, dsn+"&driver=pq") },
		"FromPool": pooledTLS,
	}
	for name, open := range ways {
		t.Run(name, func(t *testing.T) {
			q := checks.Must(open(t, through("localhost", nil)).EnsureQueue(t.Context(), "jobs", mq.QueueOptions{}))(t)
			got := make(chan int, 1)
			go func() { // which listens
				ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Wait: mq.Forever})
				if err == nil {
					err = ds[0].Ack(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
				got <- len(ds)
			}()
			const sessions = "SELECT count(*), count(*) FILTER (WHERE ssl AND client_dn = '/CN=' || usename) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1"
			db := checks.DB(t, "pgx", dsn.String())
			checks.Eventually(t, "several sessions, all with certificates", func() bool {
				var all, secure int
				checks.OK(t, db.QueryRowContext(t.Context(), sessions, user.Username()).Scan(&all, &secure))
				return all > 1 && secure == all
			})
			checks.Must(q.Send(t.Context(), &mq.Message{Body: []byte("secret")}))(t)
			<-got

			for what, tt := range map[string]struct {
				host, want string
				set        map[string]string
			}{
				"another authority":     {"localhost", "certificate|unknown authority", map[string]string{"sslrootcert": others.File()}},
				"another host":          {"127.0.0.1", "certificate", nil},
				"no certificate":        {"localhost", "certificate", map[string]string{"sslcert": "", "sslkey": ""}},
				"another's certificate": {"localhost", "certificate|authentication", named(others.Issue(user.Username(), 0))},
				"another name":          {"localhost", "certificate|authentication", named(ours.Issue("somebody", 0))},
				"no TLS":                {"localhost", "pg_hba", map[string]string{"sslmode": "disable", "sslrootcert": "", "sslcert": "", "sslkey": ""}},
			} {
				refusedTLS(t, what, tt.want, user, func() *mq.Client { return open(t, through(tt.host, tt.set)) })
			}
		})
	}
	serve(ours.Issue("localhost", time.Hour))
	for name, open := range ways {
		refusedTLS(t, name+", an old certificate", "expired|certificate", user, func() *mq.Client { return open(t, through("localhost", nil)) })
	}
}

func named(c *server.Certificate) map[string]string {
	return map[string]string{"sslcert": c.CertFile, "sslkey": c.KeyFile}
}

// demandTLS makes the server demand TLS and a certificate of a user. It returns a function
// that gives the server a certificate of its own.
func demandTLS(t *testing.T, c *server.Cluster, user string, ca *server.Authority) (serve func(*server.Certificate)) {
	t.Helper()
	db := checks.DB(t, "pgx", c.DSN("postgres"))
	rules := checks.Value[string](t, db, "SELECT pg_read_file(current_setting('hba_file'))")
	file := checks.Value[string](t, db, "SELECT current_setting('hba_file')")
	reload := func() { c.Exec(t, "SELECT pg_reload_conf()") }
	t.Cleanup(func() {
		for _, name := range []string{"ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file"} {
			c.Exec(t, "ALTER SYSTEM RESET "+name)
		}
		c.WriteFile(t, file, rules)
		reload()
	})
	read := func(path string) string { return string(checks.Must(os.ReadFile(path))(t)) }
	c.WriteFile(t, "test-ca.crt", read(ca.File()))
	c.WriteFile(t, file, "hostssl all "+user+" all scram-sha-256 clientcert=verify-full\nhost all "+user+" all reject\n"+rules)
	return func(own *server.Certificate) {
		c.WriteFile(t, "test.crt", read(own.CertFile))
		c.WriteFile(t, "test.key", read(own.KeyFile))
		for name, value := range map[string]string{"ssl_cert_file": "test.crt", "ssl_key_file": "test.key", "ssl_ca_file": "test-ca.crt", "ssl": "on"} {
			c.Exec(t, "ALTER SYSTEM SET "+name+" = '"+value+"'")
		}
		reload()
	}
}

func openTLS(t *testing.T, dsn string) *mq.Client {
	t.Helper()
	c := checks.Must(mq.OpenConfig(dsn, checks.Quiet))(t)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func pooledTLS(t *testing.T, dsn string) *mq.Client {
	t.Helper()
	cfg := checks.Must(pgxpool.ParseConfig("postgres" + strings.TrimPrefix(dsn, "pgmq")))(t)
	pool := checks.Must(pgxpool.NewWithConfig(t.Context(), cfg))(t)
	t.Cleanup(pool.Close)
	c := mq.New(pgmq.FromPool(pool, pgmq.Config{Logger: checks.Quiet.Logger}), checks.Quiet)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// refusedTLS checks that a client cannot reach the server.
func refusedTLS(t *testing.T, what, want string, user *url.Userinfo, open func() *mq.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), checks.Patience)
	defer cancel()
	err := open().Ping(ctx)
	for ; err == nil && ctx.Err() == nil; err = open().Ping(ctx) { // the server has not read its new settings
		time.Sleep(50 * time.Millisecond)
	}
	password, _ := user.Password()
	switch {
	case err == nil || ctx.Err() != nil:
		t.Errorf("%s: %v", what, err)
	case strings.Contains(err.Error(), password):
		t.Errorf("%s: the error tells the password", what)
	default:
		for part := range strings.SplitSeq(want, "|") {
			if strings.Contains(err.Error(), part) {
				return
			}
		}
		t.Errorf("%s: %v, want something of %s", what, err, want)
	}
}
