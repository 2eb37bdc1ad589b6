package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer is a PgBouncer in front of all databases of a cluster.
type Bouncer struct {
	at url.URL // without a database
	*folder
}

// PgBouncer returns a PgBouncer that pools by mode, such as "transaction": that
// of MQ_TEST_PGBOUNCER if it does, else one of the test's own. The settings are
// further lines of its configuration.
func PgBouncer(tb testing.TB, c *Cluster, mode string, settings ...string) *Bouncer {
	tb.Helper()
	if b := sharedBouncer(c, mode); b != nil && len(settings) == 0 {
		return b
	}
	return ownBouncer(tb, c, mode, settings...)
}

// PreparingPgBouncer is PgBouncer in transaction mode for one that keeps
// prepared statements. It skips the test if there is none: that takes 1.21.
func PreparingPgBouncer(tb testing.TB, c *Cluster, settings ...string) *Bouncer {
	tb.Helper()
	program, err := bouncerProgram()
	if err == nil {
		if v := bouncerVersion(program); slices.Compare(v, []int{1, 21}) < 0 {
			tb.Skipf("%s is PgBouncer %v, and max_prepared_statements takes 1.21 (MQ_TEST_PGBOUNCER_PROGRAM names another)", program, v)
		}
	}
	return ownBouncer(tb, c, "transaction", append(settings, "max_prepared_statements = 200")...)
}

// bouncerVersion returns major and minor, or nil.
func bouncerVersion(program string) []int {
	out, _ := exec.Command(program, "--version").Output()
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor); err != nil {
		return nil
	}
	return []int{major, minor}
}

// ownBouncer starts a PgBouncer for a test.
func ownBouncer(tb testing.TB, c *Cluster, mode string, settings ...string) *Bouncer {
	tb.Helper()
	b, err := StartPgBouncer(c, mode, settings...)
	if errors.Is(err, exec.ErrNotFound) {
		missing(tb, "pgbouncer", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// sharedBouncer returns the one of MQ_TEST_PGBOUNCER, or nil if that cannot
// serve.
func sharedBouncer(c *Cluster, mode string) *Bouncer {
	at, err := url.Parse(os.Getenv("MQ_TEST_PGBOUNCER"))
	if err != nil || at.Host == "" || c.host != nil || mode != "transaction" {
		return nil
	}
	return &Bouncer{at: *at}
}

// StartPgBouncer starts a PgBouncer until Close. The settings are further lines
// of its configuration.
func StartPgBouncer(c *Cluster, mode string, settings ...string) (*Bouncer, error) {
	program, err := bouncerProgram()
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("pgbouncer")
	if err != nil {
		return nil, err
	}
	b := &Bouncer{folder: folder}
	if err := b.start(program, c, mode, settings); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close stops what StartPgBouncer has started.
func (b *Bouncer) Close() error { return b.remove() }

// bouncerProgram returns that of MQ_TEST_PGBOUNCER_PROGRAM, or the one of this
// machine.
func bouncerProgram() (program string, err error) {
	if program = os.Getenv("MQ_TEST_PGBOUNCER_PROGRAM"); program != "" {
		return exec.LookPath(program)
	}
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if program, err = exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("no PgBouncer: %w: install pgbouncer", exec.ErrNotFound)
}

// bouncerConfig is all that differs from the defaults.
const bouncerConfig = `[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = users
pool_mode = %s
max_client_conn = 1000
server_tls_sslmode = prefer
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
`

func (b *Bouncer) start(program string, c *Cluster, mode string, settings []string) error {
	to, err := pgx.ParseConfig(c.dsn.String())
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	// Clients and PgBouncer itself log in with the same password. A server
	// that asks for none does not mind.
	password := cmp.Or(to.Password, secret())
	b.at = url.URL{Scheme: "postgres", User: url.UserPassword(to.User, password), Host: "127.0.0.1:" + port}
	err = errors.Join(
		b.write("pgbouncer.ini", fmt.Sprintf(bouncerConfig, to.Host, to.Port, port, mode)+strings.Join(settings, "\n")),
		b.write("users", quoted(to.User)+" "+quoted(password)+"\n"),
	)
	if err != nil {
		return err
	}
	if err := b.serve(program, "pgbouncer.ini"); err != nil {
		return err
	}
	return b.await(c.dsn.String())
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// await returns when a session gets through to a database.
func (b *Bouncer) await(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, b.DSN(dsn))
		if err == nil {
			return conn.Close(ctx)
		}
		if dead := b.dead(); dead != nil || ctx.Err() != nil {
			return errors.Join(err, dead)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// DSN returns the way to the database of a DSN of the cluster.
func (b *Bouncer) DSN(dsn string) string {
	to, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	u, query := b.at, to.Query()
	query.Set("sslmode", "disable")
	u.Path, u.RawQuery = to.Path, query.Encode()
	return u.String()
}
