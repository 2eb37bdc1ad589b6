package linear

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/mqtest"
)

// losing returns a provider on which calls and answers get lost, and some are late.
func losing(p driver.Provider, seed uint64) *mqtest.FaultyProvider {
	r := rand.New(rand.NewPCG(seed, 99))
	some := func(int) bool { return r.IntN(25) == 0 } // called under the provider's lock
	f := mqtest.Faulty(p)
	for _, op := range []string{"send", "receive", "settle", "extend"} {
		f.Plan(
			mqtest.Fault{Op: op, When: some, Applied: true, Err: driver.ErrUnavailable},
			mqtest.Fault{Op: op, When: some, Err: driver.ErrUnavailable},
			mqtest.Fault{Op: op, When: some, Err: driver.ErrBadConn},
			mqtest.Fault{Op: op, When: some, Applied: true, Delay: 3 * time.Millisecond},
			mqtest.Fault{Op: op, When: some, Delay: 3 * time.Millisecond},
		)
	}
	return f
}

// late is a provider that gives up some calls and carries them out later.
type late struct {
	driver.Provider
	mu    sync.Mutex
	rand  *rand.Rand
	calls sync.WaitGroup
}

// later reports whether it has taken over a call.
func (l *late) later(call func(context.Context)) bool {
	l.mu.Lock()
	n := l.rand.IntN(12)
	d := time.Duration(l.rand.IntN(int(3 * time.Millisecond)))
	l.mu.Unlock()
	if n > 0 {
		return false
	}
	l.calls.Go(func() {
		time.Sleep(d)
		call(context.Background())
	})
	return true
}

func (l *late) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	kept := slices.Clone(msgs)
	if l.later(func(ctx context.Context) { _, _ = l.Provider.Send(ctx, queue, kept) }) {
		return nil, driver.ErrUnavailable
	}
	return l.Provider.Send(ctx, queue, msgs)
}

func (l *late) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	if l.later(func(ctx context.Context) { _, _ = l.Provider.Receive(ctx, queue, r) }) {
		return nil, driver.ErrUnavailable
	}
	return l.Provider.Receive(ctx, queue, r)
}

func (l *late) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	kept := slices.Clone(s)
	if l.later(func(ctx context.Context) { _ = l.Provider.Settle(ctx, queue, kept) }) {
		return driver.ErrUnavailable
	}
	return l.Provider.Settle(ctx, queue, s)
}

func (l *late) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	kept := slices.Clone(rs)
	if l.later(func(ctx context.Context) { _ = l.Provider.Extend(ctx, queue, kept, d) }) {
		return driver.ErrUnavailable
	}
	return l.Provider.Extend(ctx, queue, rs, d)
}

func (l *late) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	return l.Provider.(driver.Browser).Browse(ctx, queue, r)
}

// TestLost: calls and answers are lost, and late.
func TestLost(t *testing.T) {
	for name, w := range workloads {
		w.Apart, w.Cut, w.Within = true, 0.1, time.Millisecond
		t.Run(name, func(t *testing.T) {
			(&several{TB: t, n: 1000, lossy: true}).each(func(seed uint64) *History {
				w.Seed = seed
				f := losing(mem.New(), seed)
				defer func() { _ = f.Close() }()
				return must(t, w, f.Caps(), Provider(ensured(t, f, "q"), "q"))
			})
		})
		t.Run(name+", late", func(t *testing.T) {
			(&several{TB: t, n: 1000, lossy: true}).each(func(seed uint64) *History {
				w.Seed = seed
				p := &late{Provider: ensured(t, mem.New(), "q"), rand: rand.New(rand.NewPCG(seed, 98))}
				defer p.calls.Wait()
				return must(t, w, p.Caps(), Provider(p, "q"))
			})
		})
		t.Run(name+", through mq", func(t *testing.T) {
			(&several{TB: t, n: 300, lossy: true}).each(func(seed uint64) *History {
				w.Seed = seed
				p := &late{Provider: mem.New(), rand: rand.New(rand.NewPCG(seed, 98))}
				defer p.calls.Wait()
				c := mq.New(losing(p, seed), checks.Quiet)
				defer c.Close()
				q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
				checks.OK(t, err)
				return must(t, w, c.Caps(), Queue(q))
			})
		})
	}
}
