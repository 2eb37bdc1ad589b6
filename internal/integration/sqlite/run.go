// Package sqlite tests sqlite.FromDB with SQLite libraries that drivers/sqlite does not
// link. Each library has a package of its own, since all of them register the name
// sqlite3 with database/sql.
package sqlite

import (
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/mqtest/drivertest"
)

// Library is a SQLite library for database/sql.
type Library struct {
	Name string // that it registers with database/sql
	// Settings are the parameters of a DSN with WAL, synchronous = FULL, a busy timeout
	// of 20 seconds, and transactions that begin without a lock.
	Settings url.Values
}

// want is what the driver promises on every library.
var want = driver.Caps{
	Delay: true, Headers: true, Groups: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true,
	NackFences: true, ExactBodies: true, ExactReadCount: true, Attempts: true, NackReasons: true, ExactStats: true,
	AtomicSend: true, AtomicArchive: true, AtomicMove: true, OneWriter: true, Order: driver.OrderDue,
}

// Run runs the suite on real files; under -short only the cases in which the library
// matters most.
func (l Library) Run(t *testing.T) {
	t.Helper()
	h := &harness{library: l, paths: make(map[*mq.Client]string)}
	suite := drivertest.Harness{Open: h.open, Again: h.again, Begin: h.begin, Want: want}
	if testing.Short() {
		suite.Only = func(name string) bool {
			area, _, _ := strings.Cut(name, "/")
			return area == "tx" || area == "lifecycle" || area == "concurrency"
		}
	}
	drivertest.Run(t, suite)
}

// Refuses checks that a database with the settings normal, WAL and synchronous = NORMAL,
// is refused unless the program says sqlite.Normal.
func (l Library) Refuses(t *testing.T, normal url.Values) {
	t.Helper()
	db := Library{l.Name, normal}.open(t, filepath.Join(t.TempDir(), "queue.db"))
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), "synchronous = NORMAL") {
		t.Errorf("ping: %v, want one that names the setting", err)
	}
	c = mq.New(sqlite.FromDB(db, sqlite.Config{Synchronous: sqlite.Normal}), mq.Config{})
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil || c.Caps().Durable {
		t.Errorf("ping with Normal: %v, Durable %v", err, c.Caps().Durable)
	}
}

func (l Library) open(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open(l.Name, "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+l.Settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// harness opens files in directories of the test's own.
type harness struct {
	library Library
	mu      sync.Mutex
	paths   map[*mq.Client]string
}

func (h *harness) open(t testing.TB) *mq.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	t.Cleanup(func() { h.library.check(t, path) })
	return h.client(t, path)
}

func (h *harness) again(t testing.TB, c *mq.Client) *mq.Client { return h.client(t, h.path(c)) }

func (h *harness) client(t testing.TB, path string) *mq.Client {
	t.Helper()
	c := mq.New(sqlite.FromDB(h.library.open(t, path), sqlite.Config{}), mq.Config{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paths[c] = path
	return c
}

func (h *harness) path(c *mq.Client) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[c]
}

func (h *harness) begin(t testing.TB, c *mq.Client) drivertest.Tx {
	t.Helper()
	tx, err := h.library.open(t, h.path(c)).Begin()
	if err != nil {
		t.Fatal(err)
	}
	return drivertest.TxOf(tx)
}

// check looks for damage in a file.
func (l Library) check(t testing.TB, path string) {
	t.Helper()
	var text string
	if err := l.open(t, path).QueryRow("PRAGMA integrity_check").Scan(&text); err != nil || text != "ok" {
		t.Errorf("integrity_check: %q, %v", text, err)
	}
}
