package pgmq

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
)

func woke(w *waiter) bool {
	select {
	case <-w.ch:
		return true
	default:
		return false
	}
}

// TestHubWakes: one plain receiver at a time, the one that waits longest, and
// all that receive groups.
func TestHubWakes(t *testing.T) {
	h := &hub{}
	a, b, c := h.join(false), h.join(false), h.join(false)
	g1, g2 := h.join(true), h.join(true)
	for i, want := range []*waiter{a, b, c, a, b} {
		h.wake()
		for name, w := range map[string]*waiter{"a": a, "b": b, "c": c} {
			if got := woke(w); got != (w == want) {
				t.Errorf("wake-up %d: %s is woken: %v", i, name, got)
			}
		}
		if !woke(g1) || !woke(g2) {
			t.Errorf("wake-up %d: not all groups are woken", i)
		}
	}
	for range 10 { // nobody listens, and nobody blocks
		h.wake()
	}
	if !woke(a) || woke(a) || !woke(g1) || woke(g1) {
		t.Error("more or less than one wake-up is held")
	}
}

// TestHubLeaves: who leaves hands on what it knew or was told, unless it took
// groups.
func TestHubLeaves(t *testing.T) {
	h := &hub{}
	a, b, g, g2 := h.join(false), h.join(false), h.join(true), h.join(true)
	if h.leave(g); woke(a) || woke(b) || woke(g2) {
		t.Error("a receiver of groups hands something on")
	}
	if h.leave(a); !woke(b) || woke(g2) {
		t.Error("the next receiver is not woken, or those of groups are")
	}
	h.leave(b)
	h.leave(b)
	h.leave(g2)
	if h.wake(); woke(a) || woke(b) || woke(g) || len(h.plain)+len(h.groups) > 0 {
		t.Error("who has left is woken")
	}
}

// TestHubLive: everybody learns that inserts are heard of, and that they are
// not any more.
func TestHubLive(t *testing.T) {
	h := &hub{}
	ws := []*waiter{h.join(false), h.join(false), h.join(true), h.join(true)}
	for _, live := range []bool{true, false} {
		h.setLive(live)
		for _, w := range ws {
			if !woke(w) || h.isLive() != live {
				t.Errorf("live is %v: a receiver is not woken, or it is %v", live, h.isLive())
			}
		}
	}
}

// TestWakes: what wakes the receivers of queue jobs in this process, and which
// queues' receivers in others are told in a notification of its own.
func TestWakes(t *testing.T) {
	for _, tt := range []struct {
		name          string
		plain, groups bool
		others        string
		answers       answers
		run           func(*rig) error
	}{
		{"send", true, true, "", nil, sends(body("1"))}, // it notifies by itself
		{"ack", false, true, "", answers{jobs.ackOne: {{int64(7)}}}, settles(ack(lease(7)))},
		{"nack", true, true, "jobs", nil, settles(nack(lease(7), 0))},
		{"nack at the timeout", false, true, "", nil, settles(nack(lease(7), driver.AtTimeout))},
		{"move", false, true, "other", nil, settles(moved(lease(7), "other", ""))},
		{"purge", false, true, "", nil, purges},
		{"redrive", true, true, "jobs", nil, redrives},
		{"redrive of nothing", false, false, "", answers{jobs.redrive: {{int64(0)}}}, redrives},
		{"drop", true, true, "", nil, drops},
		{"send in a transaction", false, false, "", nil, txSends(body("1"))},
		{"nack in a transaction", false, false, "", nil, txSettles(nack(lease(7), 0))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var plain, group *waiter
			call{run: tt.run, answers: tt.answers}.try(t, func(r *rig) {
				plain, group = r.hub("jobs").join(false), r.hub("jobs").join(true)
			}, func(t *testing.T, r *rig, err error) {
				others := strings.Join(r.notified, " ")
				if tt.others != "" {
					tt.others = channel(tt.others)
				}
				if p, g := woke(plain), woke(group); err != nil || p != tt.plain || g != tt.groups || others != tt.others {
					t.Errorf("it wakes plain receivers: %v, of groups: %v, of others: %q; want %v, %v, %q: %v", p, g, others, tt.plain, tt.groups, tt.others, err)
				}
			})
		})
	}
}

// TestHubOfQueue: each queue has one.
func TestHubOfQueue(t *testing.T) {
	p := (&fake{}).open(t)
	a, b := p.hub("a"), p.hub("b")
	if p.hub("a") != a || a == b || a.queue != "a" || b.queue != "b" {
		t.Error("the hubs are mixed up")
	}
}

// TestHubClose: the notification that is due leaves with Close, and none after.
func TestHubClose(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		h := r.hub("jobs")
		h.takeNotify() // so that the next one is not sent before Close
		h.inserted(r.Provider, false)
		h.inserted(r.Provider, false)
		r.must(r.Close())
		h.inserted(r.Provider, false)
		if h.following {
			t.Error("a notification is to follow after Close")
		}
		r.follows("0s notify")
	})
}

// TestHubHangs: a notification does not take longer than a second, or Close
// would.
func TestHubHangs(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.add(sqlNotify, queued{took: time.Hour})
		r.hub("jobs").inserted(r.Provider, false)
		r.must(r.Close())
		if took := time.Since(r.start); took != time.Second || !strings.Contains(r.log.take(), "notifying receivers failed") {
			t.Errorf("Close takes %v", took)
		}
	})
}

