package mq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// ConsumerConfig configures a Consumer. The zero value is the default.
type ConsumerConfig struct {
	// Concurrency is how many handlers run at once. Defaults to 10.
	Concurrency int

	// Visibility is how long a message is leased at a time. The Consumer
	// extends leases as long as needed, so this only bounds how long a crashed
	// process delays its messages. Defaults to 30 seconds, or to the provider's
	// limit if that is less.
	Visibility time.Duration

	// MaxReads is how often a message is delivered before it becomes a dead
	// letter: after the handler's last error, or instead of one more delivery
	// if the handler never returned. A delivery that is given back or
	// interrupted by a stop counts too. Without Caps.ExactReadCount the limit is
	// as inexact as the read count. Negative means no limit. Defaults to 10.
	MaxReads int

	// Backoff is the pause after an ordinary error. Defaults to
	// Exponential(time.Second, 5*time.Minute). It is cut to Caps.MaxDelay;
	// where the provider has no delays the visibility timeout takes its
	// place.
	Backoff Backoff

	// DeadLetter is the queue that dead letters are moved to. "" means the
	// queue's archive.
	DeadLetter string

	// OnDeadLetter is called when a message has become a dead letter, in a
	// goroutine of its own. Run and Client.Close wait for it up to
	// Config.CallTimeout. If it panics, takes longer, or is not called because
	// ten earlier calls have not returned, the dead letter is logged as a
	// warning. That is also the default.
	OnDeadLetter func(d *Delivery, reason string)

	// Timeout ends a handler's context. 0 means no limit.
	Timeout time.Duration

	// Prefetch is how many messages are leased ahead of the handlers, at
	// most Caps.MaxBatch at a time. 0 adapts it to their speed: about 100 ms
	// of work, none for handlers slower than that. Negative means none.
	Prefetch int

	// PrefetchBytes is how many bytes of messages may wait for a handler,
	// judging by the size of earlier ones: a queue of large messages is fetched
	// a few at a time. With Config.AllowDuplicateMoves, where the provider
	// cannot move in one step, each message counts twice, since a copy is kept.
	// Negative means no limit. Defaults to 16 MiB.
	PrefetchBytes int

	// Groups, if set, hands out the messages of a group one at a time and in
	// order: &GroupBy{} goes by Message.Group. What is prefetched then is the
	// next message of other groups, four for each worker at most.
	Groups *GroupBy

	// Middleware wraps the handler, the first one outermost.
	Middleware []Middleware

	// SoftStop is how long running handlers and prefetched messages may
	// still take after the Consumer was told to stop. Then what is left of
	// the prefetched is given back and the handlers' contexts end. Negative
	// means at once. Defaults to 30 seconds.
	SoftStop time.Duration

	// HardStop is how long to wait after that for handlers to return.
	// Negative means not at all. Defaults to 5 seconds.
	HardStop time.Duration
}

func (cfg ConsumerConfig) withDefaults(caps driver.Caps) ConsumerConfig {
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.Visibility = cmp.Or(cfg.Visibility, defaultVisibility(caps))
	cfg.MaxReads = cmp.Or(cfg.MaxReads, 10)
	cfg.SoftStop = cmp.Or(cfg.SoftStop, 30*time.Second)
	cfg.HardStop = cmp.Or(cfg.HardStop, 5*time.Second)
	if cfg.PrefetchBytes = cmp.Or(cfg.PrefetchBytes, defaultPrefetchBytes); cfg.PrefetchBytes < 0 {
		cfg.PrefetchBytes = math.MaxInt
	}
	return cfg
}

// ConsumerStats count what a Consumer has done and is doing.
type ConsumerStats struct {
	Running  int // handlers
	Buffered int // leased and waiting for a handler
	Settling int // settlements under way

	Received     int64
	Acked        int64
	Retried      int64 // nacked, to be delivered again
	DeadLettered int64
	Lost         int64 // leases that ended before their message was settled
	Failed       int64 // outcomes that the backend did not take: the message comes back
	Settled      int64 // settled by the handler itself
	Stuck        int64 // handlers that ignored the end of their context until their lease was left to end
}

