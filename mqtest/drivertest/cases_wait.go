package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var waitCases = []testCase{
	{name: "wait/ends", rule: "Receive waits for Wait and no longer", run: waitEnds},
	{name: "wait/wakes-on-send", rule: "a Receive that waits gets a message soon after it is sent", run: waitWakesOnSend},
	{name: "wait/wakes-across-clients", rule: "a Receive that waits gets what another client sends", needs: shared, run: waitWakesAcrossClients},
	{name: "wait/wakes-on-timeout", rule: "a Receive that waits gets a message when its lease ends, and not before", run: waitWakesOnTimeout},
	{name: "wait/wakes-on-delay", rule: "a Receive that waits gets a message when its delay ends, and not before", needs: delays, run: waitWakesOnDelay},
	{name: "wait/wakes-on-nack", rule: "a Receive that waits gets a message that is nacked", run: waitWakesOnNack},
	{name: "wait/one-of-many", rule: "one message wakes one of many that wait, and the others later", run: waitOneOfMany},
	{name: "wait/many-queues", rule: "one client waits for messages of many queues at once", run: waitManyQueues},
	{name: "wait/cancel", rule: "a Receive that waits returns soon after ctx ends", run: waitCancel},
	{name: "wait/cancel-loses-nothing", rule: "what a claim has leased is returned, whatever happens to ctx (rule 3)", run: waitCancelLosesNothing},
}

// wakeLimit is how late a Receive that waits may wake: mq polls providers that
// do not wait with pauses of up to a second and a quarter.
func (t *tester) wakeLimit() time.Duration {
	return max(t.late(), 2*time.Second)
}

// waiting starts a Receive, lets it begin to wait, and returns what collects
// its result.
func (t *tester) waiting(q *mq.Queue) (result func(what string) (*mq.Delivery, time.Time)) {
	t.Helper()
	result = t.startWaiting(q)
	t.sleep(t.unit / 2)
	return result
}

func (t *tester) startWaiting(q *mq.Queue) (result func(what string) (*mq.Delivery, time.Time)) {
	t.Helper()
	var ds []*mq.Delivery
	var err error
	var at time.Time
	done := t.background(func() {
		ds, err = q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
		at = time.Now()
	})
	return func(what string) (*mq.Delivery, time.Time) {
		t.Helper()
		t.await(what, done)
		t.ok(err, "Receive")
		if len(ds) != 1 {
			t.Fatalf("received %d messages, want 1", len(ds))
		}
		return ds[0], at
	}
}

// wokeWithin checks when a Receive returned that should do so at when.
func (t *tester) wokeWithin(at time.Time, when span) {
	t.Helper()
	if at.Before(when.from.Add(-early)) {
		t.Errorf("Receive returned %v too early", when.from.Sub(at))
	}
	if at.After(when.to.Add(t.wakeLimit())) {
		t.tooLate("Receive returned %v too late", at.Sub(when.to))
	}
}

func waitEnds(t *tester) {
	q := t.queue()
	wait := 3 * t.unit
	var ds []*mq.Delivery
	var err error
	took := timed(func() {
		ds, err = q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: wait})
	})
	if len(ds) > 0 || err != nil {
		t.Errorf("Receive from an empty queue returned %d messages, %v", len(ds), err)
	}
	if d := took.length(); d < wait-early {
		t.Errorf("Receive with a Wait of %v returned after %v", wait, d)
	}
	t.soon(fmt.Sprintf("Receive with a Wait of %v", wait), took, wait)
}

func waitWakesOnSend(t *tester) {
	q := t.queue()
	result := t.waiting(q)
	when := timed(func() { t.send(q, "wake up") })
	d, at := result("a Receive that waits gets a new message")
	t.wokeWithin(at, when)
	t.sameBody(d.Body, []byte("wake up"))
}

func waitWakesAcrossClients(t *tester) {
	q := t.queue()
	other := t.again().Queue(q.Name())
	result := t.waiting(other)
	when := timed(func() { t.send(q, "wake up") })
	_, at := result("a Receive that waits gets what another client sends")
	t.wokeWithin(at, when)
}

func waitWakesOnTimeout(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	v := 4 * t.unit
	_, leased := t.lease(q, v)
	d, at := t.waiting(q)("a Receive that waits gets a message whose lease ends")
	t.wokeWithin(at, leased.plus(v))
	t.reads(d.ReadCount, 2)
}

