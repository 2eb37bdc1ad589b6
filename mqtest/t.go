package mqtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// tester is what a case runs on: a testing.TB with a client of its own, and
// with the steps that cases are made of.
type tester struct {
	testing.TB
	h    Harness
	ctx  context.Context // ends when the case has taken too long
	c    *mq.Client      // the case's own
	p    driver.Provider // of c
	caps driver.Caps

	unit time.Duration // the base of all times
	long time.Duration // a visibility that does not end within the case

	mu    sync.Mutex
	names []string // given to queues
}

func newTester(tb testing.TB, h Harness, patience time.Duration) *tester {
	t := &tester{TB: tb, h: h}
	if !h.Bubble {
		t.watchGoroutines()
	}
	if h.Common {
		t.Cleanup(t.dropQueues)
	}
	t.c = t.open()
	t.p, t.caps = t.c.Provider(), t.c.Caps()
	t.unit = max(minUnit, 4*t.caps.Resolution)
	limit := patience * (t.unit / minUnit)
	if r, ok := tb.(*recorder); ok {
		r.limit.Reset(limit + grace)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	tb.Cleanup(cancel)
	t.ctx = ctx
	t.long = 10 * time.Minute
	for _, limit := range []time.Duration{t.caps.MaxVisibility, t.caps.MaxHold} {
		if limit > 0 {
			t.long = min(t.long, limit)
		}
	}
	return t
}

// open returns one more client, with a namespace of its own.
func (t *tester) open() *mq.Client {
	t.Helper()
	c := t.h.Open(t)
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

// again returns one more client of the case's own namespace.
func (t *tester) again() *mq.Client {
	t.Helper()
	c := t.h.Again(t, t.c)
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func closeClient(t testing.TB, c *mq.Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// quiet is a Config that does not log.
func quiet() mq.Config {
	return mq.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// name returns a portable name that no other queue has.
func (t *tester) name() string {
	name := fmt.Sprintf("mqtest_%08x", rand.Uint32())
	t.dropLater(name)
	return name
}

// dropLater notes queues that the case makes.
func (t *tester) dropLater(names ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names = append(t.names, names...)
}

// dropQueues drops what the case has made in a common namespace. Its own
// client may be closed by now.
func (t *tester) dropQueues() {
	c := t.h.Open(t)
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, name := range t.names {
		if err := c.DropQueue(ctx, name); err != nil {
			if !errors.Is(err, mq.ErrNotSupported) {
				t.Errorf("DropQueue of what the case has made: %v", err)
			}
			return
		}
	}
}

// queue makes a queue on the case's client.
func (t *tester) queue() *mq.Queue {
	t.Helper()
	return t.queueOf(t.c)
}

func (t *tester) queueOf(c *mq.Client) *mq.Queue {
	t.Helper()
	q, err := c.EnsureQueue(t.ctx, t.name(), mq.QueueOptions{})
	t.ok(err, "EnsureQueue")
	return q
}

// ok ends the case if err is not nil.
func (t *tester) ok(err error, what string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// is fails the case unless err is one of targets.
func (t *tester) is(err error, what string, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			return
		}
	}
	t.Errorf("%s: got error %v, want %v", what, errText(err), join(targets))
}

func errText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return fmt.Sprintf("%q", err)
}

func join(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = fmt.Sprintf("%q", err)
	}
	return strings.Join(texts, " or ")
}

// stale fails the case unless err says that the lease is over.
func (t *tester) stale(err error, what string) {
	t.Helper()
	t.is(err, what, mq.ErrStaleReceipt)
}

// dead fails the case unless err says that the receipt cannot act, whatever
// the reason.
func (t *tester) dead(err error, what string) {
	t.Helper()
	t.is(err, what, mq.ErrStaleReceipt, mq.ErrInvalidReceipt)
}

// send sends bodies and returns their ids.
func (t *tester) send(q *mq.Queue, bodies ...string) []string {
	t.Helper()
	msgs := make([]*mq.Message, len(bodies))
	for i, b := range bodies {
		msgs[i] = &mq.Message{Body: []byte(b)}
	}
	return t.post(q, msgs...)
}

// post sends messages and returns their ids.
func (t *tester) post(q *mq.Queue, msgs ...*mq.Message) []string {
	t.Helper()
	ids, err := q.Send(t.ctx, msgs...)
	t.ok(err, "Send of %d", len(msgs))
	if len(ids) != len(msgs) {
		t.Fatalf("Send of %d returned %d ids", len(msgs), len(ids))
	}
	return ids
}

// receive leases n messages for long.
func (t *tester) receive(q *mq.Queue, n int) []*mq.Delivery {
	t.Helper()
	var got []*mq.Delivery
	for len(got) < n {
		o := mq.ReceiveOptions{Max: min(n-len(got), t.caps.BatchLimit()), Visibility: t.long, Wait: patience}
		ds, err := q.Receive(t.ctx, o)
		t.ok(err, "Receive, with %d of %d messages received", len(got), n)
		if len(ds) == 0 {
			t.Fatalf("received %d of %d messages", len(got), n)
		}
		got = append(got, ds...)
	}
	return got
}

// one leases one message for long.
func (t *tester) one(q *mq.Queue) *mq.Delivery {
	t.Helper()
	return t.receive(q, 1)[0]
}

// linger is how long to wait before taking it that there is no more.
func (t *tester) linger() time.Duration { return 5 * t.unit }

// none checks that nothing can be received now.
func (t *tester) none(q *mq.Queue, why string) {
	t.Helper()
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(10, t.caps.BatchLimit()), Visibility: t.long})
	t.ok(err, "Receive")
	for _, d := range ds {
		t.Errorf("received message %s with body %.64q and read count %d, want none: %s", d.ID, d.Body, d.ReadCount, why)
	}
}

