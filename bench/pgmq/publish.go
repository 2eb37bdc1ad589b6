package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// publishes compares a message that is published to some queues with as many rows that
// one statement by hand inserts into a single table.
func publishes(ctx context.Context, l *lab) (rows []row, err error) {
	h, err := l.handQueue(ctx, "byhand")
	if err != nil {
		return nil, err
	}
	bound := 0
	var tables []string
	for _, n := range []int{1, 10, 100} {
		topic := fmt.Sprintf("orders.%d", n)
		for i := range n {
			q, err := l.client.EnsureQueue(ctx, fmt.Sprint("orders_", i), mq.QueueOptions{})
			if err == nil {
				err = q.Bind(ctx, topic)
			}
			if err != nil {
				return nil, err
			}
			if i >= bound {
				tables = append(tables, table(q.Name()))
			}
		}
		bound = n
		bodies := strings.Split(strings.Repeat(string(body)+"\n", n-1)+string(body), "\n")
		run := func(send func(context.Context) error) entrant {
			return func() (float64, error) {
				if err := l.clear(ctx, append(tables, h.table)...); err != nil {
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
				_, err := h.sendAll(ctx, bodies)
				return err
			}),
		)
		if err != nil {
			return nil, err
		}
		rows = append(rows, faster(fmt.Sprintf("1 publisher, to %d queues", n), r[0], fmt.Sprintf("INSERT of %d rows", n), r[1], 0.7))
	}
	return rows, nil
}