func waitWakesOnDelay(t *tester) {
	q := t.queue()
	result := t.waiting(q)
	delay := 4 * t.unit
	sent := timed(func() { t.post(q, &mq.Message{Delay: delay}) })
	d, at := result("a Receive that waits gets a message whose delay ends")
	t.wokeWithin(at, sent.plus(delay))
	t.reads(d.ReadCount, 1)
}

func waitWakesOnNack(t *tester) {
	q := t.queue()
	t.send(q, "nacked")
	d := t.one(q)
	result := t.waiting(q)
	when := timed(func() { t.ok(d.Nack(t.ctx, 0), "nack") })
	_, at := result("a Receive that waits gets a nacked message")
	t.wokeWithin(at, when)
}

func waitOneOfMany(t *tester) {
	q := t.queue()
	const waiters = 8
	l := &ledger{got: make(map[string]int)}
	done := t.background(func() {
		t.together(waiters, func(int) error {
			ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
			l.add(ds)
			return err
		})
	})
	t.sleep(t.unit / 2)
	for i := range waiters {
		t.send(q, strconv.Itoa(i))
		t.eventually("each message wakes one more", func() bool { return l.add(nil) == i+1 })
	}
	t.await("all have received", done)
	if len(l.got) != waiters {
		t.Errorf("%d receivers got %d different messages", waiters, len(l.got))
	}
}

func waitManyQueues(t *tester) {
	results := make([]func(string) (*mq.Delivery, time.Time), 30)
	queues := make([]*mq.Queue, len(results))
	for i := range results {
		queues[i] = t.queue()
		results[i] = t.startWaiting(queues[i])
	}
	t.sleep(t.unit / 2)
	for i, q := range queues {
		t.send(q, strconv.Itoa(i))
	}
	for i, result := range results {
		d, _ := result("each of many waiting receives gets its message")
		t.sameBody(d.Body, []byte(strconv.Itoa(i)))
	}
}

func waitCancel(t *tester) {
	q := t.queue()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var err error
	done := t.background(func() {
		_, err = q.Receive(ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
	})
	t.sleep(t.unit / 2)
	took := timed(func() {
		cancel()
		t.await("Receive returns after its ctx ended", done)
	})
	t.is(err, "Receive whose ctx was cancelled", context.Canceled)
	t.soon("Receive whose ctx ended", took, 0)
	t.roundTrip(q, "for the next receiver")
}

// claimPatience is how long a provider lets a claim go on at least when its ctx
// has ended. What takes longer on a slow machine may be given up.
const claimPatience = 500 * time.Millisecond

// A message arrives at the moment when ctx ends, or just before. The provider
// is called directly: mq could not make up for what it loses.
func waitCancelLosesNothing(t *tester) {
	q := t.queue()
	const rounds = 60
	returned, left := 0, 0
	var slowest time.Duration
	for i := range rounds {
		ds, over := t.cancelledReceive(q, i%2 == 0)
		slowest = max(slowest, over)
		if returned += len(ds); len(ds) == 0 { // so that the next round waits
			rest, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long})
			t.ok(err, "Receive")
			left += len(rest)
		}
	}
	left += len(t.rest(q, rounds-returned-left))
	if lost := rounds - returned - left; lost != 0 {
		if slowest > claimPatience {
			t.unlessLast(fmt.Sprintf("a claim returned %v after its ctx ended", slowest))
		}
		t.Errorf("%d of %d messages were leased and not returned", lost, rounds)
	}
}

// cancelledReceive sends a message to a Receive whose ctx ends when the message
// is sent, or at about the same time. It returns how long the Receive went on
// after that.
func (t *tester) cancelledReceive(q *mq.Queue, meanwhile bool) (ds []driver.Delivery, over time.Duration) {
	t.Helper()
	at := rand.N(2 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.ctx)
	var ended atomic.Pointer[time.Time]
	end := func() {
		now := time.Now()
		ended.CompareAndSwap(nil, &now)
		cancel()
	}
	if meanwhile {
		time.AfterFunc(at, end)
	}
	sent := make(chan error, 1)
	go func() {
		time.Sleep(at)
		_, err := t.p.Send(t.ctx, q.Name(), []driver.Message{{}})
		end()
		sent <- err
	}()
	ds, err := t.p.Receive(ctx, q.Name(), driver.ReceiveRequest{Max: 1, Visibility: t.long, Wait: t.unit})
	if from := ended.Load(); from != nil {
		over = time.Since(*from)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, mq.ErrUnavailable) {
		t.Errorf("Receive whose ctx ended: %v", err)
	}
	t.ok(<-sent, "Send")
	return ds, over
}
