package drivertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var consumerCases = []testCase{
	{name: "consumer/acks", rule: "a Consumer acks what its handler returns nil for", run: consumerAcks},
	{name: "consumer/concurrency", rule: "ConsumerConfig.Concurrency bounds how many handlers run at once, and is used", run: consumerConcurrency},
	{name: "consumer/set-concurrency", rule: "SetConcurrency changes how many handlers run at once", run: consumerSetConcurrency},
	{name: "consumer/long-job", rule: "a handler that takes three times the visibility keeps its message alone", run: consumerLongJob},
	{name: "consumer/prefetch", rule: "prefetched messages are not delivered twice when handlers are slow", run: consumerPrefetch},
	{name: "consumer/no-prefetch", rule: "with a negative Prefetch no more is leased than handlers run", run: consumerNoPrefetch},
	{name: "consumer/pause", rule: "Pause stops fetching, and Resume ends it", run: consumerPause},
	{name: "consumer/middleware", rule: "Middleware wraps the handler, the first one outermost", run: consumerMiddleware},
	{name: "consumer/from-context", rule: "FromContext finds the delivery in a handler of typed values", run: consumerFromContext},
	{name: "consumer/self-settled", rule: "a delivery that the handler has settled itself is left alone", run: consumerSelfSettled},
	{name: "consumer/missing-queue", rule: "ErrQueueNotFound ends Run", run: consumerMissingQueue},
	{name: "consumer/run-once", rule: "Run may be called once, and not with options outside their range", run: consumerRunOnce},
	{name: "consumer/lease-lost", rule: "the handler's ctx ends with the cause ErrStaleReceipt when its lease is lost", run: consumerLeaseLost},
	{name: "consumer/two", rule: "two consumers share a queue, each message is handled once", run: consumerTwo},
	{name: "consumer/ledger", rule: "2,000 messages with random outcomes: each is acked or dead-lettered once, and the counters add up", run: consumerLedger},
}

// consume runs a Consumer until the case ends, or stop is called, which
// returns the result of Run. If cfg does not say how long a stop may take, it
// may take as long as it needs.
func (t *tester) consume(q *mq.Queue, h mq.HandlerFunc, cfg mq.ConsumerConfig) (c *mq.Consumer, stop func() error) {
	t.Helper()
	if cfg.Visibility == 0 {
		cfg.Visibility = t.long
	}
	cfg.SoftStop, cfg.HardStop = cmp.Or(cfg.SoftStop, t.long), cmp.Or(cfg.HardStop, t.long)
	ctx, cancel := context.WithCancel(t.ctx)
	var err error
	slowly := func(ctx context.Context, d *mq.Delivery) error {
		time.Sleep(t.unit / 200) // without it a message that comes again and again would stop a bubble's clock
		return h(ctx, d)
	}
	c, err = mq.NewConsumer(q, mq.HandlerFunc(slowly), cfg)
	t.ok(err, "NewConsumer")
	done := t.background(func() { err = c.Run(ctx) })
	t.Cleanup(cancel)
	return c, func() error {
		t.Helper()
		cancel()
		t.await("Run returns after its ctx ended", done)
		return err
	}
}

// nothing is a handler.
var nothing mq.HandlerFunc = func(context.Context, *mq.Delivery) error { return nil }

// tally notes handler calls.
type tally struct {
	mu    sync.Mutex
	calls []string
}

func (y *tally) add(s ...string) (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.calls = append(y.calls, s...)
	return len(y.calls)
}

func (y *tally) all() []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.Clone(y.calls)
}

// handled waits until n handler calls have been noted.
func (t *tester) handled(y *tally, n int) {
	t.Helper()
	t.reaches(fmt.Sprintf("%d handler calls", n), n, func() int { return len(y.all()) })
}

