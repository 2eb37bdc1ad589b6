package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// silent is a client whose connections have all fallen silent.
type silent struct {
	*base
	proxy *server.Proxy
	q     *mq.Queue
}

// silence opens a client by way of a proxy, uses n connections at once, and
// freezes them. They have been idle for more than a second, unless fresh.
func (b *base) silence(library, queue string, n int, fresh bool) *silent {
	b.Helper()
	p, dsn := server.NewProxy(b, b.dsn)
	c := b.open(with(dsn, "driver="+library, fmt.Sprint("pool_max_conns=", n)))
	q := c.Queue(queue)
	b.occupy(q, n)
	if !fresh {
		time.Sleep(1100 * time.Millisecond) // from then on the pool asks whether a connection works
	}
	p.Freeze()
	return &silent{b, p, q}
}

// occupy uses n connections at once: each waits for the same lock.
func (b *base) occupy(q *mq.Queue, n int) {
	b.Helper()
	tx, err := b.db.Begin()
	b.ok(err)
	_, err = tx.Exec("LOCK TABLE pgmq.q_" + q.Name() + " IN ACCESS EXCLUSIVE MODE")
	b.ok(err)
	var all sync.WaitGroup
	var enough atomic.Bool
	for range n {
		all.Go(func() {
			for !enough.Load() && b.Context().Err() == nil { // each has its limit, and a busy machine may not have all at once
				_, _ = q.Peek(b.Context(), mq.BrowseOptions{})
			}
		})
	}
	b.eventually("they wait", func() bool {
		return b.sessions("wait_event_type = 'Lock' AND query LIKE '%q_"+q.Name()+"%'") >= n
	})
	enough.Store(true)
	b.ok(tx.Rollback())
	all.Wait()
}

// TestSilent: every operation whose caller brings no deadline comes back from
// connections that have fallen silent, whichever library they are of, and does
// what it should: all connections that are as old are found dead by one try.
func TestSilent(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	eachLibrary(t, func(t *testing.T, library string) {
		t.Parallel()
		every(t, func(t *testing.T, op operation) {
			t.Parallel()
			b := b.of(t)
			q := b.stage(b.client(), fmt.Sprintf("silent%d", n.Add(1)))
			b.comesBack(b.silence(library, q.Name(), 4, false), op, true)
		})
	})
}

// TestSilentInUse is TestSilent for connections that were used a moment ago, so
// that nobody asks whether they work before the statement is sent.
func TestSilentInUse(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	eachLibrary(t, func(t *testing.T, library string) {
		t.Parallel()
		for _, name := range []string{"send", "receive", "receive heads", "ack", "peek", "stats"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := b.of(t)
				q := b.stage(b.client(), fmt.Sprintf("used%d", n.Add(1)))
				op := operations[slices.IndexFunc(operations, func(o operation) bool { return o.name == name })]
				b.comesBack(b.silence(library, q.Name(), 4, true), op, false)
			})
		}
	})
}

// TestSilentOnce: the first call finds out that connections have fallen silent,
// and no other call waits for them, not even when there is one for each at the same
// time. One connection may have been taken before the first call knew.
func TestSilentOnce(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		t.Parallel()
		const conns = 8
		b := b.of(t)
		s := b.silence(library, b.queue(b.client(), "once"+library).Name(), conns, false)
		look := func() {
			if _, err := s.q.Stats(t.Context()); err != nil {
				t.Error(err)
			}
		}
		look()
		var all sync.WaitGroup
		for range conns {
			all.Go(look)
		}
		all.Wait()
		if n := s.proxy.Asked(); n < 1 || n > 2 {
			t.Errorf("%d of %d silent connections were asked, want 1", n, conns)
		}
	})
}

// comesBack runs an operation on silent connections without a deadline.
func (b *base) comesBack(s *silent, op operation, works bool) {
	b.Helper()
	ended := make(chan error, 1)
	go func() { ended <- stale(op.run(context.WithoutCancel(b.Context()), b, s.q)) }()
	select {
	case err := <-ended:
		if err != nil && (works || !outage(err)) {
			b.Errorf("%s: %v", op.name, err)
		}
	case <-time.After(3 * patience):
		s.proxy.Cut()
		b.Fatalf("%s does not come back", op.name)
	}
	b.ok(stale(op.run(b.Context(), b, s.q)))
}

// TestSilentWaiting: a receiver that waits gets the next message, though the
// connection that listens has fallen silent as well.
func TestSilentWaiting(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client(), library)
		p, dsn := server.NewProxy(b, b.dsn)
		got := b.waiting(b.open(with(dsn, "driver="+library)).Queue(q.Name()))
		b.listens(1)
		b.calm() // a claim under way would be cut off, and its message leased
		p.Freeze()
		b.post(q, 1)
		select {
		case <-got:
		case <-time.After(3 * patience):
			p.Cut()
			t.Fatal("the message does not come")
		}
	})
}