// Consumer runs a handler for the messages of a queue. It fetches batches,
// keeps the leases of running and prefetched messages alive, settles by the
// handler's result, dead-letters what cannot be processed and stops in order.
// Its methods are safe for concurrent use.
type Consumer struct {
	queue   *Queue
	cfg     ConsumerConfig
	handler Handler
	log     *slog.Logger

	keeper    *keeper
	handlers  context.Context // parent of every handler's
	interrupt context.CancelCauseFunc
	wake      chan struct{} // holds a token when something has changed
	slow      *time.Timer   // of fetchLoop: when to log that it waits

	mu          sync.Mutex
	started     bool
	paused      bool
	cancelFetch context.CancelFunc // of the fetch under way, or nil
	concurrency int
	prefetch    int           // current target
	pace        time.Duration // how long handlers take, moving average
	buffer      []*Delivery
	intake      intake
	running     int            // workers
	unsettled   int            // settlements under way
	failures    map[string]int // how often a dead letter could not be stored, by id
	stats       ConsumerStats
}

// NewConsumer makes a Consumer; Run starts it, and reports what is wrong with
// the arguments.
func NewConsumer(q *Queue, h Handler, cfg ConsumerConfig) *Consumer {
	h = wrapped(h, cfg.Middleware)
	cfg = cfg.withDefaults(q.client.caps)
	if cfg.Groups != nil {
		cfg.Groups = &GroupBy{Path: slices.Clone(cfg.Groups.Path)}
	}
	return &Consumer{
		queue: q, cfg: cfg, handler: h, log: q.client.cfg.Logger.With("queue", q.name),
		wake:        make(chan struct{}, 1),
		concurrency: cfg.Concurrency,
	}
}

// wrapped puts middleware around h, or returns nil if one of them is nil.
func wrapped(h Handler, middleware []Middleware) Handler {
	if isNil(h) {
		return nil
	}
	for _, m := range slices.Backward(middleware) {
		if m == nil {
			return nil
		}
		if h = m(h); isNil(h) {
			return nil
		}
	}
	return h
}

// isNil reports whether h is nil, or a nil func or pointer in a Handler.
func isNil(h Handler) bool {
	if h == nil {
		return true
	}
	v := reflect.ValueOf(h)
	return (v.Kind() == reflect.Func || v.Kind() == reflect.Pointer) && v.IsNil()
}

// Consume is NewConsumer and Run in one.
func (q *Queue) Consume(ctx context.Context, h Handler, cfg ConsumerConfig) error {
	return NewConsumer(q, h, cfg).Run(ctx)
}

// Run consumes until ctx ends or the client is closed, and then stops in
// order: it fetches no more, lets handlers and prefetched messages finish
// within SoftStop, gives the rest back, cancels the handlers with ErrStopping,
// waits HardStop and sends the last settlements. It returns nil, or a
// *StopError if handlers were still running.
//
// A backend that cannot be reached does not end it: it tries again with
// growing pauses. What cannot get better does, as ErrQueueNotFound or an
// option that is not valid. Run may be called once.
func (c *Consumer) Run(ctx context.Context) error {
	client := c.queue.client
	if err := c.begin(); err != nil {
		return c.queue.fail("consume", err)
	}
	defer client.consumers.leave()
	ctx, cancel := client.untilClose(ctx)
	defer cancel()
	if err := c.checkDeadLetters(ctx); err != nil {
		return c.queue.fail("consume", err)
	}
	c.handlers, c.interrupt = context.WithCancelCause(context.WithoutCancel(ctx))
	defer c.interrupt(nil)
	c.keeper = newKeeper(ctx, c.queue, c.cfg.Visibility, c.stuck)
	defer c.keeper.close()
	c.lookAtArchive(ctx)

	err := c.fetchLoop(ctx)
	return errors.Join(err, c.stop())
}

// begin checks what Run needs.
func (c *Consumer) begin() error {
	if err := c.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return invalid("Run was called before")
	}
	if !c.queue.client.consumers.enter() {
		return ErrClosed
	}
	c.started = true
	return nil
}