func consumerAcks(t *tester) {
	q := t.queue()
	y := new(tally)
	c, stop := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		y.add(string(d.Body))
		return nil
	}, mq.ConsumerConfig{})
	t.post(q, numbered(20)...)
	t.handled(y, 20)
	t.send(q, "late")
	t.handled(y, 21)
	t.ok(stop(), "Run")
	if s := c.Stats(); s.Received != 21 || s.Acked != 21 || s.Running != 0 || s.Buffered != 0 {
		t.Errorf("ConsumerStats are %+v, want 21 received and acked", s)
	}
	t.none(q, "all were acked")
	t.counted(q, counts{})
}

// gauge notes how many run at once.
type gauge struct{ now, most atomic.Int32 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
}

func consumerConcurrency(t *tester) {
	q := t.queue()
	t.post(q, numbered(20)...)
	g := new(gauge)
	y := new(tally)
	t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		g.enter()
		t.eventually("four handlers at once", func() bool { return g.most.Load() >= 4 })
		time.Sleep(t.unit / 4)
		g.now.Add(-1)
		y.add(d.ID)
		return nil
	}, mq.ConsumerConfig{Concurrency: 4})
	t.handled(y, 20)
	if n := g.most.Load(); n != 4 {
		t.Errorf("%d handlers ran at once, want 4", n)
	}
}

func consumerSetConcurrency(t *tester) {
	q := t.queue()
	t.post(q, numbered(6)...)
	g := new(gauge)
	leave := make(chan struct{})
	c, _ := t.consume(q, func(ctx context.Context, _ *mq.Delivery) error {
		g.enter()
		defer g.now.Add(-1)
		select {
		case leave <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 1, SoftStop: mq.AtOnce})
	t.eventually("one handler", func() bool { return g.now.Load() == 1 })
	c.SetConcurrency(3)
	t.eventually("three handlers", func() bool { return g.now.Load() == 3 })
	c.SetConcurrency(1)
	for range 2 {
		t.await("a handler ends", leave)
	}
	t.eventually("one handler", func() bool { return g.now.Load() == 1 })
	t.sleep(2 * t.unit)
	if n := g.now.Load(); n != 1 {
		t.Errorf("%d handlers run after SetConcurrency(1)", n)
	}
	for range 4 {
		t.await("a handler ends", leave)
	}
	t.reaches("all are acked", 6, func() int { return int(c.Stats().Acked) })
}

// isEmpty reports whether Stats shows no message, as far as it can tell.
func (t *tester) isEmpty(q *mq.Queue) bool {
	t.Helper()
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	return s.Total <= 0
}

func consumerNoPrefetch(t *tester) {
	q := t.queue()
	t.post(q, numbered(6)...)
	leave := make(chan struct{})
	c, _ := t.consume(q, func(ctx context.Context, _ *mq.Delivery) error {
		select {
		case leave <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 2, Prefetch: mq.NoPrefetch, SoftStop: mq.AtOnce})
	for n := range 3 {
		t.eventually("two handlers", func() bool {
			s := c.Stats()
			return s.Received >= int64(n+2) && s.Buffered == 0
		})
		t.sleep(2 * t.unit)
		if s := c.Stats(); s.Received != int64(n+2) || s.Buffered != 0 {
			t.Errorf("ConsumerStats are %+v after %d messages, want two more received", s, n)
		}
		t.await("a handler ends", leave)
	}
}

// fetching is a provider that counts its receives, and those under way. One
// whose ctx has ended leases nothing.
type fetching struct {
	immovable
	begun, now atomic.Int32
}

func (p *fetching) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	p.now.Add(1)
	defer p.now.Add(-1)
	if ctx.Err() == nil {
		p.begun.Add(1)
	}
	return p.Provider.Receive(ctx, queue, r)
}

func consumerPause(t *tester) {
	p := &fetching{immovable: immovable{t.p}}
	client := mq.New(p, quiet())
	t.Cleanup(func() { closeClient(t, client) })
	q := t.queueOf(client)
	y := new(tally)
	c, _ := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		y.add(string(d.Body))
		return nil
	}, mq.ConsumerConfig{})
	t.send(q, "before")
	t.eventually("it is acked", func() bool { return c.Stats().Acked == 1 })
	c.Pause()
	t.sleep(t.unit)
	t.eventually("the fetch under way ends", func() bool { return p.now.Load() == 0 })
	begun := p.begun.Load()
	t.send(q, "in between")
	t.sleep(4 * t.unit)
	if n, fetches := len(y.all()), p.begun.Load()-begun; n != 1 || fetches != 0 {
		t.Errorf("%d messages were handled, and %d fetches begun, during a pause", n-1, fetches)
	}
	t.counted(q, counts{visible: 1})
	c.Resume()
	t.handled(y, 2)
}

