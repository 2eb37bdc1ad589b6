package linear

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/sqlite"
	"github.com/portmq/mq/internal/integration/checks"
)

// sqliteFile returns the DSN of a new file.
func sqliteFile(t testing.TB) string {
	t.Helper()
	return "sqlite://" + (&url.URL{Path: filepath.Join(t.TempDir(), "queue.db")}).EscapedPath()
}

// TestSQLite: two clients share a file, as two processes would.
func TestSQLite(t *testing.T) {
	for name, w := range workloads {
		for how, cut := range map[string]float64{"": 0, ", cut off": 0.3} {
			w.Cut, w.Within = cut, 4*time.Millisecond
			t.Run(name+how, func(t *testing.T) {
				shared(t, 300, false, w, sqliteFile(t), Queue)
			})
			t.Run(name+how+", small, the whole queue, without mq", func(t *testing.T) {
				w := w
				w.Clients, w.Steps, w.Messages = 4, 6, 3
				shared(t, 300, true, w, sqliteFile(t), provided)
			})
		}
	}
}

// shared runs histories on two clients of one file.
func shared(t *testing.T, n int, queue bool, w Workload, dsn string, way func(*mq.Queue) Target) {
	a, b := openClient(t, dsn), openClient(t, dsn)
	(&several{TB: t, n: n, queue: queue}).each(func(seed uint64) *History {
		w.Seed = seed
		q := ensuredQueue(t, a, seed)
		return must(t, w, a.Caps(), way(q), way(b.Queue(q.Name())))
	})
}

// provided is the way past mq.
func provided(q *mq.Queue) Target { return Provider(q.Client().Provider(), q.Name()) }

// openClient returns a client that ends with the test.
func openClient(t testing.TB, dsn string) *mq.Client {
	t.Helper()
	c, err := mq.OpenConfig(dsn, checks.Quiet)
	checks.OK(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ensuredQueue(t testing.TB, c *mq.Client, seed uint64) *mq.Queue {
	t.Helper()
	q, err := c.EnsureQueue(t.Context(), fmt.Sprint("q", seed), mq.QueueOptions{})
	checks.OK(t, err)
	return q
}
