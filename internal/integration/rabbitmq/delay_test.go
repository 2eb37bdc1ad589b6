package rabbitmq_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestDelays: each message comes when its own delay ends, whatever the others'.
func TestDelays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sent := time.Now()
	delays := []time.Duration{3200, 100, 1700, 250, 700, 3300, 1500, 50}
	for _, d := range delays {
		d *= time.Millisecond
		must(r.Send(t.Context(), &mq.Message{Body: []byte(d.String()), Delay: d}))(t)
	}
	for range delays {
		d := r.take()
		want := must(time.ParseDuration(string(d.Body)))(t)
		if got := time.Since(sent); got < want || got > want+3*time.Second {
			t.Errorf("a message with a delay of %v came after %v", want, got)
		}
	}
}

// TestDelayedNames: names that mean something in a routing key get their own
// messages and no others.
func TestDelayedNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	names := []string{"a", "a.b", "b", "*", "#", "x.#", "*.b", "100%", "a b", "%2A", "日本", "0", "1.a"}
	for _, name := range names {
		q := must(r.Client().EnsureQueue(t.Context(), name, mq.QueueOptions{AnyName: true}))(t)
		must(q.Send(t.Context(), &mq.Message{Body: []byte(name), Delay: 100 * time.Millisecond}))(t)
	}
	for _, name := range names {
		q := r.Client().Queue(name)
		if got := string(r.takeFrom(q).Body); got != name {
			t.Errorf("queue %q got a message for %q", name, got)
		}
		if ds := must(q.Receive(t.Context(), mq.ReceiveOptions{Wait: 50 * time.Millisecond}))(t); len(ds) > 0 {
			t.Errorf("queue %q also got a message for %q", name, ds[0].Body)
		}
	}
}

// TestDelayedDropped: delayed messages whose queue is gone neither vanish nor
// hold up others.
func TestDelayedDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone := must(r.Client().EnsureQueue(t.Context(), "gone", mq.QueueOptions{}))(t)
	const total = 50
	for i := range total {
		must(gone.Send(t.Context(), &mq.Message{Body: fmt.Append(nil, i), Delay: 500 * time.Millisecond}))(t)
	}
	ok(t, r.Client().DropQueue(t.Context(), "gone"))
	_, err := gone.Send(t.Context(), &mq.Message{Delay: time.Second})
	wantError(t, err, mq.ErrQueueNotFound)
	time.Sleep(600 * time.Millisecond)
	sent := time.Now()
	must(r.Send(t.Context(), &mq.Message{Body: []byte("good"), Delay: 100 * time.Millisecond}))(t)
	if d := r.take(); string(d.Body) != "good" || time.Since(sent) > 5*time.Second {
		t.Errorf("received %q after %v", d.Body, time.Since(sent))
	}
	lost := r.Client().Queue("mq.delay.lost")
	for range total {
		ok(t, r.takeFrom(lost).Ack(t.Context()))
	}
}

// TestDelayedRemade: a queue that is made again gets the delayed messages of
// its name.
func TestDelayedRemade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(r.Send(t.Context(), &mq.Message{Body: []byte("later"), Delay: time.Second}))(t)
	ok(t, r.Client().DropQueue(t.Context(), queueName))
	must(r.Client().EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
	if d := r.take(); string(d.Body) != "later" {
		t.Errorf("received %q", d.Body)
	}
}

// TestDelaysGone: the queues for delays are made again if somebody has removed
// them.
func TestDelaysGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	delayed := &mq.Message{Delay: 300 * time.Millisecond}
	must(r.Send(t.Context(), delayed))(t)
	ok(t, r.take().Ack(t.Context()))
	for _, level := range []string{"mq.delay.00", "mq.delay.01"} {
		ok(t, r.raw.ExchangeDelete(level, false, false))
		must(r.raw.QueueDelete(level, false, false, false))(t)
	}
	eventually(t, "a delayed send succeeds again", func() bool {
		_, err := r.Send(t.Context(), delayed)
		return err == nil
	})
	r.take()
}
