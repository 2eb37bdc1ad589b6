package mqotel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqotel"
)

// Each outcome of a Consumer that is not an ack is counted by its kind.
func TestOnEvent(t *testing.T) {
	l := newLab(t, mqotel.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 {
		if _, err := l.queue.Send(ctx, new(mq.Message)); err != nil {
			t.Fatal(err)
		}
	}
	dead := 0
	err := l.queue.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
		switch {
		case d.ReadCount == 1:
			return mq.Snooze(0)
		case d.Attempt == 1:
			return errors.New("bank is down")
		}
		return mq.Reject(mq.ErrClosed)
	}, mq.ConsumerConfig{
		Concurrency: 1,
		Backoff:     func(int) time.Duration { return 0 },
		OnEvent: func(ctx context.Context, e mq.Event) {
			l.telemetry.OnEvent(ctx, e)
			if e.Kind != mq.EventDeadLetter {
				return
			}
			if dead++; dead == 2 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.requireSeries("mq.consumer.events", map[string]int64{
		"mq.event=snoozed": 2, "error.type=*errors.errorString,mq.event=retry": 2, "error.type=closed,mq.event=dead letter": 2,
	})
}
