package mq

import (
	"context"
	"errors"
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

// work processes messages until there is none.
func (c *Consumer) work() {
	for d := c.next(); d != nil; d = c.next() {
		c.process(d)
	}
}

// process runs the handler and settles by its result.
func (c *Consumer) process(d *Delivery) {
	ctx, cancel := context.WithCancelCause(context.WithValue(c.handlers, deliveryKey{}, d))
	defer cancel(nil)
	switch {
	case !d.lease.attach(cancel):
		c.lost(d)
	case c.exhausted(d.ReadCount):
		c.settle(ctx, d, c.deadLetter(fmt.Sprintf("read %d times, the limit is %d", d.ReadCount, c.cfg.MaxReads)))
	default:
		start := time.Now()
		c.handle(ctx, d, func(err error) {
			c.keepPace(time.Since(start))
			c.finish(ctx, d, err)
		})
	}
}

// handle calls the handler, and then done with its result whatever happens.
func (c *Consumer) handle(ctx context.Context, d *Delivery, done func(error)) {
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			err := &PanicError{Value: v, Stack: debug.Stack()}
			c.log.Error("mq: handler panicked", "message", d, "panic", v, "stack", string(err.Stack))
			done(err)
			return
		}
		// The handler ended its goroutine, which is this worker's.
		done(errors.New("handler called runtime.Goexit"))
		go c.work()
	}()
	err := c.handler.Handle(ctx, d)
	returned = true
	done(err)
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
func (c *Consumer) finish(ctx context.Context, d *Delivery, err error) {
	settled, inTx := d.lease.state()
	switch {
	case errors.Is(context.Cause(ctx), ErrStaleReceipt):
		c.lost(d)
	case settled || inTx && err == nil:
		c.count(func(s *ConsumerStats) { s.Settled++ })
	default:
		c.settle(ctx, d, c.decide(d, err))
	}
}

func (c *Consumer) lost(d *Delivery) {
	c.count(func(s *ConsumerStats) { s.Lost++ })
	c.log.Warn("mq: lease lost before the message was settled", "message", d)
}

func (c *Consumer) count(f func(*ConsumerStats)) {
	c.mu.Lock()
	f(&c.stats)
	c.mu.Unlock()
}

// settle carries out an outcome without holding up the worker, with the values
// of ctx but beyond its end. The fetches stop when too many settlements are
// under way.
func (c *Consumer) settle(ctx context.Context, d *Delivery, o outcome) {
	s := Settlement{Receipt: d.Receipt, Op: o.op, Delay: o.delay, Reason: o.reason, To: c.cfg.DeadLetter}
	ctx = context.WithoutCancel(ctx)
	if d.lease.beginSettle(ctx) != nil { // a heartbeat in flight has a deadline
		c.lost(d)
		return
	}
	c.mu.Lock()
	c.unsettled++
	c.mu.Unlock()
	c.submit(ctx, d, s, 0)
}

// submit sends one settlement, for the first time or again.
func (c *Consumer) submit(ctx context.Context, d *Delivery, s Settlement, tries int) {
	landed := func(err error) { c.settled(ctx, d, s, tries, err) }
	if err := c.queue.prepare(&s); err != nil {
		landed(err)
		return
	}
	ss := []Settlement{s}
	if len(c.queue.client.cfg.Interceptors) == 0 && s.Op != OpMove && s.Delay != AtTimeout {
		c.queue.lanes.settle.start(ss, func(_ []string, err error) { landed(itemError(err, 0)) })
		return
	}
	c.background(landed, func() {
		ctx, cancel := context.WithTimeout(ctx, c.queue.client.cfg.CallTimeout)
		defer cancel()
		landed(c.queue.do(ctx, &Call{Op: s.Op.String(), Settlements: ss}, func(ctx context.Context) error {
			return c.queue.carryOut(ctx, d, ss)
		}))
	})
}

// background runs f in a goroutine that Close waits for, if there is time.
func (c *Consumer) background(refused func(error), f func()) {
	tasks := &c.queue.client.tasks
	if !tasks.enter() {
		refused(ErrClosed)
		return
	}
	go func() {
		defer tasks.leave()
		f()
	}()
}

// settled takes note of a settlement's result. While the lease lasts, one that
// may not have arrived is sent again: the receipt keeps it from acting twice.
func (c *Consumer) settled(ctx context.Context, d *Delivery, s Settlement, tries int, err error) {
	if tries > 0 && arrived(s.Op, err) {
		err = nil
	}
	pause := minFetchPause << min(tries, 6)
	switch {
	case err == nil:
		c.count(func(st *ConsumerStats) { *st.counter(s.Op)++ })
		if s.Op == OpArchive || s.Op == OpMove {
			c.cfg.OnDeadLetter(d, s.Reason)
		}
	case isLost(err):
		c.lost(d)
	case !definite(err) && time.Now().Add(pause).Before(d.lease.ends()):
		c.background(func(err error) { c.settled(ctx, d, s, tries, err) }, func() {
			time.Sleep(pause)
			c.submit(ctx, d, s, tries+1)
		})
		return
	default:
		c.count(func(st *ConsumerStats) { st.Failed++ })
		c.log.Error("mq: a message could not be settled and waits for its visibility timeout", "op", s.Op.String(), "message", d, "error", err)
	}
	c.mu.Lock()
	c.unsettled--
	c.mu.Unlock()
	c.poke()
}

// arrived reports whether err says that an earlier try did arrive.
func arrived(op driver.Op, err error) bool {
	if op == OpNack { // it may also have timed out, which comes to the same
		return isLost(err)
	}
	return errors.Is(err, ErrMessageNotFound)
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

