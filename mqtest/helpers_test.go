package mqtest_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest"
)

// fatal runs f on a test that stands beside t and returns its failure.
func fatal(t *testing.T, f func(testing.TB)) (text string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(&failing{TB: t, text: &text})
	}()
	<-done
	if text == "" {
		t.Error("it did not fail")
	}
	return text
}

type failing struct {
	testing.TB
	text *string
}

func (f *failing) Fatalf(format string, args ...any) {
	*f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func newQueue(t *testing.T) *mq.Queue {
	t.Helper()
	q, err := mqtest.New(t).EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	ok(t, err)
	return q
}

func TestNew(t *testing.T) {
	var c *mq.Client
	t.Run("open", func(t *testing.T) {
		c = mqtest.New(t)
		ok(t, c.Ping(t.Context()))
		if names, err := mqtest.New(t).Queues(t.Context()); err != nil || len(names) > 0 {
			t.Errorf("it is not private: %v, %v", names, err)
		}
	})
	fails(t, c.Ping(t.Context()), mq.ErrClosed)
}

func TestNewInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		send(t, q, "a")
		receive(t, q, 1)
		time.Sleep(30 * time.Minute)
		equal(t, "read count", receive(t, q, 1)[0].ReadCount, 2)
	})
}

// The program in testdata does not import the driver.
func TestNewWithoutDriver(t *testing.T) {
	out, err := exec.Command("go", "test", "./testdata/nodriver").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `_ "github.com/portmq/mq/drivers/mem"`) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRequireSent(t *testing.T) {
	q := newQueue(t)
	orders := mq.Of[order](q)
	send(t, q, "not an order")
	for i := range 250 { // more than a page
		_, err := orders.Send(t.Context(), order{ID: i, Total: float64(i % 2)})
		ok(t, err)
	}
	receive(t, q, 100)

	got := mqtest.RequireSent(t, q, func(o order) bool { return o.ID == 249 })
	equal(t, "payload", got, order{ID: 249, Total: 1})
	got = mqtest.RequireSent(t, q, func(o order) bool { return o.Total == 1 })
	equal(t, "the oldest", got.ID, 1)
	got = mqtest.RequireSent[order](t, q, nil)
	equal(t, "any", got.ID, 0)
	equal(t, "raw", string(mqtest.RequireSent[raw](t, q, nil)), "not an order")
	equal(t, "leased", stats(t, q).Leased, 100)

	text := fatal(t, func(t testing.TB) { mqtest.RequireSent(t, q, func(o order) bool { return o.ID < 0 }) })
	for _, want := range []string{`queue "orders" has no such mqtest_test.order`, "there are 251:", `12 bytes: "not an order"`, "and 241 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

// raw is a payload with an encoding of its own.
type raw string

func (r *raw) UnmarshalMQ(data []byte) error {
	*r = raw(data)
	return nil
}

func TestFailureIsShort(t *testing.T) {
	q := newQueue(t)
	send(t, q, strings.Repeat("secret", 1000))
	text := fatal(t, func(t testing.TB) { mqtest.RequireEmpty(t, q) })
	if len(text) > 200 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestRequireEmpty(t *testing.T) {
	q := newQueue(t)
	mqtest.RequireEmpty(t, q)
	_, err := q.Send(t.Context(), &mq.Message{Delay: time.Hour})
	ok(t, err)
	text := fatal(t, func(t testing.TB) { mqtest.RequireEmpty(t, q) })
	if !strings.Contains(text, "there is 1:") {
		t.Error(text)
	}
	missing := q.Client().Queue("missing")
	text = fatal(t, func(t testing.TB) { mqtest.RequireEmpty(t, missing) })
	if !strings.Contains(text, "queue not found") {
		t.Error(text)
	}
}

func TestDeliver(t *testing.T) {
	oops, later := errors.New("oops"), mq.Snooze(time.Hour)
	for name, c := range map[string]struct {
		handler mq.HandlerFunc
		want    mqtest.Outcome
	}{
		"ack":        {nothing, mqtest.Outcome{Acked: true}},
		"retry":      {returns(mq.Retry(time.Minute, oops)), mqtest.Outcome{Retried: true, After: time.Minute, Err: oops}},
		"retry now":  {returns(mq.Retry(0, oops)), mqtest.Outcome{Retried: true, Err: oops}},
		"snooze":     {returns(later), mqtest.Outcome{Snoozed: true, After: time.Hour, Err: later}},
		"reject":     {returns(mq.Reject(oops)), mqtest.Outcome{DeadLettered: true, Reason: "oops", Err: oops}},
		"own ack":    {func(ctx context.Context, d *mq.Delivery) error { return d.Ack(ctx) }, mqtest.Outcome{Acked: true}},
		"own nack":   {func(ctx context.Context, d *mq.Delivery) error { return d.Nack(ctx, 0) }, mqtest.Outcome{Retried: true}},
		"at timeout": {func(ctx context.Context, d *mq.Delivery) error { return d.Nack(ctx, mq.AtTimeout) }, mqtest.Outcome{Retried: true, After: mq.AtTimeout}},
		"archive":    {func(ctx context.Context, d *mq.Delivery) error { return d.Archive(ctx, "why") }, mqtest.Outcome{DeadLettered: true, Reason: "why"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := mqtest.Deliver(t, c.handler, mq.Message{})
			fails(t, got.Err, c.want.Err)
			got.Err, c.want.Err = nil, nil
			equal(t, "outcome", got, c.want)
		})
	}
}

func returns(err error) mq.HandlerFunc {
	return func(context.Context, *mq.Delivery) error { return err }
}

func TestDeliverBackoff(t *testing.T) {
	got := mqtest.Deliver(t, returns(errRefused), mq.Message{})
	fails(t, got.Err, errRefused)
	if !got.Retried || got.After < 500*time.Millisecond || got.After > 2*time.Second {
		t.Errorf("%+v", got)
	}
}

func TestDeliverPanic(t *testing.T) {
	got := mqtest.Deliver(t, mq.HandlerFunc(func(context.Context, *mq.Delivery) error { panic("boom") }), mq.Message{})
	if p := (*mq.PanicError)(nil); !got.Retried || !errors.As(got.Err, &p) || p.Value != "boom" {
		t.Errorf("%+v", got)
	}
}

func TestDeliverGoexit(t *testing.T) {
	got := mqtest.Deliver(t, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		runtime.Goexit()
		return nil
	}), mq.Message{})
	if !got.Retried || got.Err == nil {
		t.Errorf("%+v", got)
	}
}

func TestDeliverUndecodable(t *testing.T) {
	h := mq.Of[order](newQueue(t)).Handler(func(context.Context, order) error { return nil })
	got := mqtest.Deliver(t, h, mq.Message{Body: []byte("{")})
	if d := (*mq.DecodeError)(nil); !got.DeadLettered || !errors.As(got.Err, &d) {
		t.Errorf("%+v", got)
	}
}

func TestDeliverSlowHandlerInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := mqtest.Deliver(t, mq.HandlerFunc(func(_ context.Context, d *mq.Delivery) error {
			time.Sleep(time.Hour)
			return nil
		}), mq.Message{Body: []byte("slow"), Delay: time.Hour})
		equal(t, "outcome", got, mqtest.Outcome{Acked: true})
	})
}
