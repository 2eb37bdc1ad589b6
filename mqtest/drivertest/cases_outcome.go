package drivertest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

var outcomeCases = []testCase{
	{name: "outcome/retry", rule: "Retry: the message comes back after the given time", run: outcomeRetry},
	{name: "outcome/error", rule: "an ordinary error: the message comes back after the Backoff", run: outcomeError},
	{name: "outcome/panic", rule: "a panic is an ordinary error, and the Consumer goes on", run: outcomeAbnormal(func() { panic("a handler's panic") })},
	{name: "outcome/goexit", rule: "a handler that ends its goroutine has failed, and the Consumer goes on", run: outcomeAbnormal(runtime.Goexit)},
	{name: "outcome/reject", rule: "Reject: the message is archived with the error as its reason, and OnEvent gets it", needs: canSeeArchive, run: outcomeReject},
	{name: "outcome/timeout", rule: "ConsumerConfig.Timeout ends the handler's ctx with DeadlineExceeded", run: outcomeTimeout},
	{name: "outcome/max-attempts", rule: "after MaxAttempts an error makes a dead letter, with a reason", needs: all(exactReads, canSeeArchive), run: outcomeMaxAttempts},
	{name: "outcome/crash-loop", rule: "a message that was read MaxAttempts times is dead-lettered before the handler runs again", needs: all(exactReads, canSeeArchive), run: outcomeCrashLoop},
	{name: "outcome/undecodable", rule: "a payload that does not decode is dead-lettered without another try", needs: canSeeArchive, run: outcomeUndecodable},
	{name: "outcome/dead-letter-queue", rule: "ConsumerConfig.DeadLetter: dead letters are moved to that queue", run: outcomeDeadLetterQueue},
}

func outcomeRetry(t *tester) {
	q := t.queue()
	after := time.Duration(0)
	if t.caps.Delay {
		after = 4 * t.unit
	}
	t.retried(q, after, mq.Retry(after, nil), mq.ConsumerConfig{Backoff: func(int) time.Duration { return t.delay() }})
}

func outcomeError(t *tester) {
	q := t.queue()
	backoff := time.Duration(0)
	if t.caps.Delay {
		backoff = 4 * t.unit
	}
	t.retried(q, backoff, errors.New("an ordinary error"), mq.ConsumerConfig{Backoff: func(reads int) time.Duration {
		if reads > 1 {
			t.Errorf("Backoff of read %d, want 1", reads)
		}
		return backoff
	}})
}

// retried checks that a message whose handler fails once comes back after a
// time.
func (t *tester) retried(q *mq.Queue, after time.Duration, fail error, cfg mq.ConsumerConfig) {
	t.Helper()
	var first span
	var second time.Time
	done := make(chan struct{})
	calls := 0
	c, stop := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		if calls++; calls == 1 {
			first.from = time.Now()
			return fail
		}
		t.reads(d.ReadCount, 2)
		second = time.Now()
		close(done)
		return nil
	}, cfg)
	t.send(q, "fails once")
	t.await("the message comes back", done)
	first.to = first.from
	t.wokeWithin(second, first.plus(after))
	t.ok(stop(), "Run")
	if s := c.Stats(); s.Retried != 1 || s.Acked != 1 {
		t.Errorf("ConsumerStats are %+v, want one retried and acked", s)
	}
	t.none(q, "it was acked")
}

func outcomeAbnormal(end func()) func(t *tester) {
	return func(t *tester) {
		c := mq.New(t.p, quiet())
		t.Cleanup(func() { closeClient(t, c) })
		q := t.queueOf(c)
		t.send(q, "fails once")
		y := new(tally)
		consumer, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
			if y.add("called") == 1 {
				end()
			}
			return nil
		}, mq.ConsumerConfig{Concurrency: 1, Backoff: func(int) time.Duration { return 0 }})
		t.handled(y, 2)
		t.send(q, "goes well")
		t.handled(y, 3)
		t.ok(stop(), "Run")
		if s := consumer.Stats(); s.Retried != 1 || s.Acked != 2 {
			t.Errorf("ConsumerStats are %+v, want one retried and two acked", s)
		}
	}
}

// deadLetter waits for the only record of a queue's archive.
func (t *tester) deadLetter(q *mq.Queue) (r mq.Record) {
	t.Helper()
	t.eventually("a dead letter in the archive", func() bool {
		rs := t.archived(q)
		if len(rs) == 1 {
			r = rs[0]
		}
		return len(rs) > 0
	})
	return r
}

