package mem

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

const forever = math.MaxInt64

// waiting is a Receive under way.
type waiting struct {
	ds    []driver.Delivery
	err   error
	after time.Duration
	done  chan struct{}
}

// start starts a Receive and returns when it waits.
func (c client) start(ctx context.Context, queue string, r driver.ReceiveRequest) *waiting {
	return c.begin(func() ([]driver.Delivery, error) { return c.Receive(ctx, queue, r) })
}

func (c client) begin(receive func() ([]driver.Delivery, error)) *waiting {
	w := &waiting{done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(w.done)
		w.ds, w.err = receive()
		w.after = time.Since(began)
	}()
	synctest.Wait()
	return w
}

// require waits for the end of the call.
func (w *waiting) require(t *testing.T, after time.Duration, bodies ...string) {
	t.Helper()
	<-w.done
	if w.err != nil || w.after != after {
		t.Fatalf("came back after %v with error %v, want after %v", w.after, w.err, after)
	}
	requireBodies(t, w.ds, bodies...)
}

func (w *waiting) requireWaiting(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-w.done:
		t.Fatalf("came back with %d messages, error %v", len(w.ds), w.err)
	default:
	}
}

func waitFor(n int, wait time.Duration) driver.ReceiveRequest {
	return driver.ReceiveRequest{Max: n, Visibility: time.Minute, Wait: wait}
}

// bubble runs f in a bubble whose client must have no waiter in the end.
func bubble(t *testing.T, f func(t *testing.T, c client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		f(t, c)
		q := c.store.queue("q")
		if q != nil && (q.waiters.Len() != 0 || q.eager != 0) {
			t.Errorf("%d waiters are left, %d of them eager", q.waiters.Len(), q.eager)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.start(t.Context(), "q", waitFor(1, time.Second)).require(t, time.Second)
	})
}

func TestWaitIsNotNeeded(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.send("q", text("a"))
		c.start(t.Context(), "q", waitFor(2, time.Second)).require(t, 0, "a")
	})
}

// TestWaitIsEndedBy has one case for each way in which a message becomes
// visible.
func TestWaitIsEndedBy(t *testing.T) {
	tests := map[string]func(c client, d driver.Delivery){
		"send": func(c client, _ driver.Delivery) { c.send("q", text("a")) },
		"nack": func(c client, d driver.Delivery) {
			c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack})
		},
		"redrive": func(c client, d driver.Delivery) {
			c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive})
			_, err := c.Redrive(c.t.Context(), "q", nil, 1)
			c.must(err)
		},
		"move": func(c client, _ driver.Delivery) {
			c.ensure("p")
			c.send("p", text("a"))
			c.settle("p", driver.Settlement{Receipt: c.one("p").Receipt, Op: driver.OpMove, To: "q"})
		},
		"commit of a move": func(c client, _ driver.Delivery) {
			c.ensure("p")
			c.send("p", text("a"))
			tx := c.Begin()
			c.settleIn(tx, "p", driver.Settlement{Receipt: c.one("p").Receipt, Op: driver.OpMove, To: "q"})
			c.must(tx.Commit())
		},
		"commit": func(c client, _ driver.Delivery) {
			tx := c.Begin()
			c.sendIn(tx, "q", text("a"))
			c.must(tx.Commit())
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c client) {
				c.send("q", text("a"))
				d := c.one("q")
				w := c.start(t.Context(), "q", waitFor(2, 40*time.Second))
				time.Sleep(time.Second)
				act(c, d)
				w.require(t, time.Second, "a")
			})
		})
	}
}

// TestWaitIsEndedByTime has the deadline set before and after the wait began,
// and later moved.
func TestWaitIsEndedByTime(t *testing.T) {
	const hour = time.Hour
	delayed := func(d time.Duration) driver.Message { return driver.Message{Body: []byte("a"), Delay: d} }
	tests := map[string]struct {
		before, meanwhile func(c client)
		after             time.Duration
	}{
		"a delay":          {before: func(c client) { c.send("q", delayed(hour)) }, after: hour},
		"a new delay":      {meanwhile: func(c client) { c.send("q", delayed(hour)) }, after: hour},
		"an earlier delay": {func(c client) { c.send("q", delayed(9*hour)) }, func(c client) { c.send("q", delayed(hour)) }, hour},
		"a lease":          {before: func(c client) { c.send("q", text("a")); c.one("q") }, after: time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c client) {
				if tt.before != nil {
					tt.before(c)
				}
				w := c.start(t.Context(), "q", waitFor(1, forever))
				if tt.meanwhile != nil {
					tt.meanwhile(c)
				}
				w.require(t, tt.after, "a")
			})
		})
	}
}

// TestWaitEndsWithDeadline has a message become visible when the wait is over.
func TestWaitEndsWithDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.send("q", driver.Message{Body: []byte("a"), Delay: time.Second})
		c.start(t.Context(), "q", waitFor(1, time.Second)).require(t, time.Second, "a")
	})
}

func TestExtendedLeaseWakesLater(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.send("q", text("a"))
		d := c.one("q")
		w := c.start(t.Context(), "q", waitFor(1, forever))
		time.Sleep(30 * time.Second)
		c.must(c.Extend(t.Context(), "q", []driver.Receipt{d.Receipt}, time.Hour))
		w.require(t, time.Hour+30*time.Second, "a")
	})
}

