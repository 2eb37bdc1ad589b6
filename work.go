package mq

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/portmq/mq/driver"
)

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
	if c.suspicious(d.ReadCount) {
		defer c.cleared()
	}
	d.lease.attach(cancel)
	switch state := d.lease.stateAt(t.begun); {
	case state != held: // lost in the buffer, or settled by an interceptor of the receive
		c.leave(d, state)
	case c.exhausted(d.ReadCount):
		c.settle(ctx, t, c.deadLetter(fmt.Sprintf("read %d times, the limit is %d", d.ReadCount, c.cfg.MaxReads)))
	default:
		c.handle(ctx, t)
	}
}

// cleared takes note that a suspicious message has been dealt with.
func (c *Consumer) cleared() {
	c.mu.Lock()
	c.intake.suspects--
	c.mu.Unlock()
	c.poke()
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
	state, _ := t.d.lease.current()
	if state == held || state == inTx && err != nil {
		c.settle(ctx, t, c.outcome(t.d, err))
		return
	}
	c.leave(t.d, state)
}

// leave takes note of a message that somebody else has settled, or is settling.
func (c *Consumer) leave(d *Delivery, state leaseState) {
	if state == lost {
		c.lost(d)
		return
	}
	d.lease.release()
	c.count(func(s *ConsumerStats) { s.Settled++ })
}

func (c *Consumer) lost(d *Delivery) {
	c.count(func(s *ConsumerStats) { s.Lost++ })
	c.queue.logLost(d)
}

func (c *Consumer) count(f func(*ConsumerStats)) {
	c.mu.Lock()
	f(&c.stats)
	c.mu.Unlock()
}

// counter returns the counter of an operation.
func (s *ConsumerStats) counter(op driver.Op) *int64 {
	switch op {
	case OpAck:
		return &s.Acked
	case OpNack:
		return &s.Retried
	}
	return &s.DeadLettered
}
