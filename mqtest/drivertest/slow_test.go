package drivertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest"
)

// slow is a provider whose calls take time, as on a busy machine: some before
// the backend carries them out, and some until the answer comes.
type slow struct {
	*mqtest.FaultyProvider // has all optional interfaces
	inner                  driver.Provider
	pause                  func(ctx context.Context, op string) error
	done                   chan struct{}
	close                  func() error
}

func newSlow(p driver.Provider, pace func() time.Duration) *slow {
	s := &slow{FaultyProvider: mqtest.Faulty(p), inner: p, done: make(chan struct{})}
	s.pause = func(ctx context.Context, _ string) error { return s.wait(ctx, time.After(pace())) }
	s.close = sync.OnceValue(func() error {
		close(s.done)
		return p.Close()
	})
	return s
}

func (s *slow) Close() error { return s.close() }

// wait waits until there is something to read, or the call must end.
func (s *slow) wait(ctx context.Context, until <-chan time.Time) error {
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return driver.ErrClosed
	}
}

// slowly makes a call. Its answer comes early if ctx ends: what was leased is
// not lost.
func slowly[T any](ctx context.Context, s *slow, op string, call func() (T, error)) (result T, err error) {
	if err := s.pause(ctx, op); err != nil {
		return result, err
	}
	result, err = call()
	_ = s.pause(ctx, op)
	return result, err
}

func (s *slow) do(ctx context.Context, op string, call func() error) error {
	_, err := slowly(ctx, s, op, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (s *slow) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	return s.do(ctx, "ensure", func() error { return s.FaultyProvider.EnsureQueue(ctx, queue, o) })
}

func (s *slow) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	return slowly(ctx, s, "send", func() ([]string, error) { return s.FaultyProvider.Send(ctx, queue, msgs) })
}

func (s *slow) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	return slowly(ctx, s, "receive", func() ([]driver.Delivery, error) { return s.FaultyProvider.Receive(ctx, queue, r) })
}

func (s *slow) Settle(ctx context.Context, queue string, ss []driver.Settlement) error {
	return s.do(ctx, "settle", func() error { return s.FaultyProvider.Settle(ctx, queue, ss) })
}

func (s *slow) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	return s.do(ctx, "extend", func() error { return s.FaultyProvider.Extend(ctx, queue, rs, d) })
}

func (s *slow) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	return slowly(ctx, s, "stats", func() (driver.Stats, error) { return s.FaultyProvider.Stats(ctx, queue) })
}

func (s *slow) Ping(ctx context.Context) error {
	return s.do(ctx, "ping", func() error { return s.FaultyProvider.Ping(ctx) })
}

func (s *slow) DropQueue(ctx context.Context, queue string) error {
	return s.do(ctx, "drop", func() error { return s.FaultyProvider.DropQueue(ctx, queue) })
}

func (s *slow) ListQueues(ctx context.Context) ([]string, error) {
	return slowly(ctx, s, "list", func() ([]string, error) { return s.FaultyProvider.ListQueues(ctx) })
}

func (s *slow) PurgeQueue(ctx context.Context, queue string) (int64, error) {
	return slowly(ctx, s, "purge", func() (int64, error) { return s.FaultyProvider.PurgeQueue(ctx, queue) })
}

func (s *slow) Pop(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
	return slowly(ctx, s, "pop", func() ([]driver.Delivery, error) { return s.FaultyProvider.Pop(ctx, queue, limit) })
}

func (s *slow) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	return slowly(ctx, s, "browse", func() ([]driver.Record, error) { return s.FaultyProvider.Browse(ctx, queue, r) })
}

func (s *slow) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	return slowly(ctx, s, "redrive", func() (int64, error) { return s.FaultyProvider.Redrive(ctx, queue, ids, limit) })
}

