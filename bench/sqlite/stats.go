package main

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
)

func stats(ctx context.Context, l *lab) ([]row, error) {
	n := l.size(million)
	err := l.filled(ctx, "mq.db", func(ctx context.Context, q *mq.Queue) error {
		return errors.Join(sendLeased(ctx, q, n/4), sendDelays(ctx, q, n/4), send(ctx, q, n/2, nil))
	})
	if err != nil {
		return nil, err
	}
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return nil, err
	}
	if err := holds(ctx, q, n/4+n/4+n/2); err != nil {
		return nil, err
	}
	r, err := contest(l.rounds, timed(l.size(500), func() (float64, error) {
		return clock(func() error {
			_, err := q.Stats(ctx)
			return err
		})
	}))
	if err != nil {
		return nil, err
	}
	return []row{within("stats, 1,000,000 messages, half of them leased or delayed", r[0], 5*time.Millisecond)}, nil
}

// sendDelays sends n messages whose delays end one after the other in an hour.
func sendDelays(ctx context.Context, q *mq.Queue, n int) error {
	return send(ctx, q, n, func(i int) *mq.Message { return &mq.Message{Body: body, Delay: leaseOf(i, n)} })
}
