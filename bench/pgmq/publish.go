package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// publishes compares a message that is published to some queues with a statement by
// hand that inserts a row into as many tables.
func publishes(ctx context.Context, l *lab) (rows []row, err error) {
	for _, n := range []int{1, 10, 100} {
		var tables, inserts []string
		topic := fmt.Sprintf("orders.%d", n)
		for i := range n {
			q, err := l.client.EnsureQueue(ctx, fmt.Sprint("orders_", i), mq.QueueOptions{})
			if err == nil {
				err = q.Bind(ctx, topic)
			}
			if err != nil {
				return nil, err
			}
			h, err := l.handQueue(ctx, fmt.Sprint("byhand_", i))
			if err != nil {
				return nil, err
			}
			tables = append(tables, table(q.Name()), h.table)
			inserts = append(inserts, fmt.Sprintf("i%d AS (INSERT INTO %s (vt, message) SELECT statement_timestamp(), m FROM b RETURNING msg_id)", i, h.table))
		}
		byHand := "WITH b AS MATERIALIZED (SELECT $1::jsonb AS m), " + strings.Join(inserts, ", ") + " SELECT msg_id FROM i0"
		run := func(send func(context.Context) error) entrant {
			return func() (float64, error) {
				if err := l.clear(ctx, tables...); err != nil {
					return 0, err
				}
				return perSecond(ctx, 1, l.span(2*time.Second/turns), send)
			}
		}
		r, err := contest(turns*l.rounds,
			run(func(ctx context.Context) error {
				_, err := l.client.Publish(ctx, topic, &mq.Message{Body: body})
				return err
			}),
			run(func(ctx context.Context) error {
				_, err := l.pool.Exec(ctx, byHand, string(body))
				return err
			}),
		)
		if err != nil {
			return nil, err
		}
		rows = append(rows, faster(fmt.Sprintf("1 publisher, to %d queues", n), r[0], fmt.Sprintf("a statement with %d INSERTs", n), r[1], 0.7))
	}
	return rows, nil
}
