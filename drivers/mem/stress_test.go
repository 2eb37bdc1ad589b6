package mem

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestEachMessageOnce has many receivers wait for messages that many senders
// send.
func TestEachMessageOnce(t *testing.T) {
	const receivers, senders, each = 16, 5, 1000
	c := open(t)
	var seen [senders * each]atomic.Int32
	var left atomic.Int64
	left.Store(senders * each)
	var all sync.WaitGroup
	for range receivers {
		all.Go(func() {
			for left.Load() > 0 {
				ds, err := c.Receive(t.Context(), "q", driver.ReceiveRequest{Max: 7, Visibility: time.Hour, Wait: 50 * time.Millisecond})
				if err != nil {
					t.Error(err)
					return
				}
				for _, d := range ds {
					n, _ := strconv.Atoi(string(d.Body))
					seen[n].Add(1)
					left.Add(-1)
					if err := c.Settle(t.Context(), "q", []driver.Settlement{ack(d)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for s := range senders {
		all.Go(func() {
			for i := range each {
				if _, err := c.Send(t.Context(), "q", texts(strconv.Itoa(s*each+i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for n := range seen {
		if got := seen[n].Load(); got != 1 {
			t.Fatalf("message %d was received %d times", n, got)
		}
	}
	if s := c.stats("q"); s.Total != 0 || s.TotalSent != senders*each {
		t.Errorf("stats: %+v", s)
	}
}

// TestNoWakeUpIsLost passes one message around among receivers that wait
// without end: it stands still if a wake-up is lost.
func TestNoWakeUpIsLost(t *testing.T) {
	c := open(t)
	const rounds, receivers = 2000, 8
	var got atomic.Int64
	var all sync.WaitGroup
	for range receivers {
		all.Go(func() {
			for got.Load() < rounds {
				ds, err := c.Receive(t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Hour, Wait: forever})
				if errors.Is(err, driver.ErrQueueNotFound) {
					return // the end
				}
				if err != nil || len(ds) != 1 {
					t.Errorf("received %d messages, %v", len(ds), err)
					return
				}
				s := driver.Settlement{Receipt: ds[0].Receipt, Op: driver.OpNack}
				if n := got.Add(1); n%3 == 0 {
					s.Delay = time.Microsecond
				} else if n == rounds {
					if err := c.DropQueue(t.Context(), "q"); err != nil {
						t.Error(err)
					}
					return
				}
				_ = c.Settle(t.Context(), "q", []driver.Settlement{s})
			}
		})
	}
	c.send("q", text("a"))
	all.Wait()
}

// TestOppositeMoves moves messages between two queues both ways at once, in
// plain calls and in transactions, and loses none.
func TestOppositeMoves(t *testing.T) {
	c := open(t)
	c.ensure("p")
	const n = 50
	for range n {
		c.send("q", text("a"))
		c.send("p", text("a"))
	}
	var all sync.WaitGroup
	for w := range 4 {
		from, to := "q", "p"
		if w%2 == 0 {
			from, to = to, from
		}
		all.Go(func() {
			for i := range 500 {
				ds, err := c.Receive(t.Context(), from, driver.ReceiveRequest{Max: 5, Visibility: time.Hour})
				if err != nil {
					t.Error(err)
				}
				var s []driver.Settlement
				for _, d := range ds {
					s = append(s, driver.Settlement{Receipt: d.Receipt, Op: driver.OpMove, To: to})
				}
				if i%2 == 0 {
					err = c.Settle(t.Context(), from, s)
				} else {
					tx := c.Begin()
					err = errors.Join(txProvider{c.Provider, tx}.Settle(t.Context(), from, s), tx.Commit())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if q, p := c.stats("q"), c.stats("p"); q.Visible+p.Visible != 2*n || q.Total+p.Total != 2*n {
		t.Errorf("stats: %+v %+v", q, p)
	}
}

// TestGroupsAreExclusive has many receivers by group, and requires that each
// group is worked on in order and by one of them at a time.
func TestGroupsAreExclusive(t *testing.T) {
	const groups, each = 5, 200
	c := open(t)
	for i := range groups * each {
		c.send("q", grouped(strconv.Itoa(i%groups), strconv.Itoa(i/groups)))
	}
	var busy [groups]atomic.Bool
	var next [groups]atomic.Int64
	var left atomic.Int64
	left.Store(groups * each)
	work := func(d driver.Delivery, retry bool) {
		g, _ := strconv.Atoi(d.GroupKey)
		if busy[g].Swap(true) {
			t.Errorf("group %d has two holders", g)
		}
		s := driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack}
		if !retry {
			s.Op = driver.OpAck
			left.Add(-1)
			if want := next[g].Add(1) - 1; string(d.Body) != strconv.FormatInt(want, 10) {
				t.Errorf("group %d: message %s, want %d", g, d.Body, want)
			}
		}
		busy[g].Store(false)
		if err := c.Settle(t.Context(), "q", []driver.Settlement{s}); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 0))
			for left.Load() > 0 {
				r := driver.ReceiveRequest{Max: 2, Visibility: time.Hour, Wait: 20 * time.Millisecond}
				ds, err := c.ReceiveHeads(t.Context(), "q", driver.GroupRequest{ReceiveRequest: r})
				if err != nil {
					t.Error(err)
				}
				for _, d := range ds {
					work(d, rnd.IntN(4) == 0)
				}
			}
		})
	}
	all.Wait()
}

// TestEverythingAtOnce is for the race detector: any call, from many
// goroutines, while queues come and go.
func TestEverythingAtOnce(t *testing.T) {
	a, b := attached(t, "mem://stress"), attached(t, "mem://stress")
	names := []string{"q", "p"}
	a.ensure(names...)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	var all sync.WaitGroup
	for w := range 8 {
		c := []client{a, b}[w%2]
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 0))
			for range rounds {
				for name, call := range calls {
					if name == "Receive" || name == "DropQueue" && rnd.IntN(20) > 0 {
						continue // it would wait; too often
					}
					_ = call(t.Context(), c.Provider)
				}
				name := names[rnd.IntN(2)]
				_, _ = c.Send(t.Context(), name, []driver.Message{grouped("g", "a"), text("b"), {Delay: time.Microsecond}})
				ds, _ := c.Receive(t.Context(), name, driver.ReceiveRequest{Max: 9, Visibility: time.Millisecond, Wait: time.Millisecond})
				var s []driver.Settlement
				for _, d := range ds {
					d.Body = append(d.Body, 'x')
					s = append(s, driver.Settlement{Receipt: d.Receipt, Op: driver.Op(1 + rnd.IntN(4)), To: names[rnd.IntN(2)], Reason: "r"})
				}
				_ = c.Settle(t.Context(), name, s)
			}
		})
	}
	all.Wait()
	a.ensure(names...)
	for _, name := range names {
		if s := a.stats(name); s.Total != s.Visible+s.Blocked+s.Leased+s.Delayed || s.Total != int64(len(a.browse(name, false))) {
			t.Errorf("stats of %s: %+v", name, s)
		}
	}
}
