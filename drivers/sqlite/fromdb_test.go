package sqlite_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/mqtest/drivertest"
)

// TestFromDB runs, on a pool of the program's own, the cases in which connections matter.
// The whole suite runs on such pools of other libraries: internal/integration/sqlite.
func TestFromDB(t *testing.T) {
	if testing.Short() {
		t.Skip("the full matrix: TestConformance runs the suite, this is its other set-up")
	}
	h := new(harness)
	open := func(t testing.TB, path string) *mq.Client {
		return h.keep(t, mq.New(sqlite.FromDB(openDB(t, path), sqlite.Config{}), mq.Config{}), path)
	}
	drivertest.Run(t, drivertest.Harness{
		Open:  func(t testing.TB) *mq.Client { return open(t, filepath.Join(t.TempDir(), "queue.db")) },
		Again: func(t testing.TB, c *mq.Client) *mq.Client { return open(t, h.path(c)) },
		Begin: h.begin, Want: want,
		Only: func(name string) bool {
			area, _, _ := strings.Cut(name, "/")
			return slices.Contains([]string{"open", "lifecycle", "wait", "tx", "lease", "drain"}, area)
		},
	})
}

// TestOneConnection works on a pool that has one connection only.
func TestOneConnection(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "queue.db"))
	db.SetMaxOpenConns(1)
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan *mq.Delivery, 1)
	go func() {
		d, err := q.Receive(t.Context(), mq.ReceiveOptions{Wait: time.Minute})
		if err != nil || len(d) != 1 {
			t.Errorf("received %d, %v", len(d), err)
			close(received)
			return
		}
		received <- d[0]
	}()
	tx, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = q.Tx(tx).Send(t.Context(), &mq.Message{Body: []byte("outbox")})
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	d := <-received
	tx, err = db.BeginTx(t.Context(), nil)
	if err == nil {
		err = d.AckTx(t.Context(), tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	tx, err = db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Queue("missing").Tx(tx).Send(t.Context(), &mq.Message{}); !errors.Is(err, mq.ErrQueueNotFound) {
		t.Errorf("send to a missing queue: %v", err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("a transaction with an error was committed")
	}
	if s, err := q.Stats(t.Context()); err != nil || s.Total != 0 || s.TotalSent != 1 {
		t.Errorf("stats: %+v, %v", s, err)
	}
}

// TestFromDBRefuses lists databases on which the promises cannot be kept.
func TestFromDBRefuses(t *testing.T) {
	for _, test := range []struct{ name, dsn, want string }{
		{"memory", ":memory:", "in memory"},
		{"journal", "file:DIR/a.db", "journal_mode = WAL"},
		{"synchronous", "file:DIR/b.db?_pragma=journal_mode(wal)&_pragma=synchronous(normal)", "synchronous = NORMAL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, err := sql.Open("sqlite", strings.ReplaceAll(test.dsn, "DIR", t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
			defer c.Close()
			if err := c.Ping(t.Context()); !errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ping: %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestNormal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	c, err := mq.Open(dsn(path) + "?synchronous=normal")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil || c.Caps().Durable {
		t.Errorf("ping: %v, Durable %v", err, c.Caps().Durable)
	}
}

// otherLibrary is another SQLite library, as far as its type goes.
type otherLibrary struct{ sqldriver.Driver }

type otherConnector struct {
	lib  otherLibrary
	path string
}

func (c otherConnector) Connect(context.Context) (sqldriver.Conn, error) { return c.lib.Open(c.path) }
func (c otherConnector) Driver() sqldriver.Driver                        { return c.lib }

// TestTwoLibraries opens a file that another library has open in this process.
func TestTwoLibraries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	first := open(t, path)
	if err := first.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(otherConnector{otherLibrary{openDB(t, path).Driver()}, path})
	defer func() { _ = db.Close() }()
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "another SQLite library") {
		t.Errorf("ping: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("ping once the other has closed it: %v", err)
	}
}