// TestHubThrottle: whatever lands is notified of within 6 ms, and notifications
// are 5 ms apart. Each send has ended before the next one begins.
func TestHubThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		f := &fake{answer: func(context.Context, string, values) ([]values, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return nil, nil
		}}
		p := f.open(t)
		h := p.hub("jobs")
		var inserted []time.Time
		for range 1000 {
			notifies := h.takeNotify()
			mu.Lock()
			if inserted = append(inserted, time.Now()); notifies {
				at = append(at, time.Now())
			}
			mu.Unlock()
			h.inserted(p, notifies)
			time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Millisecond))))
		}
		time.Sleep(notifyEvery + followAfter)
		synctest.Wait()
		checkThrottle(t, inserted, at)
	})
}

func checkThrottle(t *testing.T, inserted, notified []time.Time) {
	t.Helper()
	for i := 1; i < len(notified); i++ {
		if pause := notified[i].Sub(notified[i-1]); pause < notifyEvery {
			t.Fatalf("two notifications within %v", pause)
		}
	}
	for _, l := range inserted {
		for len(notified) > 0 && notified[0].Before(l) {
			notified = notified[1:]
		}
		if len(notified) == 0 || notified[0].Sub(l) > notifyEvery+followAfter {
			t.Fatalf("nobody is told within %v of what inserted at %v", notifyEvery+followAfter, l)
		}
	}
}

// stock is a queue of messages without bodies, on a fake whose answers take
// their time.
type stock struct {
	mu   sync.Mutex
	at   []time.Time // when those that are left were sent
	late time.Duration
}

func (s *stock) answer(_ context.Context, text string, _ values) ([]values, error) {
	pause := func() { time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Millisecond)))) }
	pause()
	defer pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch text {
	case sqlShape:
		return []values{layout113.row()}, nil
	case sqlThrottle:
		return []values{{"jobs", int64(250)}}, nil
	case jobs.probe:
		return []values{{len(s.at) > 0, nil}}, nil
	case jobs.claim:
		if len(s.at) > 0 {
			s.late = max(s.late, time.Since(s.at[0]))
			s.at = s.at[1:]
			return []values{leased(1)}, nil
		}
	}
	return nil, nil
}

func (s *stock) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
}

// TestHubLosesNothing: many receivers that hear of inserts, some of which give
// up as messages come, be there one wake-up for each or one for all. Without
// its wake-up a message would be found after 50 milliseconds at the earliest.
func TestHubLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(stock)
		p := (&fake{answer: s.answer}).open(t)
		hears(p)
		q, err := p.attach(t.Context(), p.db, "jobs")
		if err != nil {
			t.Fatal(err)
		}
		p.listen(t.Context(), q)
		for range 100 {
			s.round(t, p, 20)
		}
		if s.late >= 40*time.Millisecond || len(s.at) != 0 {
			t.Errorf("a message waits for %v, %d are left", s.late, len(s.at))
		}
		if h := p.hub("jobs"); len(h.plain) > 0 {
			t.Errorf("%d receivers have not left", len(h.plain))
		}
	})
}

// round lets n receivers wait for fewer messages.
func (s *stock) round(t *testing.T, p *Provider, n int) {
	var receivers sync.WaitGroup
	var cancels []context.CancelFunc
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		receivers.Go(func() {
			_, _ = p.Receive(ctx, "jobs", driver.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: time.Minute})
		})
	}
	time.Sleep(time.Second) // and nobody looks by himself any more
	messages := 1 + rand.IntN(n/2)
	for _, cancel := range cancels[:rand.IntN(n-messages)] {
		time.AfterFunc(time.Duration(rand.Int64N(int64(3*time.Millisecond))), cancel)
	}
	once := rand.IntN(2) == 0
	for i := range messages {
		s.add()
		if !once || i == messages-1 {
			p.hub("jobs").wake()
		}
		time.Sleep(time.Duration(rand.Int64N(int64(time.Millisecond))))
	}
	time.Sleep(time.Second)
	for _, cancel := range cancels {
		cancel()
	}
	receivers.Wait()
}

// hears makes a provider believe that it hears of inserts into queue jobs.
func hears(p *Provider) {
	p.listenConfig = fixedConfig(func() *pgx.ConnConfig { panic("it connects") })
	p.listener = newListener(p)
	p.hub("jobs").setLive(true)
}

// TestHubLockOrder: receivers come and go, and queues are forgotten, while
// messages land.
func TestHubLockOrder(t *testing.T) {
	r := newRig(t, call{})
	q := r.known("jobs")
	_ = r.Close() // so that nothing is notified
	var all sync.WaitGroup
	for _, act := range []func(){
		func() { h, w := r.join(q, false); h.leave(w) },
		func() { r.forget("jobs") },
		func() { r.hub("jobs").inserted(r.Provider, false) },
		func() { r.hub("jobs").takeTxNotify(r.Provider) },
	} {
		all.Go(func() {
			for range 200_000 {
				act()
			}
		})
	}
	all.Wait()
}