func outcomeReject(t *tester) {
	q := t.queue()
	id := t.send(q, "rejected")[0]
	y, told := new(tally), new(tally)
	_, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		y.add("called")
		return mq.Reject(errors.New("card declined"))
	}, mq.ConsumerConfig{OnEvent: func(_ context.Context, e mq.Event) { told.add(e.Kind.String() + " " + e.Delivery.ID + " " + e.Reason) }})
	r := t.deadLetter(q)
	t.ok(stop(), "Run")
	if r.ID != id || r.Reason() != "card declined" {
		t.Errorf("the dead letter is %s with reason %q", r.ID, r.Reason())
	}
	if got := told.all(); len(got) != 1 || got[0] != "dead letter "+id+" card declined" {
		t.Errorf("OnEvent was told %q", got)
	}
	if n := len(y.all()); n != 1 {
		t.Errorf("a rejected message was handled %d times", n)
	}
	t.none(q, "it was rejected")
}

func outcomeTimeout(t *tester) {
	q := t.queue()
	t.send(q, "too slow")
	var calls atomic.Int32
	var cause error
	c, stop := t.consume(q, func(ctx context.Context, _ *mq.Delivery) error {
		if calls.Add(1) > 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-t.ctx.Done():
		}
		return ctx.Err()
	}, mq.ConsumerConfig{Timeout: t.unit, Backoff: func(int) time.Duration { return 0 }})
	t.eventually("the message is retried", func() bool { return c.Stats().Acked == 1 })
	t.ok(stop(), "Run")
	t.is(cause, "the cause of the handler's ctx", context.DeadlineExceeded)
}

func outcomeMaxAttempts(t *tester) {
	q := t.queue()
	id := t.send(q, "poison")[0]
	y := new(tally)
	_, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		y.add("called")
		return errors.New("always fails")
	}, mq.ConsumerConfig{MaxAttempts: 3, Backoff: func(int) time.Duration { return 0 }})
	r := t.deadLetter(q)
	t.ok(stop(), "Run")
	if n := len(y.all()); n != 3 || r.ID != id || r.ReadCount != 3 {
		t.Errorf("handled %d times and archived %s with read count %d, want %s after 3", n, r.ID, r.ReadCount, id)
	}
	if !strings.Contains(r.Reason(), "3") || !strings.Contains(r.Reason(), "always fails") {
		t.Errorf("the reason is %q, want the count and the error", r.Reason())
	}
}

func outcomeCrashLoop(t *tester) {
	q := t.queue()
	t.send(q, "crashes its workers")
	for range 3 {
		t.ok(t.one(q).Nack(t.ctx, 0), "nack") // as a crash would
	}
	y := new(tally)
	_, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		y.add("called")
		return nil
	}, mq.ConsumerConfig{MaxAttempts: 3})
	r := t.deadLetter(q)
	t.ok(stop(), "Run")
	if n := len(y.all()); n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
	if r.Reason() == "" {
		t.Error("the dead letter has no reason")
	}
}

func outcomeUndecodable(t *tester) {
	q := mq.Of[order](t.queue())
	t.send(q.Queue(), "not JSON")
	y := new(tally)
	h := q.Handler(func(context.Context, order) error {
		y.add("called")
		return nil
	})
	_, stop := t.consume(q.Queue(), h.Handle, mq.ConsumerConfig{})
	r := t.deadLetter(q.Queue())
	t.ok(stop(), "Run")
	if n := len(y.all()); n != 0 || r.ReadCount > 1 {
		t.Errorf("the handler ran %d times on a message read %d times", n, r.ReadCount)
	}
	if !strings.Contains(r.Reason(), "order") {
		t.Errorf("the reason is %q, want the type in it", r.Reason())
	}
}

func outcomeDeadLetterQueue(t *tester) {
	c := t.c
	if !t.caps.AtomicMove {
		c = t.emulating()
	}
	q, dead := t.queueOf(c), t.queueOf(c)
	m := t.movable()
	id := t.post(q, m)[0]
	_, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		return mq.Reject(errors.New("card declined"))
	}, mq.ConsumerConfig{DeadLetter: dead.Name()})
	t.moved(t.one(dead), q, id, m, "card declined")
	t.ok(stop(), "Run")
	t.none(q, "it was moved")
	t.counted(q, counts{})
}
