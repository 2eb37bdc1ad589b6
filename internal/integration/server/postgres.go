package server

import (
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the administrator's driver
)

// Cluster is a PostgreSQL server.
type Cluster struct {
	dsn   *url.URL // of the administrator
	admin *sql.DB
	about string
	host  host       // nil if the server is not ours
	lent  sync.Mutex // held by the test that may stop the server

	mu    sync.Mutex
	spare []string // databases that are empty
}

// host runs a server that is ours, always at the same address.
type host interface {
	start() error
	stop(syscall.Signal) error
	dead() error // nil while the server runs
	remove() error
}

var postgres = search[*Cluster]{"PostgreSQL", "pgmq", "MQ_TEST_POSTGRES", "MQ_TEST_POSTGRES_FROM", []way[*Cluster]{
	{"env", openEnv},
	{"docker", openContainer},
	{"local", openLocal},
}}

// Postgres returns the server that all tests share. Without one it skips the
// test, or fails it if a server is required.
func Postgres(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := FindPostgres()
	postgres.check(tb, err)
	return c
}

// FindPostgres is Postgres for programs. They call Stop in the end.
var FindPostgres = sync.OnceValues(postgres.find)

// OwnPostgres lends the test a server of this process that it may stop, once
// no other test has it.
func OwnPostgres(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := findOwnPostgres()
	if err != nil {
		missing(tb, "pgmq", err)
	}
	lend(tb, &c.lent)
	return c
}

var findOwnPostgres = sync.OnceValues(postgres.own)

func (c *Cluster) describe() string { return c.about }

func because(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

func openEnv() (*Cluster, error) {
	dsn := os.Getenv("MQ_TEST_POSTGRES")
	if dsn == "" {
		return nil, errors.New("MQ_TEST_POSTGRES is not set")
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("MQ_TEST_POSTGRES is not a postgres:// URL")
	}
	u.Scheme = "postgres"
	return connect(u, "of MQ_TEST_POSTGRES", nil)
}

// settings of the servers of ours. The data need not survive the machine, but
// a commit is one.
var settings = []string{
	"-c", "fsync=off",
	"-c", "full_page_writes=off",
	"-c", "synchronous_commit=on",
	"-c", "max_connections=500",
}

// AsInProduction makes the servers of ours that are started from now on run with the
// settings of users, for programs that measure: PostgreSQL waits for the disk, RabbitMQ
// collects figures and may use as much memory as it does by default.
func AsInProduction() {
	settings = []string{"-c", "max_connections=500"}
	brokerLimits = ""
}

// ourDSN is the administrator's DSN of a server of ours.
func ourDSN(password, port string) *url.URL {
	return &url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword("postgres", password),
		Host:     "127.0.0.1:" + port,
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
}

// connect returns a server that accepts the administrator.
func connect(dsn *url.URL, how string, h host) (*Cluster, error) {
	admin, err := sql.Open("pgx", dsn.String())
	if err != nil {
		return nil, err
	}
	c := &Cluster{dsn: dsn, admin: admin, host: h}
	if err := c.await(); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL %s: %w", how, err), c.close())
	}
	var version string
	if err := admin.QueryRow("SHOW server_version").Scan(&version); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.about = fmt.Sprintf("PostgreSQL %s %s, at %s", version, how, dsn.Host)
	return c, nil
}

// patience is how long a server may take to start or to stop.
const patience = 5 * time.Minute

// await returns when the server answers. One that is not ours should do so at
// once.
func (c *Cluster) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last error
	for {
		err := c.admin.PingContext(ctx)
		if err == nil || c.host == nil {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(cmp.Or(last, err), ctx.Err())
		}
		last = err
		if dead := c.host.dead(); dead != nil {
			return dead
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *Cluster) close() error {
	if c.host != nil {
		return errors.Join(c.admin.Close(), c.host.remove())
	}
	var errs []error
	for _, name := range c.spare {
		errs = append(errs, c.drop(name))
	}
	return errors.Join(append(errs, c.admin.Close())...)
}

// String says which server it is and how it was found.
func (c *Cluster) String() string { return c.about }

// DSN returns the administrator's DSN of a database.
func (c *Cluster) DSN(database string) string {
	u := *c.dsn
	u.Path = "/" + database
	return u.String()
}

// Role makes a role without rights for a test. Ask for it before the database
// in which it is given some: they go in the opposite order.
func (c *Cluster) Role(tb testing.TB) *url.Userinfo {
	tb.Helper()
	name, password := fresh(), secret()
	c.Exec(tb, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'")
	tb.Cleanup(func() { c.Exec(tb, "DROP ROLE "+name) })
	return url.UserPassword(name, password)
}

// fresh returns a name that needs no quotes.
func fresh() string { return fmt.Sprintf("mqtest_%016x", rand.Uint64()) }

// Canary is in all passwords of the servers that the tests start, and of the roles and
// users that they make. Nothing may print it: testsum looks for it in all output.
const Canary = "c4n4ry"

// secret returns a password.
func secret() string { return Canary + cryptorand.Text() }

// Exec runs a statement as the administrator.
func (c *Cluster) Exec(tb testing.TB, query string, args ...any) {
	tb.Helper()
	if err := c.exec(query, args...); err != nil {
		tb.Error(err)
	}
}

func (c *Cluster) exec(query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.admin.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// How a server of ours may end.
const (
	// Fast tells every session to go.
	Fast = syscall.SIGINT
	// Immediate is a crash: the next start recovers from the log.
	Immediate = syscall.SIGQUIT
)

// Ours reports whether this process has started the server.
func (c *Cluster) Ours() bool { return c.host != nil }

// Restart stops and starts a server of OwnPostgres.
func (c *Cluster) Restart(tb testing.TB, how syscall.Signal) {
	tb.Helper()
	c.Stop(tb, how)
	c.Start(tb)
}

// Stop stops a server of OwnPostgres until Start.
func (c *Cluster) Stop(tb testing.TB, how syscall.Signal) {
	tb.Helper()
	c.admin.SetMaxIdleConns(-1) // they would be found dead later
	if err := c.host.stop(how); err != nil {
		tb.Fatal(err)
	}
}

// Start starts a server that was stopped.
func (c *Cluster) Start(tb testing.TB) {
	tb.Helper()
	err := c.host.start()
	if err == nil {
		err = c.await()
	}
	if err != nil {
		tb.Fatal(err)
	}
	c.admin.SetMaxIdleConns(idleConns)
}

// idleConns is how many connections the administrator keeps.
const idleConns = 4
