package mq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"
)

// ConsumerStats count what a Consumer has done and is doing.
type ConsumerStats struct {
	Running  int // handlers
	Buffered int // leased and waiting for a handler
	Settling int // settlements and events under way

	Paused bool // by Pause, or by Queue.Pause

	Received int64

	// What became of the messages received, whether the Consumer, the handler or
	// the handler's transaction settled them.

	Acked        int64
	Retried      int64 // nacked, to be delivered again
	Snoozed      int64 // nacked by Snooze
	Returned     int64 // given back unhandled, or interrupted by a stop
	DeadLettered int64
	Expired      int64 // archived unhandled, since Message.Expires was over
	Moved        int64 // to another queue, by the handler
	Lost         int64 // leases that ended before their message was settled
	Failed       int64 // outcomes that the backend did not take: the message comes back

	Purged int64 // messages deleted from the archive, by KeepArchive
	Stuck  int64 // handlers that ignored the end of their context until their lease was left to end

	LastFetch   time.Time // when the last successful fetch ended, with messages or none; zero before
	LastError   error     // of the last fetch or settlement that failed; nil if none has
	LastErrorAt time.Time
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
	drained   chan struct{} // closed when nothing more is fetched
	batcher   *batcher      // the handler, if it handles batches

	mu          sync.Mutex
	started     bool
	active      bool               // Run has not returned
	paused      bool               // by Pause
	queuePaused bool               // by Queue.Pause
	cancelFetch context.CancelFunc // of the fetch under way, or nil
	concurrency int
	prefetch    int           // current target
	pace        time.Duration // how long handlers take, moving average
	buffer      []*Delivery
	lone        lone
	intake      intake
	rate        rate
	running     int            // workers
	unsettled   int            // settlements under way
	failures    map[string]int // how often a dead letter could not be stored, by id
	stats       ConsumerStats
	sick        error // of the fetches since the last success
}

// NewConsumer returns a Consumer, which Run starts. What is wrong with the arguments
// is ErrInvalid or ErrNotSupported.
func NewConsumer(q *Queue, h Handler, cfg ConsumerConfig) (*Consumer, error) {
	err := checkMux(h)
	h = wrapped(h, cfg.Middleware)
	if err = cmp.Or(checkConsumer(q, h, cfg), err); err != nil {
		return nil, q.fail("consume", err)
	}
	cfg = cfg.withDefaults(q.client.caps)
	c := &Consumer{
		queue: q, cfg: cfg, handler: h, log: q.client.cfg.Logger.With("queue", q.name),
		wake:        make(chan struct{}, 1),
		drained:     make(chan struct{}),
		concurrency: cfg.Concurrency,
	}
	c.rate = newRate(cfg.Rate, c.poke)
	return c, nil
}

func checkConsumer(q *Queue, h Handler, cfg ConsumerConfig) error {
	switch {
	case q.err != nil:
		return q.err
	case h == nil:
		return invalid("the handler or a Middleware is nil")
	}
	return cmp.Or(cfg.check(q.client), cfg.checkDeadLetter(q))
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

// Consume runs handle for the queue's messages until ctx ends: it is NewConsumer
// and Run in one.
func (q *Queue) Consume(ctx context.Context, handle func(context.Context, *Delivery) error, cfg ConsumerConfig) error {
	c, err := NewConsumer(q, HandlerFunc(handle), cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// Run consumes until ctx ends or the client is closed, and then stops in
// order: it fetches no more, lets handlers and prefetched messages finish
// within SoftStop, gives the rest back, cancels the handlers with ErrStopping,
// waits HardStop and sends the last settlements. It returns nil, or a
// *StopError if handlers were still running.
//
// A backend that cannot be reached does not end it: it tries again with
// growing pauses. What cannot get better does, as ErrQueueNotFound. Run may be
// called once.
func (c *Consumer) Run(ctx context.Context) error {
	client := c.queue.client
	if err := c.begin(); err != nil {
		return c.queue.fail("consume", err)
	}
	defer client.consumers.leave()
	defer c.ended()
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
	c.keepArchive(ctx)
	defer client.pauses.watch(ctx, c)()
	defer c.keepReporting(ctx)()

	err := c.fetchLoop(ctx)
	close(c.drained)
	c.rate.stop()
	return errors.Join(err, c.stop())
}

// begin makes sure that Run is called once, and not after Close.
func (c *Consumer) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return invalid("Run was called before")
	}
	if !c.queue.client.consumers.enter() {
		return ErrClosed
	}
	c.started, c.active = true, true
	return nil
}

// SetConcurrency changes how many handlers run at once, or batches of a
// NewBatchConsumer. It panics if n < 1; Pause is for none. Running handlers are not
// interrupted.
func (c *Consumer) SetConcurrency(n int) {
	if n < 1 {
		panic(fmt.Sprintf("mq: SetConcurrency(%d) (use Pause to stop fetching)", n))
	}
	if b := c.batcher; b != nil {
		n = min(n, maxBatchMax) * b.max
		defer b.free()
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
	s.Paused = c.paused || c.queuePaused
	if c.lone.d != nil {
		s.Buffered++
	}
	return s
}

// Health returns nil while the Consumer is running and can fetch, and else why not:
// the error of the fetches since the last success, or that Run has not begun or has
// returned. A Consumer that has not fetched yet, is paused or busy is healthy. It is
// meant for health checks, and does no I/O.
func (c *Consumer) Health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.active:
		return c.queue.fail("consume", errNotRunning)
	case c.paused, c.queuePaused:
		return nil
	}
	return c.sick
}

var errNotRunning = errors.New("the consumer is not running")

// ended takes note that Run returns.
func (c *Consumer) ended() {
	c.mu.Lock()
	c.active = false
	c.mu.Unlock()
}
