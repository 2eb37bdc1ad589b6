package suite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

// maxConns is how many connections the pool of a client has: there are many
// clients at once.
const maxConns = 5

// opener opens a client on the database of a postgres:// DSN.
type opener func(t testing.TB, dsn string) *mq.Client

// with returns the opener that goes by a pgmq:// DSN with more parameters.
func with(params string) opener {
	return func(t testing.TB, dsn string) *mq.Client {
		t.Helper()
		dsn = "pgmq" + strings.TrimPrefix(and(dsn, fmt.Sprintf("pool_max_conns=%d&%s", maxConns, params)), "postgres")
		return must(mq.OpenConfig(dsn, quiet))(t)
	}
}

// and adds parameters to a DSN.
func and(dsn, params string) string {
	if strings.Contains(dsn, "?") {
		return dsn + "&" + params
	}
	return dsn + "?" + params
}

// pool returns a pool of a test's own.
func pool(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db := checks.DB(t, "pgx", dsn)
	db.SetMaxOpenConns(maxConns)
	return db
}

// databases gives each client a database, or that of another client, and a
// name by which the server knows its sessions.
type databases struct {
	*server.Cluster
	open opener
}

// sessions are those of all clients: *mq.Client to session.
var sessions sync.Map

type session struct {
	dsn, through, name string
	*server.Proxy
}

// process and names name the clients. Other processes have clients of the same
// server.
var (
	process = rand.Text()
	names   atomic.Int64
)

// harness is that of the suite on clients of the server that all tests share.
func harness(t *testing.T, open opener) drivertest.Harness {
	t.Helper()
	h := harnessOn(server.Postgres(t), open)
	h.Restart = func(t testing.TB) {
		t.Fatal("nobody may restart the server that all share: the case belongs to restartCases")
	}
	h.Only = func(name string) bool { return !slices.Contains(restartCases, name) }
	return h
}

// pooled is harness for clients behind a pooler, which do not go through the
// proxy that can be silent.
func pooled(t *testing.T, open opener) drivertest.Harness {
	t.Helper()
	h := harness(t, open)
	h.Hang = nil
	return h
}

// restarting is the harness of the cases that restart the server.
func restarting(c *server.Cluster, open opener) drivertest.Harness {
	h := harnessOn(c, open)
	h.Restart = func(t testing.TB) { restart(t, c) }
	h.Only = func(name string) bool { return slices.Contains(restartCases, name) }
	return h
}

var restartCases = []string{"fault/restart", "fault/restart-consumer", "fault/durable"}

func harnessOn(c *server.Cluster, open opener) drivertest.Harness {
	d := &databases{Cluster: c, open: open}
	return drivertest.Harness{
		Open:    func(t testing.TB) *mq.Client { return d.client(t, d.Database(t)) },
		Again:   func(t testing.TB, c *mq.Client) *mq.Client { return d.client(t, sessionOf(c).dsn) },
		Break:   d.cut,
		Hang:    func(_ testing.TB, c *mq.Client) func() { return sessionOf(c).Silence() },
		Begin:   begin,
		BadDSN:  badDSN,
		DownDSN: "pgmq://postgres:down-s3cret@127.0.0.1:1/postgres",
		Want: driver.Caps{
			Delay: true, Headers: true, Groups: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true,
			ExactReadCount: true, Attempts: true, NackReasons: true, ExactStats: true, AtomicSend: true, AtomicArchive: true, AtomicMove: true,
			Order: driver.OrderDue,
		},
	}
}

var badDSN = []string{
	"pgmq://postgres:s3cret@127.0.0.1/postgres?unknown=1",
	"pgmq://postgres:s3cret@127.0.0.1/postgres?driver=other",
	"pgmq://postgres:s3cret@127.0.0.1/postgres?pool_max_conns=0",
	"pgmq://postgres:s3cret@127.0.0.1/postgres?sslmode=maybe",
	"pgmq://postgres:s3cret@127.0.0.1:port/postgres",
	"pgmq://postgres:s3cr/et@127.0.0.1/postgres",
}

func (d *databases) client(t testing.TB, dsn string) *mq.Client {
	t.Helper()
	p, through := server.NewProxy(t, dsn)
	s := session{dsn, through, fmt.Sprintf("%s-%d", process, names.Add(1)), p}
	c := d.open(t, and(through, "application_name="+s.name))
	sessions.Store(c, s)
	return c
}

func sessionOf(c *mq.Client) session {
	s, _ := sessions.Load(c)
	return s.(session)
}

// cut ends the sessions of a client.
func (d *databases) cut(t testing.TB, c *mq.Client) {
	t.Helper()
	d.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", sessionOf(c).name)
}

// restart ends the server in either way by turns.
func restart(t testing.TB, c *server.Cluster) {
	t.Helper()
	how := server.Fast
	if restarts.Add(1)%2 == 0 {
		how = server.Immediate
	}
	c.Restart(t, how)
}

var restarts atomic.Int64

func begin(t testing.TB, c *mq.Client) drivertest.Tx {
	t.Helper()
	return drivertest.TxOf(must(pool(t, sessionOf(c).through).BeginTx(context.Background(), nil))(t))
}
