package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// A drainer drains a queue of messages that its own library has sent. It holds
// none of them when it returns.
type drainer struct {
	whose string
	fill  store
	drain func(ctx context.Context, queue string, n int) (time.Duration, error)
}

func drains(ctx context.Context, l *lab) ([]row, error) {
	bares := l.stored(func() (amqp.Publishing, error) { return bare(), nil })
	var entrants []measure.Entrant
	for _, d := range []drainer{
		{"mq", l.sent, l.consume},
		{"byhand", bares, l.handDrain},
		{"watermill", l.stored(marshalled), l.watermillDrain},
	} {
		queue, err := l.queue(ctx, d.whose)
		if err != nil {
			return nil, err
		}
		entrants = append(entrants, func() (float64, error) { return l.drain(ctx, queue, d) })
	}
	r, err := measure.Contest(l.rounds, entrants...)
	if err != nil {
		return nil, err
	}
	const what = "drain of 50,000, acks included"
	return []row{
		{what, r[0], "amqp091-go", r[1], bar{least: 0.7}},
		{what, r[0], "Watermill", r[2], bar{}},
	}, nil
}

// drain returns how many messages a second d takes and acks. None must be left.
func (l *lab) drain(ctx context.Context, queue string, d drainer) (float64, error) {
	n := l.size(50_000)
	if err := l.fill(ctx, queue, n, d.fill); err != nil {
		return 0, err
	}
	took, err := d.drain(ctx, queue, n)
	if err != nil {
		return 0, err
	}
	time.Sleep(settling)
	return float64(n) / took.Seconds(), l.holds(queue, 0)
}

// sent sends n messages as mq does.
func (l *lab) sent(ctx context.Context, queue string, n int) error {
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: body}
	}
	_, err := l.client.Queue(queue).SendAll(ctx, msgs)
	return err
}

// consume drains with a Consumer, on a client of its own.
func (l *lab) consume(ctx context.Context, queue string, n int) (took time.Duration, err error) {
	client, err := mq.Open(l.dsn)
	if err != nil {
		return 0, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var handled atomic.Int64
	c, err := mq.NewConsumer(client.Queue(queue), mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		if handled.Add(1) == int64(n) {
			stop()
		}
		return nil
	}), mq.ConsumerConfig{Concurrency: workers})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = c.Run(running)
	took = time.Since(start)
	if s := c.Stats(); err == nil && (s.Received != int64(n) || s.Acked != int64(n)) {
		err = fmt.Errorf("the Consumer was to ack %d messages: %+v", n, s)
	}
	return took, errors.Join(err, ctx.Err(), client.Close())
}
