package main

import (
	"context"

	"github.com/portmq/mq"
)

// behindDelayed drains messages that were sent after others that are delayed.
func behindDelayed(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.client.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		return nil, err
	}
	h, err := l.handQueue(ctx, "byhand")
	if err != nil {
		return nil, err
	}
	n, ahead := l.size(10_000), l.size(100_000)
	for _, queue := range []string{"orders", "byhand"} {
		if err := l.fill(ctx, queue, ahead, delayed); err != nil {
			return nil, err
		}
	}
	r, err := contest(l.rounds,
		l.filled(ctx, "orders", n, visible, func() (float64, error) {
			return l.consume(ctx, q, n, ahead, mq.ConsumerConfig{Concurrency: workers})
		}),
		l.filled(ctx, "byhand", n, visible, func() (float64, error) {
			return l.handDrain(ctx, h, h.byID, n, ahead)
		}),
	)
	if err != nil {
		return nil, err
	}
	return []row{faster("drain of 10,000 behind 100,000 delayed", r[0], "claims ORDER BY msg_id", r[1], 5)}, nil
}
