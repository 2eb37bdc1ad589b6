package drivertest

import (
	"context"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// span is the time within which something happened.
type span struct{ from, to time.Time }

func (s span) plus(d time.Duration) span { return span{s.from.Add(d), s.to.Add(d)} }

func (s span) length() time.Duration { return s.to.Sub(s.from) }

// timed returns when f ran.
func timed(f func()) span {
	from := time.Now()
	f()
	return span{from, time.Now()}
}

// pace is how long calls take here and now: the longest that has made a queue.
type pace struct {
	mu   sync.Mutex
	call time.Duration
}

func (p *pace) note(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call = max(p.call, took)
}

func (p *pace) calls(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(n) * p.call
}

// early is how much too early a message may come, for the rounding of clocks.
const early = 5 * time.Millisecond

// late is how much too late something may come before it counts as late: a few
// calls, and a pause of a busy machine. A case that finds something late is
// tried again.
func (t *tester) late() time.Duration {
	if t.h.Bubble {
		return t.unit + t.caps.Resolution
	}
	return 5*time.Second + t.pace.calls(10) + t.caps.Resolution
}

// lease leases one message for d.
func (t *tester) lease(q *mq.Queue, d time.Duration) (got *mq.Delivery, when span) {
	t.Helper()
	when = timed(func() {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: d, Wait: t.patience})
		t.ok(err, "Receive")
		if len(ds) != 1 {
			t.Fatalf("received %d messages, want 1", len(ds))
		}
		got = ds[0]
	})
	return got, when
}

// hidden checks that nothing can be received before a time.
func (t *tester) hidden(q *mq.Queue, until time.Time, why string) {
	t.Helper()
	t.before(until, func(t *tester) {
		t.Helper()
		t.none(q, why)
	})
}

// comesBack polls until a message can be received, checks that it became
// visible when it should, and returns it, leased for long.
func (t *tester) comesBack(q *mq.Queue, id string, when span) *mq.Delivery {
	t.Helper()
	d, missed := t.poll(q, id, when.to.Add(t.patience))
	if now := time.Now(); now.Before(when.from.Add(-early)) {
		t.Errorf("message %s was visible %v too early", d.ID, when.from.Sub(now))
	}
	if missed.After(when.to.Add(t.late())) {
		t.tooLate("message %s was still hidden %v after it should have been visible", d.ID, missed.Sub(when.to))
	}
	if d.ID != id {
		t.Fatalf("received message %s, want %s", d.ID, id)
	}
	return d
}

// poll receives without waiting, until a message comes or it is end, and
// returns when it last asked in vain.
func (t *tester) poll(q *mq.Queue, id string, end time.Time) (d *mq.Delivery, missed time.Time) {
	t.Helper()
	for {
		asked := time.Now()
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long})
		t.ok(err, "Receive while waiting for message %s to come", id)
		if len(ds) > 0 {
			return ds[0], missed
		}
		if missed = asked; asked.After(end) {
			t.Fatalf("message %s does not come", id)
		}
		t.sleep(t.unit / 8)
	}
}

// expire leaves a lease to its timeout, and a margin for rounding.
func (t *tester) expire(end span) {
	t.Helper()
	t.sleep(time.Until(end.to) + t.unit/2 + t.caps.Resolution)
}

// soon checks that a call that should return at once has not taken longer than
// d, and a little.
func (t *tester) soon(what string, took span, d time.Duration) {
	t.Helper()
	if over := took.length() - d; over > t.late() {
		t.tooLate("%s took %v too long", what, over)
	}
}

// sleep waits for d, or ends the case if that is too long.
func (t *tester) sleep(d time.Duration) {
	t.Helper()
	if t.doze(d); t.ctx.Err() != nil {
		t.Fatalf("the case ended meanwhile: %v", context.Cause(t.ctx))
	}
}

// doze waits for d, or until the try is over: for handlers.
func (t *tester) doze(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}
