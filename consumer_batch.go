package mq

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// BatchHandler handles several deliveries in one call, and answers for each of them:
// nil, or a slice of nils, acks all. Otherwise the nth error decides what becomes of
// the nth delivery, as a Handler's does. A slice with one error stands for all
// deliveries; any other number than that of the deliveries is a failure of all, as a panic
// is.
//
// All deliveries of a call are leased for as long as it takes. The lease of one may be
// lost meanwhile: its answer has no effect then, and ctx does not end. ctx ends with
// the cause ErrStopping when the Consumer stops and SoftStop is over, and with
// context.DeadlineExceeded after Timeout.
type BatchHandler func(ctx context.Context, ds []*Delivery) []error

// BatchConfig configures a Consumer with a BatchHandler. The zero value is the default.
type BatchConfig struct {
	// ConsumerConfig has the meaning that it has for single deliveries, with these
	// differences. Concurrency is how many batches are handled at once, 1 by default.
	// Timeout begins with the call of the BatchHandler. Middleware wraps each delivery,
	// from when it joins a batch until the batch has its answer. Prefetch is Max by
	// default, except with Groups.
	ConsumerConfig

	// Max is how many deliveries a batch has at most. Defaults to 100, and is at most
	// 10,000, as Concurrency is.
	Max int
	// Within is how long a batch waits for further messages after its first one. It is
	// handled earlier if it is full, if the Consumer stops, or if a message is to be
	// handled alone; a Pause does not end it. Defaults to 100 milliseconds, and is at most
	// an hour.
	Within time.Duration
}

// The limits of BatchConfig.
const (
	maxBatchMax    = 10_000
	maxBatchWithin = time.Hour
)

func (cfg BatchConfig) check() error {
	switch {
	case cfg.Max < 0 || cfg.Max > maxBatchMax:
		return invalid("BatchConfig.Max %d is not between 1 and %d", cfg.Max, maxBatchMax)
	case cfg.Within < 0 || cfg.Within > maxBatchWithin:
		return invalid("BatchConfig.Within %v is not between 0 and %v", cfg.Within, maxBatchWithin)
	case cfg.Concurrency < 0 || cfg.Concurrency > maxBatchMax:
		return invalid("Concurrency %d is not between 1 and %d", cfg.Concurrency, maxBatchMax)
	}
	return nil
}

// NewBatchConsumer returns a Consumer whose handler gets several deliveries at once. Its
// SetConcurrency counts batches; its statistics count messages.
func NewBatchConsumer(q *Queue, handle BatchHandler, cfg BatchConfig) (*Consumer, error) {
	if handle == nil {
		return nil, q.fail("consume", invalid("the handler is nil"))
	}
	if err := cfg.check(); err != nil {
		return nil, q.fail("consume", err)
	}
	cfg.Max = cmp.Or(cfg.Max, 100)
	cfg.Within = cmp.Or(cfg.Within, 100*time.Millisecond)
	one := cfg.ConsumerConfig
	one.Concurrency = cmp.Or(one.Concurrency, 1) * cfg.Max
	if one.Groups == nil && one.Prefetch == 0 {
		one.Prefetch = cfg.Max
	}
	b := &batcher{handle: handle, max: cfg.Max, within: cfg.Within, timeout: one.Timeout, freed: make(chan struct{}, 1)}
	if one.Timeout > 0 { // of a delivery, which waits for its batch first
		one.Timeout = 0
	}
	c, err := NewConsumer(q, b, one)
	if err != nil {
		return nil, err
	}
	b.c, c.batcher = c, b
	return c, nil
}

