package rabbitmq_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
)

// shovel moves a message from one queue to another as it is, with all
// properties and headers.
func (r *rig) shovel(from, to string) {
	r.Helper()
	var d amqp.Delivery
	eventually(r, "there is a message in "+from, func() (found bool) {
		var err error
		d, found, err = r.raw.Get(from, false)
		ok(r, err)
		return found
	})
	ok(r, r.raw.PublishWithContext(r.Context(), "", to, true, false, amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}))
	ok(r, d.Ack(false))
}

// TestShovelled: dead letters that an operator moves back are tried again, and
// as often as others.
func TestShovelled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const archive = queueName + ".archive"
	r.send("dead")
	cfg := mq.ConsumerConfig{MaxAttempts: 3, Backoff: func(int) time.Duration { return 100 * time.Millisecond }}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		cfg.OnEvent = func(_ context.Context, e mq.Event) {
			if e.Kind == mq.EventDeadLetter {
				cancel()
			}
		}
		ok(t, r.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
			if calls++; d.ReadCount != calls {
				t.Errorf("call %d has read count %d", calls, d.ReadCount)
			}
			return errors.New("bug")
		}, cfg))
		cancel()
		if calls != 3 {
			t.Errorf("the handler was called %d times, want 3", calls)
		}
		r.shovel(archive, queueName)
	}

	back := r.take() // the reason stays as it is not known who reads it
	if back.ReadCount != 1 || back.Headers["mq-reason"] == "" {
		t.Errorf("what was moved back came as %+v", back)
	}
	ok(t, back.Nack(t.Context(), 100*time.Millisecond))
	d := r.take()
	if d.ReadCount != 2 || d.Headers["mq-reason"] != "" {
		t.Errorf("after a delay it came as %+v", d)
	}
	ok(t, d.Archive(t.Context(), ""))
	a := r.takeFrom(r.Client().Queue(archive))
	if a.ReadCount != 1 || len(a.Headers) > 0 || a.ID != back.ID {
		t.Errorf("the archive has %+v", a)
	}
}

// TestForeignCounts: what another program writes where counts are is a count,
// or nothing.
func TestForeignCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		value any
		want  int
	}{
		{int64(math.MaxInt64), math.MaxInt32},
		{int64(math.MinInt64), 1},
		{"many", 1},
		{int32(3), 4},
		{amqp.Table{"n": int32(3)}, 1},
	} {
		r.publish(amqp.Publishing{Headers: amqp.Table{"mq-read-count": c.value, "mq-enqueued-at": "never", "mq-twin": c.value}})
		d := r.take()
		if d.ReadCount != c.want {
			t.Errorf("mq-read-count %v: read %d times, want %d", c.value, d.ReadCount, c.want)
		}
		ok(t, d.Nack(t.Context(), 100*time.Millisecond))
		d = r.take()
		if want := min(c.want+1, math.MaxInt32); d.ReadCount != want {
			t.Errorf("mq-read-count %v, after a delay: read %d times, want %d", c.value, d.ReadCount, want)
		}
		ok(t, d.Ack(t.Context()))
	}
}
