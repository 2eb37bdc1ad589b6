package drivertest

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
	ctx  context.Context // ends when the try is over, or stands still
	c    *mq.Client      // the case's own
	p    driver.Provider // of c
	caps driver.Caps

	try      *try
	unit     time.Duration // the base of all times
	long     time.Duration // a visibility that does not end within the case
	patience time.Duration // how long to wait for what should come
	limit    limit
	leaks    time.Duration // how long goroutines may take to end

	made *made
	pace *pace
}

// newTester returns the tester of one try of a case.
func newTester(try *try, h Harness, c testCase) *tester {
	t := &tester{TB: try, h: h, try: try, leaks: patience, made: new(made), pace: new(pace)}
	if !h.Bubble && try.n == 1 {
		t.watchGoroutines(try.TB)
	}
	if h.Common {
		t.Cleanup(t.dropQueues)
	}
	t.c = t.open()
	t.p, t.caps = t.c.Provider(), t.c.Caps()
	t.long = time.Hour
	for _, limit := range []time.Duration{t.caps.MaxVisibility, t.caps.MaxHold} {
		if limit > 0 {
			t.long = min(t.long, limit)
		}
	}
	unit := max(minUnit, 4*t.caps.Resolution)
	t.unit = min(unit*try.times(), max(unit, min(t.long, t.delay())/maxUnits))
	patience := c.patience() + 20*t.unit
	t.patience = min(patience, t.long/2) // what does not come must not come by a timeout
	t.ctx, t.limit = newLimit(try.TB, tryPatience*patience)
	t.alive()
	return t
}

// made are the names of queues that a case has made.
type made struct {
	mu    sync.Mutex
	names []string
	tx    bool // a transaction
}

func (m *made) add(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = append(m.names, names...)
}

func (m *made) began() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tx = true
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
	name := fmt.Sprintf("drivertest_%08x", rand.Uint32())
	t.made.add(name)
	return name
}

// dropQueues drops what the case has made in a common namespace. Its own
// client may be closed by now.
func (t *tester) dropQueues() {
	c := t.h.Open(t)
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), tryPatience*patience)
	defer cancel()
	for _, name := range t.made.names {
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

func (t *tester) queueOf(c *mq.Client) (q *mq.Queue) {
	t.Helper()
	name := t.name()
	took := timed(func() {
		var err error
		q, err = c.EnsureQueue(t.ctx, name, mq.QueueOptions{})
		t.ok(err, "EnsureQueue")
	})
	t.pace.note(took.length())
	return q
}

// ok ends the case if err is not nil.
func (t *tester) ok(err error, what string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v%s%s", fmt.Sprintf(what, args...), err, t.limit.why(t.ctx), t.hint(err))
	}
}

// hint says where a deadline may come from.
func (t *tester) hint(err error) string {
	t.made.mu.Lock()
	defer t.made.mu.Unlock()
	if t.made.tx && errors.Is(err, context.DeadlineExceeded) {
		return " (the case has begun a transaction: does it, or the call, hold a lock that it does not need? A Receive looks without one)"
	}
	return ""
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
	ids, err := q.SendAll(t.ctx, msgs)
	t.ok(err, "Send of %d", len(msgs))
	if len(ids) != len(msgs) {
		t.Fatalf("Send of %d returned %d ids", len(msgs), len(ids))
	}
	t.alive()
	return ids
}

// receive leases n messages for long.
func (t *tester) receive(q *mq.Queue, n int) []*mq.Delivery {
	t.Helper()
	var got []*mq.Delivery
	for len(got) < n {
		o := mq.ReceiveOptions{Max: min(n-len(got), t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience}
		ds, err := q.Receive(t.ctx, o)
		t.ok(err, "Receive, with %d of %d messages received", len(got), n)
		if len(ds) == 0 {
			t.Fatalf("received %d of %d messages", len(got), n)
		}
		t.alive()
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
	for _, found := range t.found(q, why) {
		t.Error(found)
	}
}

// found says what can be received now, though nothing should.
func (t *tester) found(q *mq.Queue, why string) (wrong []string) {
	t.Helper()
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(10, t.caps.BatchLimit()), Visibility: t.long})
	t.ok(err, "Receive")
	for _, d := range ds {
		wrong = append(wrong, fmt.Sprintf("received message %s with body %.64q and read count %d, want none: %s", d.ID, d.Body, d.ReadCount, why))
	}
	return wrong
}

// delay is one that does not end within the case.
func (t *tester) delay() time.Duration {
	if limit := t.caps.MaxDelay; limit > 0 {
		return min(time.Hour, limit)
	}
	return time.Hour
}