// ConsumeBatch runs handle for batches of the queue's messages until ctx ends: it is
// NewBatchConsumer and Run in one.
func (q *Queue) ConsumeBatch(ctx context.Context, handle func(context.Context, []*Delivery) []error, cfg BatchConfig) error {
	c, err := NewBatchConsumer(q, handle, cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// batcher is the Handler of a Consumer of batches. Each delivery has a worker, which
// joins a batch, waits until that has been handled, and returns the delivery's part of
// the answer. So everything that a Consumer does for a delivery is done for each one
// of a batch. The worker of the first delivery runs the BatchHandler.
type batcher struct {
	c       *Consumer
	handle  BatchHandler
	max     int
	within  time.Duration
	timeout time.Duration
	freed   chan struct{} // holds a token when another batch may begin

	mu        sync.Mutex
	gathering *gathering // which others can join, or nil
	running   int        // batches that are handled
}

// gathering is a batch. Its fields are the leader's own once it is closed.
type gathering struct {
	ds   []*Delivery
	ctxs []context.Context
	full chan struct{} // closed when nobody else can join
	done chan struct{} // closed when there are answers
	errs []error
}

// Handle joins a batch and returns the answer for d.
func (b *batcher) Handle(ctx context.Context, d *Delivery) error {
	g, i := b.join(ctx, d)
	if i == 0 {
		b.lead(g)
	}
	<-g.done
	return g.errs[i]
}

// join puts d into the batch that gathers, or into a new one.
func (b *batcher) join(ctx context.Context, d *Delivery) (g *gathering, i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gathering == nil {
		b.gathering = &gathering{full: make(chan struct{}), done: make(chan struct{})}
	}
	g, i = b.gathering, len(b.gathering.ds)
	g.ds, g.ctxs = append(g.ds, d), append(g.ctxs, ctx)
	if len(g.ds) == b.max {
		b.close(g)
	}
	return g, i
}

// close keeps others from joining g. b.mu is held.
func (b *batcher) close(g *gathering) {
	if b.gathering == g {
		b.gathering = nil
		close(g.full)
	}
}

// lead waits for others and for a turn, and runs the handler.
func (b *batcher) lead(g *gathering) {
	timer := time.NewTimer(b.patience())
	select {
	case <-g.full:
	case <-timer.C:
	case <-b.c.drained:
	}
	timer.Stop()
	if b.awaitTurn() {
		defer b.endTurn()
	}
	b.mu.Lock()
	b.close(g)
	b.mu.Unlock()
	defer close(g.done)
	b.run(g)
}

// patience returns how long a batch waits for others.
func (b *batcher) patience() time.Duration {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	switch {
	case b.c.lone.active: // nobody else will come
		return 0
	case b.c.lone.d != nil: // but those that were fetched with it
		return min(b.within, lastJoiners)
	}
	return b.within
}

// lastJoiners is how long a batch waits for deliveries whose workers have begun.
const lastJoiners = 10 * time.Millisecond

// flush ends the gathering, for a message that is to be handled alone.
func (b *batcher) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gathering != nil {
		b.close(b.gathering)
	}
}

// awaitTurn waits until fewer batches are handled than Concurrency. It returns false
// once handlers are told to stop: then the contexts of all deliveries have ended.
func (b *batcher) awaitTurn() bool {
	for !b.begin() {
		select {
		case <-b.freed:
		case <-b.c.handlers.Done():
			return false
		}
	}
	return true
}

func (b *batcher) begin() bool {
	b.c.mu.Lock()
	limit := max(1, b.c.concurrency/b.max)
	b.c.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running >= limit {
		return false
	}
	if b.running++; b.running < limit {
		b.free() // for another one that waits
	}
	return true
}

func (b *batcher) endTurn() {
	b.mu.Lock()
	b.running--
	b.mu.Unlock()
	b.free()
}

func (b *batcher) free() {
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// run calls the handler for those deliveries that are still ours.
func (b *batcher) run(g *gathering) {
	g.errs = make([]error, len(g.ds))
	var ds []*Delivery
	var of []int // ds[n] is g.ds[of[n]]
	for i, d := range g.ds {
		switch g.errs[i] = context.Cause(g.ctxs[i]); {
		case g.errs[i] != nil:
		case d.Expired(): // while the batch gathered
			g.errs[i] = errExpired
		default:
			ds, of = append(ds, d), append(of, i)
		}
	}
	if len(ds) == 0 {
		return
	}
	errs := []error{errGoexit} // unless the handler returns
	defer func() {
		for n, i := range of {
			g.errs[i] = answer(errs, n, len(ds))
		}
	}()
	errs = b.call(ds)
}

// call calls the handler. Its panic is an error of all deliveries.
func (b *batcher) call(ds []*Delivery) (errs []error) {
	ctx := b.c.handlers
	if b.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.timeout)
		defer cancel()
		for _, d := range ds {
			b.c.keeper.limit(&d.lease, now().add(b.timeout).add(max(b.c.cfg.HardStop, 0)))
		}
	}
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			errs = panicked(&v, stack, len(ds))
			b.c.log.Error("mq: handler panicked", "messages", len(ds), "panic", v, "stack", string(stack))
		}
	}()
	return b.handle(ctx, append([]*Delivery(nil), ds...))
}

// partialPanic is the panic of a handler of typed values, with the answers of the
// deliveries that it did not get.
type partialPanic struct {
	value   any
	answers []error
}

// panicked returns the answers to n deliveries of a handler that panicked with *v, which
// it sets to the handler's own value.
func panicked(v *any, stack []byte, n int) []error {
	p, ok := (*v).(*partialPanic)
	if !ok {
		return []error{&PanicError{Value: *v, Stack: stack}}
	}
	*v = p.value
	errs := make([]error, n)
	for i := range errs {
		if errs[i] = p.answers[i]; errs[i] == nil {
			errs[i] = &PanicError{Value: p.value, Stack: stack}
		}
	}
	return errs
}

// answer returns the nth of a BatchHandler's answers to m deliveries.
func answer(errs []error, n, m int) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	case m:
		return errs[n]
	}
	return fmt.Errorf("the batch handler returned %d errors for %d deliveries", len(errs), m)
}
