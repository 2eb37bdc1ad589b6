package mqtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// New returns a client in memory that nobody else has, and that is closed when
// the test ends. In a testing/synctest bubble it lives on the bubble's time.
//
// The test must import the driver: _ "github.com/portmq/mq/drivers/mem".
func New(t testing.TB) *mq.Client {
	t.Helper()
	return newClient(t, mq.Config{})
}

func newClient(t testing.TB, cfg mq.Config) *mq.Client {
	t.Helper()
	c, err := mq.OpenConfig("mem://", cfg)
	if err != nil {
		t.Fatalf("mqtest: no client in memory: %v\nadd this import to the test:\n\t_ %q", err, "github.com/portmq/mq/drivers/mem")
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("mqtest: %v", err)
		}
	})
	return c
}

// RequireSent returns the oldest message of q, whatever its state, whose
// payload match accepts. It leases nothing. If there is none the test fails
// and shows what there is. Messages that do not decode into T are passed over.
// A nil match accepts all.
func RequireSent[T any](t testing.TB, q *mq.Queue, match func(T) bool) T {
	t.Helper()
	records := peekAll(t, q)
	for _, r := range records {
		if v, err := payload[T](q, r); err == nil && (match == nil || match(v)) {
			return v
		}
	}
	t.Fatalf("mqtest: queue %q has no such %v: there %s", q.Name(), reflect.TypeFor[T](), summary(records))
	var none T
	return none
}

// RequireEmpty fails the test if q has a message, whatever its state.
func RequireEmpty(t testing.TB, q *mq.Queue) {
	t.Helper()
	if records := peekAll(t, q); len(records) > 0 {
		t.Fatalf("mqtest: queue %q is not empty: there %s", q.Name(), summary(records))
	}
}

// peekAll returns every message of q.
func peekAll(t testing.TB, q *mq.Queue) (all []mq.Record) {
	t.Helper()
	for after := ""; ; after = all[len(all)-1].ID {
		page, err := q.Peek(t.Context(), mq.BrowseOptions{After: after})
		if err != nil {
			t.Fatalf("mqtest: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// payload decodes a record as a handler of T would get it.
func payload[T any](q *mq.Queue, r mq.Record) (v T, err error) {
	d := &mq.Delivery{Message: r.Message, ID: r.ID}
	err = mq.Of[T](q).Handler(func(_ context.Context, got T) error {
		v = got
		return nil
	}).Handle(context.Background(), d)
	return v, err
}

// summary shows the first few records, and only the beginnings of them.
func summary(records []mq.Record) string {
	const most = 10
	var b strings.Builder
	switch n := len(records); n {
	case 0:
		return "is none"
	case 1:
		b.WriteString("is 1:")
	default:
		fmt.Fprintf(&b, "are %d:", n)
	}
	for i, r := range records {
		if i == most {
			fmt.Fprintf(&b, "\n\t... and %d more", len(records)-most)
			break
		}
		fmt.Fprintf(&b, "\n\tid %s, read %d times, %d bytes: %.40q", r.ID, r.ReadCount, len(r.Body), r.Body)
	}
	return b.String()
}

// Outcome is what became of a message and what its handler returned.
type Outcome struct {
	Acked        bool
	Retried      bool          // given back, and the attempt counts
	Snoozed      bool          // given back, and the attempt does not count: mq.Snooze
	After        time.Duration // if Retried or Snoozed: the delay, or mq.AtTimeout
	DeadLettered bool
	Reason       string // why it is a dead letter
	Err          error  // the handler's, a *mq.PanicError if it panicked
}

// Deliver sends msg to a queue in memory that nobody else has, lets a Consumer
// with the default configuration run h on it once, and returns what became of
// it. The test must import the driver, as for New.
func Deliver(t testing.TB, h mq.Handler, msg mq.Message) Outcome {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := &witness{handler: h, stop: stop}
	c := newClient(t, mq.Config{
		Logger:       slog.New(slog.DiscardHandler),
		Interceptors: []mq.Interceptor{w.intercept},
	})
	q, err := c.EnsureQueue(ctx, "deliver", mq.QueueOptions{})
	if err == nil {
		_, err = q.Send(ctx, &msg)
	}
	if err == nil {
		err = q.Consume(ctx, w.Handle, mq.ConsumerConfig{Concurrency: 1, Prefetch: mq.NoPrefetch})
	}
	if err != nil {
		t.Fatalf("mqtest: %v", err)
	}
	return w.outcome()
}

// witness notes what a handler does and what becomes of its message.
type witness struct {
	handler mq.Handler
	stop    func() // no message after this one

	mu   sync.Mutex
	seen Outcome
}

func (w *witness) outcome() Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// Handle calls the handler and makes an error of a panic, as a Consumer does.
func (w *witness) Handle(ctx context.Context, d *mq.Delivery) (err error) {
	err = errors.New("the handler ended its goroutine (by t.FailNow?)")
	defer func() {
		if v := recover(); v != nil {
			err = &mq.PanicError{Value: v, Stack: debug.Stack()}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen.Err = err
	}()
	return w.handler.Handle(ctx, d)
}

func (w *witness) intercept(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	if len(c.Settlements) == 0 {
		return next(ctx)
	}
	w.stop()
	err := next(ctx)
	if err == nil {
		w.settled(c.Settlements[0])
	}
	return err
}

func (w *witness) settled(s mq.Settlement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s.Op {
	case mq.OpAck:
		w.seen.Acked = true
	case mq.OpNack:
		w.seen.Retried, w.seen.Snoozed, w.seen.After = !s.Uncounted, s.Uncounted, s.Delay
	default:
		w.seen.DeadLettered, w.seen.Reason = true, s.Reason
	}
}
