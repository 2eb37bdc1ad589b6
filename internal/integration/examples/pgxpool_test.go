package examples

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/checks"
)

// TestPgxpool kills the pgxpool example, again and again: each order is shipped
// exactly once, and none is lost.
func TestPgxpool(t *testing.T) {
	s := newPgxpool(t)
	for range kills {
		s.kill(t)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		s.finish(t, sig)
		s.check(t)
	}
	t.Logf("%d orders; %d of %d kills left some to ship", s.placed(t), s.torn, kills)
	if s.torn == 0 {
		t.Error("that shows nothing")
	}
}

// pgxpool is the program.
type pgxpool struct {
	*program
	torn int // kills that left orders to ship
}

// newPgxpool makes the tables as well. Otherwise a program could start while the
// server still makes those of one that was killed.
func newPgxpool(t *testing.T) *pgxpool {
	t.Helper()
	p := build(t, "pgxpool")
	checks.Exec(t, p.db, "CREATE TABLE orders (id text PRIMARY KEY)")
	checks.Exec(t, p.db, "CREATE TABLE shipments (order_id text)")
	q := p.dsn.Query()
	q.Set("pool_max_conns", "12")
	p.dsn.RawQuery = q.Encode()
	return &pgxpool{program: p}
}

// batch is how many new orders a process places.
const batch = 50

// order starts the program with new orders, and some that may be placed already.
// It returns the last one.
func (s *pgxpool) order(t *testing.T) (r *process, last int) {
	t.Helper()
	first := max(1, s.placed(t)-3)
	last = s.placed(t) + batch
	var ids []string
	for id := first; id <= last; id++ {
		ids = append(ids, strconv.Itoa(id))
	}
	return s.start(t, ids...), last
}

// kill lets the program do some of its work: it places the orders, then ships them.
func (s *pgxpool) kill(t *testing.T) {
	t.Helper()
	enough := s.placed(t) + s.shipped(t) + rand.N(2*batch)
	r, _ := s.order(t)
	r.await(t, "orders or shipments", func() bool { return s.placed(t)+s.shipped(t) >= enough })
	time.Sleep(rand.N(10 * time.Millisecond))
	r.kill(t)
	if s.shipped(t) < s.placed(t) {
		s.torn++
	}
}

// finish lets the program do all of its work, and stops it.
func (s *pgxpool) finish(t *testing.T, sig os.Signal) {
	t.Helper()
	r, last := s.order(t)
	r.await(t, "the end of the work", func() bool {
		return s.placed(t) == last && s.value(t, "SELECT count(*) FROM pgmq.q_orders") == 0
	})
	if err := r.signal(t, sig); err != nil {
		t.Errorf("%v: %v", sig, err)
	}
}

func (s *pgxpool) check(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"orders were shipped twice":   "SELECT count(*) FROM (SELECT FROM shipments GROUP BY order_id HAVING count(*) > 1) AS twice",
		"orders were not shipped":     "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM shipments)",
		"shipments are of no order":   "SELECT count(*) FROM shipments WHERE order_id NOT IN (SELECT id FROM orders)",
		"messages are in the archive": "SELECT count(*) FROM pgmq.a_orders",
	} {
		if n := s.value(t, query); n > 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// placed returns how many orders there are. They are numbered from 1.
func (s *pgxpool) placed(t *testing.T) int {
	t.Helper()
	return s.value(t, "SELECT count(*) FROM orders")
}

func (s *pgxpool) shipped(t *testing.T) int {
	t.Helper()
	return s.value(t, "SELECT count(*) FROM shipments")
}