func consumerMiddleware(t *tester) {
	q := t.queue()
	y := new(tally)
	wrap := func(name string) mq.Middleware {
		return func(next mq.Handler) mq.Handler {
			return mq.HandlerFunc(func(ctx context.Context, d *mq.Delivery) error {
				y.add(name)
				defer y.add("/" + name)
				return next.Handle(ctx, d)
			})
		}
	}
	t.consume(q, func(context.Context, *mq.Delivery) error {
		y.add("handler")
		return nil
	}, mq.ConsumerConfig{Middleware: []mq.Middleware{wrap("a"), wrap("b")}})
	t.send(q, "wrapped")
	t.handled(y, 5)
	if got := strings.Join(y.all(), " "); got != "a b handler /b /a" {
		t.Errorf("calls went %q", got)
	}
}

func consumerFromContext(t *tester) {
	q := mq.Of[order](t.queue())
	id, err := q.Send(t.ctx, order{ID: 1})
	t.ok(err, "Send")
	if _, ok := mq.FromContext(t.ctx); ok {
		t.Error("FromContext finds a delivery where there is none")
	}
	y := new(tally)
	h := q.Handler(func(ctx context.Context, o order) error {
		if d, ok := mq.FromContext(ctx); ok && o.ID == 1 {
			y.add(d.ID)
		}
		return nil
	})
	t.consume(q.Queue(), h.Handle, mq.ConsumerConfig{})
	t.handled(y, 1)
	if got := y.all()[0]; got != id {
		t.Errorf("FromContext found message %s, want %s", got, id)
	}
}

func consumerSelfSettled(t *tester) {
	q := t.queue()
	c, stop := t.consume(q, func(ctx context.Context, d *mq.Delivery) error {
		if err := d.Ack(ctx); err != nil {
			t.Errorf("ack in the handler: %v", err)
		}
		return errors.New("after the ack")
	}, mq.ConsumerConfig{})
	t.send(q, "settled by its handler")
	t.eventually("the handler settles", func() bool { return c.Stats().Acked == 1 })
	t.ok(stop(), "Run")
	t.none(q, "it was acked")
	if s := c.Stats(); s.Retried+s.DeadLettered+s.Lost+s.Failed != 0 {
		t.Errorf("ConsumerStats are %+v", s)
	}
}

func consumerMissingQueue(t *tester) {
	err := t.c.Queue(t.name()).Consume(t.ctx, nothing, mq.ConsumerConfig{Visibility: t.long})
	t.is(err, "Consume of a missing queue", mq.ErrQueueNotFound)
}

func consumerRunOnce(t *tester) {
	q := t.queue()
	c, stop := t.consume(q, nothing, mq.ConsumerConfig{})
	t.sleep(t.unit / 4)
	t.ok(stop(), "Run")
	t.is(c.Run(t.ctx), "second Run", mq.ErrInvalid)
	for what, cfg := range map[string]mq.ConsumerConfig{
		"negative Concurrency": {Concurrency: -1, Visibility: t.long},
		"negative Visibility":  {Visibility: -1},
		"negative Timeout":     {Timeout: -1, Visibility: t.long},
	} {
		t.is(q.Consume(t.ctx, nothing, cfg), "Consume with a "+what, mq.ErrInvalid)
	}
	t.is(q.Consume(t.ctx, nil, mq.ConsumerConfig{Visibility: t.long}), "Consume without a handler", mq.ErrInvalid)
}

