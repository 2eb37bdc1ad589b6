package mq

import (
	"context"
	"runtime/debug"
	"time"
)

// Working. A worker is a goroutine that takes messages out of the buffer until it is
// empty; dispatch starts as many as there are messages, up to Concurrency. It runs the
// handler, decides by its result, and hands the settlement to a job, which does not keep
// it from the next message. A handler that ends its goroutine ends the worker, which is
// then replaced.

type deliveryKey struct{}

// FromContext returns the delivery that a handler is working on, for handlers
// of typed payloads and code below them.
func FromContext(ctx context.Context) (*Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*Delivery)
	return d, ok
}

// task is a message with a worker. What the handler may change is noted before.
type task struct {
	d     *Delivery
	begun instant
	bytes int
}

// work processes messages until there is none.
func (c *Consumer) work() {
	for d := c.next(); d != nil; d = c.next() {
		c.process(task{d, now(), weight(d)})
	}
}

// process runs the handler and settles by its result.
func (c *Consumer) process(t task) {
	d := t.d
	ctx, cancel := context.WithCancelCause(context.WithValue(c.handlers, deliveryKey{}, d))
	defer cancel(nil)
	defer c.endLone()
	d.lease.attach(cancel)
	switch state := d.lease.stateAt(t.begun); {
	case state != held: // lost in the buffer, or settled by an interceptor of the receive
		c.leaveAlone(ctx, d, nil)
	case d.Expired():
		c.settle(ctx, t, expired(d))
	case c.exhausted(d):
		c.settle(ctx, t, c.unanswered(d))
	default:
		c.handle(ctx, t)
	}
}

// handle calls the handler and settles by its result, whatever happens.
func (c *Consumer) handle(ctx context.Context, t task) {
	exited, err := true, errGoexit
	defer func() {
		c.keepPace(now().sub(t.begun))
		c.finish(ctx, t, err)
		if exited { // the handler ended its goroutine, which is this worker's
			go c.work()
		}
	}()
	err = c.callHandler(ctx, t)
	exited = false
}

// callHandler calls the handler. Its panic is an error.
func (c *Consumer) callHandler(ctx context.Context, t task) (err error) {
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
		// A handler that ignores the end of its context does not keep its
		// message from others for ever.
		c.keeper.limit(&t.d.lease, t.begun.add(c.cfg.Timeout).add(max(c.cfg.HardStop, 0)))
	}
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			err = &PanicError{Value: v, Stack: stack}
			c.log.Error("mq: handler panicked", "message", t.d, "panic", v, "stack", string(stack))
		}
	}()
	return c.handler.Handle(ctx, t.d)
}

// stuck takes note of a handler whose lease is not extended any more. It runs
// in the keeper's goroutine.
func (c *Consumer) stuck(id string) {
	c.count(func(s *ConsumerStats) { s.Stuck++ })
	c.log.Error("mq: a handler ignores the end of its context: its lease is left to end, and the message will be delivered again", "id", id)
}

// keepPace updates the moving average of handler times.
func (c *Consumer) keepPace(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if took = max(took, 1); c.pace == 0 {
		c.pace = took
	}
	c.pace += (took - c.pace) / 8
}

// finish settles a message that was handled, unless it is out of our hands.
func (c *Consumer) finish(ctx context.Context, t task, err error) {
	if over := t.d.lease.untilClaimEnds(); over != nil {
		c.finishLater(ctx, t, err, over)
		return
	}
	state, _ := t.d.lease.current()
	if state == held || state == inTx && err != nil {
		c.settle(ctx, t, c.outcome(t.d, err))
		return
	}
	c.leaveAlone(ctx, t.d, err)
}

// finishLater is finish for a handler that has left a settlement of its own under way,
// in another goroutine: what becomes of the message depends on how that ends.
func (c *Consumer) finishLater(ctx context.Context, t task, err error, over <-chan struct{}) {
	c.unsettle(1, t.bytes)
	f := func() {
		defer c.unsettle(-1, -t.bytes)
		limit, cancel := c.queue.client.callTimeout().within(context.WithoutCancel(ctx))
		defer cancel()
		select {
		case <-over:
			c.finish(ctx, t, err)
		case <-limit.Done():
			c.leaveAlone(ctx, t.d, err)
		}
	}
	c.queue.client.background(func(error) { go f() }, f)
}

// leaveAlone is leave for a message that has no job. Its event counts as a settlement.
func (c *Consumer) leaveAlone(ctx context.Context, d *Delivery, err error) {
	c.unsettle(1, 0)
	c.leave(ctx, d, err, func() { c.unsettle(-1, 0) })
}

// leave takes note of a message that somebody else has settled, or is settling:
// mostly its handler, which returned err. done is called at the end.
func (c *Consumer) leave(ctx context.Context, d *Delivery, err error, done func()) {
	state, op := d.lease.result()
	if state == lost {
		c.lost(ctx, d, err, done)
		return
	}
	d.lease.release()
	c.count(func(s *ConsumerStats) { *s.counter(outcome{op: op, kind: EventRetry})++ })
	if err != nil {
		c.log.Warn("mq: handler failed, and had settled the message", "op", op.String(), "error", errorText(err), "message", d)
	}
	done()
}

// lost reports a lost lease, whose handler returned err.
func (c *Consumer) lost(ctx context.Context, d *Delivery, err error, done func()) {
	c.count(func(s *ConsumerStats) { s.Lost++ })
	_, why := d.lease.current()
	c.report(ctx, Event{Kind: EventLeaseLost, Delivery: d, Err: err, Cause: why}, done)
}

func (c *Consumer) count(f func(*ConsumerStats)) {
	c.mu.Lock()
	f(&c.stats)
	c.mu.Unlock()
}

// counter returns the counter of an outcome.
func (s *ConsumerStats) counter(o outcome) *int64 {
	switch {
	case o.op == OpAck:
		return &s.Acked
	case o.op == OpMove && o.kind != EventDeadLetter: // by the handler
		return &s.Moved
	case o.kind == EventExpired:
		return &s.Expired
	case o.op != OpNack:
		return &s.DeadLettered
	case o.kind == EventSnoozed:
		return &s.Snoozed
	case o.uncounted:
		return &s.Returned
	}
	return &s.Retried
}
