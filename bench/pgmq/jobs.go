package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
)

// jobs measures what job systems do besides sending and receiving.
func jobs(ctx context.Context, l *lab) ([]row, error) {
	keys, err := keyedSends(ctx, l)
	if err != nil {
		return nil, err
	}
	batches, err := batchHandlers(ctx, l)
	return append(keys, batches...), err
}

// keyedSends compares sends with a key of their own with plain ones.
func keyedSends(ctx context.Context, l *lab) ([]row, error) {
	p, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	var last atomic.Int64
	keyed := func(d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := p.queue.Send(ctx, &mq.Message{Body: body, DedupKey: strconv.FormatInt(last.Add(1), 10), DedupFor: d})
			return err
		}
	}
	if err := keyed(time.Minute)(ctx); err != nil { // makes the table of keys
		return nil, err
	}
	cleared := func(send func(context.Context) error) entrant {
		rate := p.rate(ctx, senders, send)
		return func() (float64, error) {
			if err := p.clear(ctx, "pgmq.mq_keys"); err != nil {
				return 0, err
			}
			return rate()
		}
	}
	r, err := contest(turns*l.rounds, cleared(keyed(time.Minute)), cleared(keyed(mq.WhileQueued)), cleared(p.send))
	if err != nil {
		return nil, err
	}
	return []row{
		faster("64 senders, a message with a key each, held for a minute", r[0], "without a key", r[2], 0.6),
		faster("the same, held while queued", r[1], "without a key", r[2], 0.6),
	}, nil
}

// batchHandlers compares a handler of 100 messages, which inserts them by one statement,
// with 16 handlers that insert one each.
func batchHandlers(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.client.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		return nil, err
	}
	if err := l.clear(ctx, table("orders")); err != nil {
		return nil, err
	}
	if _, err := l.pool.Exec(ctx, "CREATE TABLE effect (id text PRIMARY KEY, body text)"); err != nil {
		return nil, err
	}
	n := l.size(20_000)
	drain := func(consume func(context.Context, func(int)) error) entrant {
		return l.filled(ctx, "orders", n, visible, func() (float64, error) {
			if err := l.clear(ctx, "effect"); err != nil {
				return 0, err
			}
			running, stop := context.WithCancel(ctx)
			defer stop()
			var handled atomic.Int64
			took, err := clock(func() error {
				return consume(running, func(m int) {
					if handled.Add(int64(m)) == int64(n) {
						stop()
					}
				})
			})
			if err != nil {
				return 0, err
			}
			return float64(n) / took.Seconds(), l.left(ctx, table("orders"), 0)
		})
	}
	const insert = "INSERT INTO effect VALUES ($1, $2)"
	r, err := contest(l.rounds,
		drain(func(ctx context.Context, done func(int)) error {
			return q.ConsumeBatch(ctx, func(ctx context.Context, ds []*mq.Delivery) []error {
				defer done(len(ds))
				rows := make([][]any, len(ds))
				for i, d := range ds {
					rows[i] = []any{d.ID, string(d.Body)}
				}
				_, err := l.pool.CopyFrom(ctx, pgx.Identifier{"effect"}, []string{"id", "body"}, pgx.CopyFromRows(rows))
				return []error{err}
			}, mq.BatchConfig{ConsumerConfig: mq.ConsumerConfig{Concurrency: 2}})
		}),
		drain(func(ctx context.Context, done func(int)) error {
			return q.Consume(ctx, func(ctx context.Context, d *mq.Delivery) error {
				defer done(1)
				_, err := l.pool.Exec(ctx, insert, d.ID, string(d.Body))
				return err
			}, mq.ConsumerConfig{Concurrency: workers})
		}),
	)
	if err != nil {
		return nil, err
	}
	return []row{faster("drain of 20,000 whose handlers insert a row: batches of 100", r[0], "16 single handlers", r[1], 1.2)}, nil
}
