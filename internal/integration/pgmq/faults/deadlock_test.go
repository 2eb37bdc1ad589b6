package faults

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestNoDeadlocks settles, extends, receives and purges the same rows in random
// orders. Not even the provider sees a deadlock, which mq would try again.
func TestNoDeadlocks(t *testing.T) {
	b := newBase(t)
	var clients []*mq.Client
	for library := range libraries {
		clients = append(clients, b.client("driver="+library, "pool_max_conns=8"))
	}
	q := b.queue(clients[0], "jobs")
	ids := b.post(q, 300)
	before := b.deadlocks()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 40 {
				err := atRandom(t, clients[i%2].Provider(), ids, i/2)
				if batch := (*mq.BatchError)(nil); err != nil && !errors.As(err, &batch) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range clients {
		b.ok(c.Close())
	}
	b.eventually("the sessions have told their counters", func() bool { return b.sessions("true") == 0 })
	if n := b.deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// deadlocks counts those that there have been in this database, which another
// test may have had before.
func (b *base) deadlocks() int {
	b.Helper()
	return value[int](b, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

// atRandom does one thing to a hundred of the messages.
func atRandom(t *testing.T, p driver.Provider, ids []string, what int) error {
	ops := []driver.Op{driver.OpNack, driver.OpAck, driver.OpArchive, driver.OpMove}
	var rs []driver.Receipt
	var s []driver.Settlement
	for _, i := range rand.Perm(len(ids))[:100] {
		r := pgmq.Unfenced("jobs", ids[i])
		st := driver.Settlement{Receipt: r, Op: driver.OpNack}
		if op := ops[what%len(ops)]; op != driver.OpNack {
			// Of a lease that never was: it locks, and changes nothing.
			st = driver.Settlement{Receipt: driver.Receipt("p1:" + ids[i] + ":77:0:jobs"), Op: op, To: "jobs"}
		}
		rs, s = append(rs, r), append(s, st)
	}
	switch what {
	case 0, 1, 2, 3:
		return p.Settle(t.Context(), "jobs", s)
	case 4:
		_, err := p.Receive(t.Context(), "jobs", driver.ReceiveRequest{Max: 50, Visibility: time.Millisecond})
		return err
	}
	return p.Extend(t.Context(), "jobs", rs, 50*time.Millisecond)
}