// delay is one that does not end within the case.
func (t *tester) delay() time.Duration {
	if limit := t.caps.MaxDelay; limit > 0 {
		return min(time.Hour, limit)
	}
	return time.Hour
}

// span is the time within which something happened.
type span struct{ from, to time.Time }

func (s span) plus(d time.Duration) span { return span{s.from.Add(d), s.to.Add(d)} }

// timed returns when f ran.
func timed(f func()) span {
	from := time.Now()
	f()
	return span{from, time.Now()}
}

// lease leases one message for d.
func (t *tester) lease(q *mq.Queue, d time.Duration) (got *mq.Delivery, when span) {
	t.Helper()
	when = timed(func() {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: d, Wait: patience})
		t.ok(err, "Receive")
		if len(ds) != 1 {
			t.Fatalf("received %d messages, want 1", len(ds))
		}
		got = ds[0]
	})
	return got, when
}

// early is how much too early a message may come, for the rounding of clocks.
const early = 5 * time.Millisecond

// late is how much too late a message may come.
func (t *tester) late() time.Duration {
	if t.h.Bubble {
		return t.unit + t.caps.Resolution
	}
	return 5*time.Second + t.caps.Resolution // a busy machine, a busy server
}

// comesBack polls until a message can be received, checks that it became
// visible when it should, and returns it, leased for long.
func (t *tester) comesBack(q *mq.Queue, id string, when span) *mq.Delivery {
	t.Helper()
	for {
		asked := time.Now()
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long})
		t.ok(err, "Receive while waiting for message %s to come", id)
		if len(ds) == 0 {
			t.sleep(t.unit / 8)
			continue
		}
		if now := time.Now(); now.Before(when.from.Add(-early)) {
			t.Errorf("message %s was visible %v too early", ds[0].ID, when.from.Sub(now))
		}
		if asked.After(when.to.Add(t.late())) {
			t.Errorf("message %s was visible %v too late", ds[0].ID, asked.Sub(when.to))
		}
		if ds[0].ID != id {
			t.Fatalf("received message %s, want %s", ds[0].ID, id)
		}
		return ds[0]
	}
}

// expire leaves a lease to its timeout, and a margin for rounding.
func (t *tester) expire(end span) {
	t.Helper()
	t.sleep(time.Until(end.to) + t.unit/2 + t.caps.Resolution)
}

// sleep waits for d, or ends the case if that is too long.
func (t *tester) sleep(d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
		t.Fatal("the case takes too long")
	}
}

// eventually waits for a condition.
func (t *tester) eventually(what string, met func() bool) {
	t.Helper()
	for !met() {
		if t.ctx.Err() != nil {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(t.unit / 8)
	}
}

// await waits for done.
func (t *tester) await(what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-t.ctx.Done():
		t.Fatalf("never happened: %s", what)
	}
}

// background runs f beside the case, which does not end before it: f must
// return when t.ctx ends.
func (t *tester) background(f func()) (done <-chan struct{}) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	t.Cleanup(func() {
		select {
		case <-returned:
		case <-time.After(5 * time.Second):
			t.Error("a call goes on although its ctx has ended")
		}
	})
	return returned
}

// together runs f n times at once and waits for all.
func (t *tester) together(n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Errorf("goroutine %d of %d: %v", i, n, err)
			}
		})
	}
	wg.Wait()
}