func (c *Consumer) check() error {
	client := c.queue.client
	switch {
	case c.queue.err != nil:
		return c.queue.err
	case c.handler == nil:
		return invalid("the handler or a Middleware is nil")
	case c.cfg.Concurrency < 0:
		return invalid("Concurrency %d is negative", c.cfg.Concurrency)
	case c.cfg.Timeout < 0:
		return invalid("Timeout %v is negative", c.cfg.Timeout)
	}
	if err := checkVisibility(client.caps, c.cfg.Visibility); err != nil {
		return err
	}
	if c.cfg.Groups != nil {
		if _, err := client.groups(); err != nil {
			return unsupported("ConsumerConfig.Groups")
		}
	}
	if c.cfg.DeadLetter == "" {
		return nil
	}
	if !client.caps.AtomicMove && !client.cfg.AllowDuplicateMoves {
		return unsupported("ConsumerConfig.DeadLetter without Config.AllowDuplicateMoves")
	}
	to, err := client.canonical(c.cfg.DeadLetter)
	if err == nil && to == c.queue.name {
		err = invalid("DeadLetter is the queue itself: its dead letters would start again")
	}
	return err
}

// stop carries out the order of events that Run documents. The handlers'
// contexts end before the backend is called, since that may be what hangs.
func (c *Consumer) stop() error {
	idle := func() bool { return c.running == 0 && len(c.buffer) == 0 }
	if !c.await(c.cfg.SoftStop, idle) {
		c.returnBuffer()
		c.interrupt(ErrStopping)
		c.await(c.cfg.HardStop, idle)
		c.keeper.abandon()
	}
	c.await(c.queue.client.cfg.CallTimeout, func() bool { return c.unsettled == 0 })
	if n := c.Stats().Running; n > 0 {
		return &StopError{Abandoned: n}
	}
	return nil
}

// returnBuffer gives back what no handler has begun, in a goroutine that counts
// as a settlement.
func (c *Consumer) returnBuffer() {
	c.mu.Lock()
	rest := c.buffer
	c.buffer, c.intake.buffered = nil, 0
	c.mu.Unlock()
	if len(rest) == 0 {
		return
	}
	c.unsettle(1, 0)
	f := func() {
		defer c.unsettle(-1, 0)
		c.queue.giveBack(c.handlers, rest)
	}
	c.queue.client.background(func(error) { f() }, f)
}

// unsettle takes note that settlements have begun or, if negative, ended.
func (c *Consumer) unsettle(n, bytes int) {
	c.mu.Lock()
	c.unsettled += n
	c.intake.unsettled += bytes
	c.mu.Unlock()
	if n < 0 {
		c.poke()
	}
}

// stopping reports whether handlers have been told to stop.
func (c *Consumer) stopping() bool { return c.handlers.Err() != nil }

// await waits up to limit for a condition, which is checked under mu.
func (c *Consumer) await(limit time.Duration, condition func() bool) bool {
	timer := time.NewTimer(max(limit, 0))
	defer timer.Stop()
	for {
		c.mu.Lock()
		met := condition()
		c.mu.Unlock()
		if met {
			return true
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return false
		}
	}
}

// poke wakes await, awaitRoom or whatever waits for a change.
func (c *Consumer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Pause stops fetching. What is already leased is still handled.
func (c *Consumer) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
	if c.cancelFetch != nil {
		c.cancelFetch()
	}
}

// Resume ends Pause.
func (c *Consumer) Resume() {
	c.mu.Lock()
	c.paused = false
	c.mu.Unlock()
	c.poke()
}

// SetConcurrency changes how many handlers run at once. It panics if n < 1;
// Pause is for none. Running handlers are not interrupted.
func (c *Consumer) SetConcurrency(n int) {
	if n < 1 {
		panic(fmt.Sprintf("mq: SetConcurrency(%d) (use Pause to stop fetching)", n))
	}
	c.mu.Lock()
	c.concurrency = n
	c.mu.Unlock()
	c.dispatch()
	c.poke()
}

// Stats returns the counters.
func (c *Consumer) Stats() ConsumerStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Running, s.Buffered, s.Settling = c.running, len(c.buffer), c.unsettled
	return s
}
