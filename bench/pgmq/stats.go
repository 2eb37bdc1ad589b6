package main

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

func stats(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.client.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		return nil, err
	}
	for _, vt := range []string{visible, delayed} {
		if err := l.fill(ctx, q.Name(), l.size(500_000), vt); err != nil {
			return nil, err
		}
	}
	took, err := timed(l.size(500), func() (time.Duration, error) {
		return clock(func() error {
			_, err := q.Stats(ctx)
			return err
		})
	})
	return []row{within("Stats, 1,000,000 messages, half of them delayed, p50", took, 5*time.Millisecond)}, err
}