func TestShortenedLeaseWakesEarlier(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.send("q", text("a"))
		d := c.one("q")
		w := c.start(t.Context(), "q", waitFor(1, forever))
		c.must(c.Extend(t.Context(), "q", []driver.Receipt{d.Receipt}, time.Second))
		w.require(t, time.Second, "a")
	})
}

// TestWaitersAreServedInTurn gives one message to each of the first two of
// three waiters.
func TestWaitersAreServedInTurn(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		w1 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		w2 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		w3 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		c.send("q", texts("a", "b")...)
		w1.require(t, 0, "a")
		w2.require(t, 0, "b")
		w3.requireWaiting(t)
		w3.require(t, time.Minute, "a") // the lease of w1 ends
	})
}

// TestWatchIsHandedOver: when the waiter that watches the clock goes, whatever
// the reason, another one takes over.
func TestWatchIsHandedOver(t *testing.T) {
	tests := map[string]func(c client, cancel context.CancelFunc){
		"time over": func(client, context.CancelFunc) { time.Sleep(time.Second) },
		"cancelled": func(_ client, cancel context.CancelFunc) { cancel() },
		"served":    func(c client, _ context.CancelFunc) { c.send("q", text("b")) },
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c client) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.send("q", driver.Message{Body: []byte("a"), Delay: 30 * time.Second})
				watcher := c.start(ctx, "q", waitFor(1, time.Second))
				w := c.start(t.Context(), "q", waitFor(1, forever))
				act(c, cancel)
				<-watcher.done
				w.require(t, 30*time.Second, "a")
			})
		})
	}
}

// TestWatchIsHandedOverWithoutDeadline has the deadline come after that.
func TestWatchIsHandedOverWithoutDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		c.start(t.Context(), "q", waitFor(1, time.Second))
		w := c.start(t.Context(), "q", waitFor(1, forever))
		time.Sleep(2 * time.Second)
		c.send("q", driver.Message{Body: []byte("a"), Delay: time.Second})
		w.require(t, 3*time.Second, "a")
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := c.start(ctx, "q", waitFor(1, time.Hour))
		<-w.done
		requireErr(t, w.err, context.DeadlineExceeded)
		if w.after != time.Second {
			t.Errorf("came back after %v", w.after)
		}
		c.send("q", text("a"))
		c.one("q") // was not leased to the one that left
	})
}

// TestEndedWaiterIsPassedOver sends after the context has ended, but before
// the waiter has noticed.
func TestEndedWaiterIsPassedOver(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		ctx, cancel := context.WithCancel(t.Context())
		w1 := c.start(ctx, "q", waitFor(1, time.Hour))
		w2 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		q := c.store.queue("q")
		q.lock()
		cancel()
		q.insertCopy(content{body: "a"})
		q.unlock()
		<-w1.done
		requireErr(t, w1.err, context.Canceled)
		w2.require(t, 0, "a")
	})
}

// TestServedWaiterKeepsItsMessage ends the context after the message was
// leased to the waiter, but before it has noticed.
func TestServedWaiterKeepsItsMessage(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		ctx, cancel := context.WithCancel(t.Context())
		w := c.start(ctx, "q", waitFor(1, time.Hour))
		q := c.store.queue("q")
		q.lock()
		q.insertCopy(content{body: "a"})
		q.serve()
		cancel()
		q.unlock()
		w.require(t, 0, "a")
	})
}

func TestWaitEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := attached(t, "mem://wait"), attached(t, "mem://wait")
		a.ensure("q")
		w1 := a.start(t.Context(), "q", waitFor(1, time.Hour))
		w2 := b.start(t.Context(), "q", waitFor(1, time.Hour))
		a.must(a.Close())
		<-w1.done
		requireErr(t, w1.err, driver.ErrClosed)
		w2.requireWaiting(t)
		b.send("q", text("a"))
		w2.require(t, 0, "a")
	})
}

func TestWaitEndsWithDrop(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		w1 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		w2 := c.start(t.Context(), "q", waitFor(1, time.Hour))
		c.must(c.DropQueue(t.Context(), "q"))
		c.ensure("q")
		for _, w := range []*waiting{w1, w2} {
			<-w.done
			requireErr(t, w.err, driver.ErrQueueNotFound)
		}
	})
}

// TestManyWaiters has as many receivers as messages, which come in small
// batches: each message ends one wait.
func TestManyWaiters(t *testing.T) {
	bubble(t, func(t *testing.T, c client) {
		const n = 200
		var ws []*waiting
		for range n {
			ws = append(ws, c.start(t.Context(), "q", waitFor(1, time.Hour)))
		}
		for i := 0; i < n; i += 5 {
			c.send("q", texts("a", "a", "a")...)
			c.send("q", driver.Message{Delay: time.Second}, driver.Message{Delay: time.Duration(i) * time.Millisecond})
		}
		for _, w := range ws {
			if <-w.done; len(w.ds) != 1 || w.after > time.Second {
				t.Fatalf("received %d messages after %v, error %v", len(w.ds), w.after, w.err)
			}
		}
	})
}

func TestReceiveAfterContextEnded(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	ds, err := c.Receive(ended(), "q", waitFor(1, time.Hour))
	if !errors.Is(err, context.Canceled) || ds != nil {
		t.Errorf("received %v, %v", ds, err)
	}
	if d := c.one("q"); d.ReadCount != 1 {
		t.Errorf("read count is %d, want 1", d.ReadCount)
	}
}
