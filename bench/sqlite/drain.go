package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

func drains(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return nil, err
	}
	h, err := l.hand(ctx)
	if err != nil {
		return nil, err
	}
	g, err := l.goqite(ctx)
	if err != nil {
		return nil, err
	}
	n := l.size(20_000)
	r, err := contest(l.rounds, consumes(ctx, q, n), h.drains(ctx, n), g.drains(ctx, l.size(4000), l.span(2*time.Second)))
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("Consumer, %d handlers, acks included", workers)
	return []row{
		faster(what, r[0], "claims and deletes of 100", r[1], 0.8),
		faster(what, r[0], "goqite, receive and delete", r[2], 10),
	}, nil
}

// consumes is an entrant that drains n messages with a Consumer, and returns how
// many a second it handled and acked.
func consumes(ctx context.Context, q *mq.Queue, n int) measure.Entrant {
	return func() (x float64, err error) {
		if err := send(ctx, q, n, nil); err != nil {
			return 0, err
		}
		labelled(ctx, "mq", func(ctx context.Context) { x, err = consume(ctx, q, n) })
		if err != nil {
			return 0, err
		}
		return x, holds(ctx, q, 0)
	}
}

func consume(ctx context.Context, q *mq.Queue, n int) (float64, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var handled atomic.Int64
	took, err := clock(func() error {
		return q.Consume(running, func(context.Context, *mq.Delivery) error {
			if handled.Add(1) == int64(n) {
				stop()
			}
			return nil
		}, mq.ConsumerConfig{Concurrency: workers})
	})
	return float64(n) / took, err
}

// drains is consumes for what is written by hand.
func (h *hand) drains(ctx context.Context, n int) measure.Entrant {
	return func() (x float64, err error) {
		for range n / batchSize {
			if err := h.sendAll(ctx); err != nil {
				return 0, err
			}
		}
		labelled(ctx, "hand", func(ctx context.Context) {
			x, err = clock(func() error { return h.drain(ctx, n/batchSize*batchSize) })
		})
		return float64(n) / x, err
	}
}

// drains works for d on n messages: receives of goqite are dearer the more of
// them there are.
func (g *goqitePeer) drains(ctx context.Context, n int, d time.Duration) measure.Entrant {
	return func() (x float64, err error) {
		if err := g.clear(ctx); err != nil {
			return 0, err
		}
		if err := g.fill(ctx, n); err != nil {
			return 0, err
		}
		labelled(ctx, "goqite", func(ctx context.Context) { x, err = g.workFor(ctx, n, d) })
		return x, err
	}
}

// workFor returns how many messages a second the workers receive and delete,
// until d is over or n are done.
func (g *goqitePeer) workFor(ctx context.Context, n int, d time.Duration) (float64, error) {
	var taken, done atomic.Int64
	start := time.Now()
	err := measure.Start(workers, func() error {
		for time.Since(start) < d && taken.Add(1) <= int64(n) {
			if err := g.work(ctx); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	})()
	return float64(done.Load()) / time.Since(start).Seconds(), err
}
