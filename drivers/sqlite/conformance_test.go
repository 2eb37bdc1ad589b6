package sqlite_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/mqtest/drivertest"
)

// want is what the driver promises on a file of its own.
var want = driver.Caps{
	Delay: true, Headers: true, Groups: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true,
	NackFences: true, ExactBodies: true, ExactReadCount: true, Attempts: true, NackReasons: true, ExactStats: true,
	AtomicSend: true, AtomicArchive: true, AtomicMove: true, OneWriter: true, Order: driver.OrderDue,
}

// harness opens files in directories of the test's own.
type harness struct {
	mu    sync.Mutex
	paths map[*mq.Client]string
	files map[string]struct{} // that are checked in the end
}

func (h *harness) open(t testing.TB) *mq.Client {
	return h.openFile(t, filepath.Join(t.TempDir(), "queue.db"))
}

func (h *harness) again(t testing.TB, c *mq.Client) *mq.Client { return h.openFile(t, h.path(c)) }

func (h *harness) path(c *mq.Client) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[c]
}

func (h *harness) openFile(t testing.TB, path string) *mq.Client {
	t.Helper()
	c, err := mq.Open(dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	return h.keep(t, c, path)
}

// keep notes which file a client is of. It is checked in the end.
func (h *harness) keep(t testing.TB, c *mq.Client, path string) *mq.Client {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paths == nil {
		h.paths, h.files = make(map[*mq.Client]string), make(map[string]struct{})
	}
	if _, known := h.files[path]; !known {
		h.files[path] = struct{}{}
		t.Cleanup(func() { inOrder(t, path) })
	}
	h.paths[c] = path
	return c
}

// dsn returns the DSN of a file.
func dsn(path string) string { return "sqlite://" + (&url.URL{Path: path}).EscapedPath() }

// begin begins a transaction on a pool of the program's own.
func (h *harness) begin(t testing.TB, c *mq.Client) drivertest.Tx {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: h.path(c)}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return drivertest.TxOf(tx)
}

func TestConformance(t *testing.T) {
	h := new(harness)
	drivertest.Run(t, drivertest.Harness{
		Open: h.open, Again: h.again, Begin: h.begin, Want: want,
		BadDSN:  []string{"sqlite://", "sqlite://secret.db?pasword=secret", "sqlite:///tmp/x.db?synchronous=secret", "sqlite://:memory:"},
		DownDSN: "sqlite:///nonexistent/secret/queue.db",
	})
}

func FuzzConformance(f *testing.F) {
	h := new(harness)
	drivertest.Fuzz(f, drivertest.Harness{Open: h.open, Again: h.again, Begin: h.begin})
}
