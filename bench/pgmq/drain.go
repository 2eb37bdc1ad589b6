package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

func drains(ctx context.Context, l *lab) ([]row, error) {
	p, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	n := l.size(50_000)
	r, err := contest(l.rounds,
		l.filled(ctx, "orders", n, visible, func() (float64, error) {
			return l.consume(ctx, p.queue, n, 0, mq.ConsumerConfig{Concurrency: workers})
		}),
		l.filled(ctx, "byhand", n, visible, func() (float64, error) {
			return l.handDrain(ctx, p.byHand, p.byHand.byDue, n, 0)
		}),
		func() (float64, error) { return l.riverDrain(ctx, p.river, n) },
	)
	if err != nil {
		return nil, err
	}
	const what = "drain of 50,000 with 16 workers, acks included"
	return []row{
		faster(what, r[0], "due-first claims, fenced deletes", r[1], 0.9),
		faster(what, r[0], "River", r[2], 5),
	}, nil
}

// filled is an entrant that finds so many rows in its queue.
func (l *lab) filled(ctx context.Context, queue string, n int, vt string, f entrant) entrant {
	return func() (float64, error) {
		if err := l.fill(ctx, queue, n, vt); err != nil {
			return 0, err
		}
		return f()
	}
}

// consume drains n messages with a Consumer, after which so many rows must be
// left, and returns how many a second it handled and acked.
func (l *lab) consume(ctx context.Context, q *mq.Queue, n, left int, cfg mq.ConsumerConfig) (float64, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var handled atomic.Int64
	took, err := clock(func() error {
		return q.Consume(running, func(context.Context, *mq.Delivery) error {
			if handled.Add(1) == int64(n) {
				stop()
			}
			return nil
		}, cfg)
	})
	if err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), l.left(ctx, table(q.Name()), left)
}

// handDrain is consume for what is written by hand.
func (l *lab) handDrain(ctx context.Context, h *hand, claim string, n, left int) (float64, error) {
	took, err := clock(func() error { return h.drain(ctx, claim, n) })
	if err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), l.left(ctx, h.table, left)
}

func (l *lab) riverDrain(ctx context.Context, r *riverPeer, n int) (float64, error) {
	if err := l.clear(ctx, "river_job"); err != nil {
		return 0, err
	}
	if err := r.fill(ctx, n); err != nil {
		return 0, err
	}
	if err := l.settle(ctx, "river_job"); err != nil {
		return 0, err
	}
	took, err := r.drain(ctx, n)
	return float64(n) / took.Seconds(), err
}

// clock returns how long f takes.
func clock(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}