func consumerTwo(t *tester) {
	q := t.queue()
	const total = 300
	y := new(tally)
	handle := func(_ context.Context, d *mq.Delivery) error {
		y.add(d.ID)
		return nil
	}
	t.consume(q, handle, mq.ConsumerConfig{Concurrency: 3})
	t.consume(q, handle, mq.ConsumerConfig{Concurrency: 5})
	t.post(q, numbered(total)...)
	t.handled(y, total)
	t.eventually("all are acked", func() bool { return t.isEmpty(q) })
	if calls := y.all(); len(slices.Compact(slices.Sorted(slices.Values(calls)))) != total || len(calls) != total {
		t.Errorf("%d handler calls, want %d of different messages", len(calls), total)
	}
}

// outcomes decides what becomes of each message, by its body and by how often
// it has come, and notes what did.
type outcomes struct {
	mu                    sync.Mutex
	seen, acked, rejected map[string]int
}

func newOutcomes() *outcomes {
	return &outcomes{seen: make(map[string]int), acked: make(map[string]int), rejected: make(map[string]int)}
}

func (o *outcomes) handle(ctx context.Context, d *mq.Delivery) error {
	times := o.note(o.seen, d.ID)
	switch kind := (len(d.Body) + int(d.Body[len(d.Body)-1])) % 7; {
	case d.Body[0] == 'p' && times == 1:
		panic("a handler's panic")
	case d.Body[0] == 'g' && times == 1:
		runtime.Goexit()
	case kind == 0 && times == 1:
		return mq.Retry(0, nil)
	case kind == 1 && times <= 2:
		return errors.New("an ordinary error")
	case kind == 3:
		o.note(o.rejected, d.ID)
		return mq.Reject(errors.New("rejected"))
	case kind == 4:
		o.note(o.acked, d.ID)
		return d.Ack(ctx)
	}
	o.note(o.acked, d.ID)
	return nil
}

func (o *outcomes) note(m map[string]int, id string) (times int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m[id]++
	return m[id]
}

func (o *outcomes) done() (acked, rejected int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked), len(o.rejected)
}

func consumerLedger(t *tester) {
	c := mq.New(t.p, quiet()) // panics are logged
	t.Cleanup(func() { closeClient(t, c) })
	q := t.queueOf(c)
	const total = 2000
	msgs := numbered(total)
	for i := 0; i < total; i += 100 {
		msgs[i].Body = fmt.Appendf(nil, "panic %d", i/100)
		msgs[i+1].Body = fmt.Appendf(nil, "goexit %d", i/100)
	}
	t.post(q, msgs...)
	o := newOutcomes()
	consumer, stop := t.consume(q, o.handle, mq.ConsumerConfig{Backoff: func(int) time.Duration { return 0 }, MaxAttempts: mq.Unlimited})
	t.reaches("all messages are settled", total, func() int {
		acked, rejected := o.done()
		return acked + rejected
	})
	t.ok(stop(), "Run")
	for _, once := range []map[string]int{o.acked, o.rejected} {
		for id, n := range once {
			if n != 1 {
				t.Errorf("message %s was settled %d times", id, n)
			}
		}
	}
	acked, rejected := o.done()
	s := consumer.Stats()
	if s.Acked != int64(acked) || s.DeadLettered != int64(rejected) || s.Lost+s.Failed != 0 {
		t.Errorf("ConsumerStats are %+v, the handlers saw %d acked and %d rejected", s, acked, rejected)
	}
	if s.Received != s.Acked+s.DeadLettered+s.Retried {
		t.Errorf("ConsumerStats do not add up: %+v", s)
	}
	t.none(q, "all were settled")
	t.counted(q, counts{archived: int64(rejected)})
}
