package sqlite_test

import (
	"database/sql"
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
	c, err := mq.Open("sqlite://" + path)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paths == nil {
		h.paths = make(map[*mq.Client]string)
	}
	h.paths[c] = path
	return c
}

// begin begins a transaction on a pool of the program's own.
func (h *harness) begin(t testing.TB, c *mq.Client) drivertest.Tx {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+h.path(c)+"?_pragma=busy_timeout(10000)")
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