func (s *slow) PurgeArchive(ctx context.Context, queue string, olderThan time.Duration) (int64, error) {
	return slowly(ctx, s, "purge archive", func() (int64, error) { return s.FaultyProvider.PurgeArchive(ctx, queue, olderThan) })
}

func (s *slow) ReceiveHeads(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
	return slowly(ctx, s, "receive heads", func() ([]driver.Delivery, error) { return s.FaultyProvider.ReceiveHeads(ctx, queue, r) })
}

func (s *slow) ReceiveGroup(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	return slowly(ctx, s, "receive group", func() ([]driver.Delivery, error) { return s.FaultyProvider.ReceiveGroup(ctx, queue, r) })
}

func (s *slow) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	return slowly(ctx, s, "send unique", func() ([]driver.Sent, error) { return s.FaultyProvider.SendUnique(ctx, queue, msgs) })
}

func (s *slow) Bind(ctx context.Context, queue, pattern string) error {
	return s.do(ctx, "bind", func() error { return s.FaultyProvider.Bind(ctx, queue, pattern) })
}

func (s *slow) Unbind(ctx context.Context, queue, pattern string) error {
	return s.do(ctx, "unbind", func() error { return s.FaultyProvider.Unbind(ctx, queue, pattern) })
}

func (s *slow) Bindings(ctx context.Context, queue string) ([]driver.Binding, error) {
	return slowly(ctx, s, "bindings", func() ([]driver.Binding, error) { return s.FaultyProvider.Bindings(ctx, queue) })
}

func (s *slow) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	return slowly(ctx, s, "publish", func() ([]driver.Published, error) { return s.FaultyProvider.Publish(ctx, topic, msgs) })
}

// sluggishly is a pace of 0 to 300 ms a call, fitfully one of next to no time,
// and of 2 or 3 s now and then.
func sluggishly() time.Duration { return rand.N(150 * time.Millisecond) }

func fitfully() time.Duration {
	if rand.N(40) == 0 {
		return 2*time.Second + rand.N(time.Second)
	}
	return rand.N(5 * time.Millisecond)
}

// slowed is the harness of the providers of h, made slow.
func slowed(h Harness, pace func() time.Duration) Harness {
	var inner sync.Map // by client
	wrap := func(in *mq.Client) *mq.Client {
		c := mq.New(newSlow(in.Provider(), pace), silent)
		inner.Store(c, in)
		return c
	}
	of := func(c *mq.Client) *mq.Client {
		in, _ := inner.Load(c)
		return in.(*mq.Client)
	}
	open, again, breaks, begin := h.Open, h.Again, h.Break, h.Begin
	h.Open = func(t testing.TB) *mq.Client { return wrap(open(t)) }
	if again != nil {
		h.Again = func(t testing.TB, c *mq.Client) *mq.Client { return wrap(again(t, of(c))) }
	}
	if breaks != nil {
		h.Break = func(t testing.TB, c *mq.Client) { breaks(t, of(c)) }
	}
	if begin != nil {
		h.Begin = func(t testing.TB, c *mq.Client) Tx { return begin(t, of(c)) }
	}
	return h
}

// TestSlow shows that the suite does not depend on how fast a backend and its
// machine are. The cases run as they do on real time, but on a bubble's.
//
// A case has a harness of its own: a restart is one of all its clients.
func TestSlow(t *testing.T) {
	for name, h := range map[string]func() Harness{
		"sluggish":         func() Harness { return slowed(named(), sluggishly) },
		"fitful":           func() Harness { return slowed(named(), fitfully) },
		"awkward,sluggish": func() Harness { return slowed(awkwardHarness(""), sluggishly) },
		"awkward,fitful":   func() Harness { return slowed(awkwardHarness(""), fitfully) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *plan
			synctest.Test(t, func(t *testing.T) { p = newPlan(t, h()) })
			for _, c := range p.apply {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						for _, failure := range runCaseOn(t.Context(), h(), c) {
							t.Error(failure)
						}
					})
				})
			}
		})
	}
}
