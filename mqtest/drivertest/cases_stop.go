package drivertest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var stopCases = []testCase{
	{name: "stop/soft", rule: "within SoftStop running handlers and prefetched messages are finished", run: stopSoft},
	{name: "stop/hard", rule: "after SoftStop handlers end with the cause ErrStopping, and their messages are given back at once", run: stopHard},
	{name: "stop/gives-back", rule: "after SoftStop prefetched messages are given back at once", run: stopGivesBack},
	{name: "stop/abandoned", rule: "Run returns a *StopError if handlers are still running after HardStop", run: stopAbandoned},
	{name: "stop/flushes", rule: "Run returns when the last settlements have arrived", run: stopFlushes},
	{name: "stop/close", rule: "Client.Close stops consumers as if their ctx had ended, and waits for them", run: stopClose},
	{name: "stop/idle", rule: "a Consumer without work stops at once", run: stopIdle},
}

func stopSoft(t *tester) {
	q := t.queue()
	const total = 20
	t.post(q, numbered(total)...)
	y := new(tally)
	stopping := make(chan struct{})
	c, stop := t.consume(q, func(ctx context.Context, d *mq.Delivery) error {
		select {
		case <-stopping:
		case <-t.ctx.Done():
		}
		t.doze(t.unit)
		if ctx.Err() != nil {
			t.Errorf("the handler's ctx ended: %v", context.Cause(ctx))
		}
		y.add(d.ID)
		return nil
	}, mq.ConsumerConfig{Concurrency: 1, Prefetch: min(3, t.caps.BatchLimit())})
	t.eventually("some are prefetched", func() bool { return c.Stats().Buffered > 0 })
	close(stopping)
	t.ok(stop(), "Run")
	s := c.Stats()
	if s.Acked != s.Received || s.Received != int64(len(y.all())) || s.Received == 0 {
		t.Errorf("ConsumerStats are %+v and %d were handled, want all that was received", s, len(y.all()))
	}
	for _, d := range t.receive(q, total-int(s.Received)) {
		t.reads(d.ReadCount, 1)
	}
	t.none(q, "the others were acked")
}

// untilStopped is a handler that works until its ctx ends.
func (t *tester) untilStopped(cause *error) mq.HandlerFunc {
	return func(ctx context.Context, _ *mq.Delivery) error {
		select {
		case <-ctx.Done():
			*cause = context.Cause(ctx)
		case <-t.ctx.Done():
		}
		return ctx.Err()
	}
}

func stopHard(t *tester) {
	q := t.queue()
	id := t.send(q, "interrupted")[0]
	var cause error
	var running atomic.Bool // Stats counts a handler a moment before it begins
	handle := t.untilStopped(&cause)
	_, stop := t.consume(q, func(ctx context.Context, d *mq.Delivery) error {
		running.Store(true)
		return handle(ctx, d)
	}, mq.ConsumerConfig{SoftStop: mq.AtOnce})
	t.eventually("the handler runs", running.Load)
	stopped := timed(func() { t.ok(stop(), "Run") })
	t.is(cause, "the cause of the handler's ctx", mq.ErrStopping)
	t.reads(t.comesBack(q, id, stopped).ReadCount, 2)
}

func stopGivesBack(t *tester) {
	q := t.queue()
	t.post(q, numbered(4)...)
	var cause error
	c, stop := t.consume(q, t.untilStopped(&cause), mq.ConsumerConfig{Concurrency: 1, Prefetch: 3, SoftStop: mq.AtOnce})
	t.eventually("some are prefetched", func() bool { return c.Stats().Buffered > 0 })
	t.ok(stop(), "Run")
	t.receive(q, 4)
	t.none(q, "all four are leased again")
}

func stopAbandoned(t *tester) {
	q := t.queue()
	t.send(q, "abandoned")
	release, returned := make(chan struct{}), make(chan struct{})
	var running atomic.Bool
	c, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		running.Store(true)
		defer close(returned)
		select {
		case <-release:
		case <-t.ctx.Done():
		}
		return nil
	}, mq.ConsumerConfig{SoftStop: mq.AtOnce, HardStop: t.unit})
	t.eventually("the handler runs", running.Load)
	err := stop()
	close(release)
	stopError := (*mq.StopError)(nil)
	if !errors.As(err, &stopError) || stopError.Abandoned != 1 {
		t.Errorf("Run returned %v, want a *StopError with one handler", err)
	}
	t.await("the handler returns", returned)
	t.eventually("its worker ends", func() bool { return c.Stats().Running == 0 })
}

// sluggish is a provider whose settlements take their time, as on a way to a
// backend.
type sluggish struct {
	immovable
	delay time.Duration
}

func (p sluggish) Caps() driver.Caps {
	c := p.immovable.Caps()
	c.InProcess = false
	return c
}

func (p sluggish) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	time.Sleep(p.delay)
	return p.Provider.Settle(ctx, queue, s)
}

func stopFlushes(t *tester) {
	client := mq.New(sluggish{immovable{t.p}, 2 * t.unit}, quiet())
	t.Cleanup(func() { closeClient(t, client) })
	q := t.queueOf(client)
	t.post(q, numbered(5)...)
	y := new(tally)
	c, stop := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		y.add(d.ID)
		return nil
	}, mq.ConsumerConfig{})
	t.handled(y, 5)
	t.ok(stop(), "Run")
	if s := c.Stats(); s.Acked != 5 {
		t.Errorf("ConsumerStats are %+v when Run has returned, want 5 acked", s)
	}
	t.counted(q, counts{})
}

func stopClose(t *tester) {
	c := t.open()
	q := t.queueOf(c)
	t.post(q, numbered(3)...)
	y := new(tally)
	consumer, err := mq.NewConsumer(q, mq.HandlerFunc(func(_ context.Context, d *mq.Delivery) error {
		time.Sleep(t.unit / 2)
		y.add(d.ID)
		return nil
	}), mq.ConsumerConfig{Visibility: t.long, SoftStop: t.long})
	t.ok(err, "NewConsumer")
	done := t.background(func() { err = consumer.Run(context.Background()) })
	t.eventually("a handler has begun", func() bool { s := consumer.Stats(); return s.Running > 0 || s.Acked > 0 })
	t.ok(c.Close(), "Close")
	t.await("Run returns", done)
	t.ok(err, "Run of a client that was closed")
	if s := consumer.Stats(); s.Received == 0 || s.Acked != s.Received || s.Acked != int64(len(y.all())) {
		t.Errorf("ConsumerStats are %+v and %d were handled, want all that was received", s, len(y.all()))
	}
}

func stopIdle(t *tester) {
	_, stop := t.consume(t.queue(), nothing, mq.ConsumerConfig{})
	t.sleep(t.unit)
	took := timed(func() { t.ok(stop(), "Run") })
	t.soon("Run whose ctx ended", took, 0)
}
