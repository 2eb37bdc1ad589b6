package rabbitmq_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestDelays: each message comes when its own delay ends, whatever the others':
// none waits behind one that is due in an hour.
func TestDelays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []time.Duration{time.Hour, 24 * time.Hour} {
		must(r.Send(t.Context(), &mq.Message{Body: []byte("not today"), Delay: d}))(t)
	}
	sent := make(map[string]time.Time)
	for _, d := range []time.Duration{3200, 100, 1700, 250, 700, 3300, 1500, 50} {
		d *= time.Millisecond
		sent[d.String()] = time.Now()
		must(r.Send(t.Context(), &mq.Message{Body: []byte(d.String()), Delay: d}))(t)
	}
	for range len(sent) {
		d := r.take()
		want := must(time.ParseDuration(string(d.Body)))(t)
		if got := time.Since(sent[string(d.Body)]); got < want {
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
		if got := string(r.takeFrom(r.Client().Queue(name)).Body); got != name {
			t.Errorf("queue %q got a message for %q", name, got)
		}
	}
	for _, name := range names {
		if s := must(r.Client().Queue(name).Stats(t.Context()))(t); s.Visible > 0 {
			t.Errorf("queue %q got %d messages more", name, s.Visible)
		}
	}
}

// TestDelayedDropped: delayed messages whose queue is gone neither vanish nor
// hold up others.
func TestDelayedDropped(t *testing.T) {
	t.Parallel()
	const total = 50
	inTime(t, time.Second, func(delay time.Duration) error {
		r := newRig(t)
		gone := must(r.Client().EnsureQueue(t.Context(), "gone", mq.QueueOptions{}))(t)
		begin := time.Now()
		for i := range total {
			must(gone.Send(t.Context(), &mq.Message{Body: fmt.Append(nil, i), Delay: delay}))(t)
		}
		ok(t, r.Client().DropQueue(t.Context(), "gone"))
		if time.Since(begin) >= delay {
			return errors.New("the first came before the queue was dropped")
		}
		_, err := gone.Send(t.Context(), &mq.Message{Delay: delay})
		wantError(t, err, mq.ErrQueueNotFound)
		lost := r.Client().Queue("mq.delay.lost")
		first := r.takeFrom(lost) // they are due
		must(r.Send(t.Context(), &mq.Message{Body: []byte("good"), Delay: 100 * time.Millisecond}))(t)
		if d := r.take(); string(d.Body) != "good" {
			t.Errorf("received %q", d.Body)
		}
		ok(t, first.Ack(t.Context()))
		for range total - 1 {
			ok(t, r.takeFrom(lost).Ack(t.Context()))
		}
		return nil
	})
}

// TestDelayedRemade: a queue that is made again gets the delayed messages of
// its name.
func TestDelayedRemade(t *testing.T) {
	t.Parallel()
	inTime(t, time.Second, func(delay time.Duration) error {
		r := newRig(t)
		begin := time.Now()
		must(r.Send(t.Context(), &mq.Message{Body: []byte("later"), Delay: delay}))(t)
		ok(t, r.Client().DropQueue(t.Context(), queueName))
		must(r.Client().EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
		if time.Since(begin) >= delay {
			return errors.New("the message came before the queue was made again")
		}
		if d := r.take(); string(d.Body) != "later" {
			t.Errorf("received %q", d.Body)
		}
		return nil
	})
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
