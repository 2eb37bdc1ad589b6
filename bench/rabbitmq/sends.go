package main

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// A sender sends one message and returns when it is confirmed.
type sender struct {
	queue string
	send  func(context.Context) error
}

// turns is how many short runs make a round of sends: the sides of a ratio
// should meet the same machine.
const turns = 4

func singleSends(ctx context.Context, l *lab) ([]row, error) {
	ours, err := l.mqSender(ctx)
	if err != nil {
		return nil, err
	}
	byHand, err := l.handSender(ctx)
	if err != nil {
		return nil, err
	}
	theirs, stop, err := l.watermillSender(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	many, err := l.send(ctx, senders, ours, byHand, theirs)
	if err != nil {
		return nil, err
	}
	lone, err := l.send(ctx, 1, ours, byHand, theirs)
	if err != nil {
		return nil, err
	}
	const crowd, one = "64 senders, a message each", "1 sender, a message each"
	return []row{
		{crowd, many[0], "amqp091-go", many[1], bar{least: 0.8}},
		{crowd, many[0], "Watermill", many[2], bar{least: 1, above: true}},
		{one, lone[0], "amqp091-go", lone[1], bar{}},
		{one, lone[0], "Watermill", lone[2], bar{}},
	}, nil
}

// send measures n goroutines of each sender.
func (l *lab) send(ctx context.Context, n int, ss ...sender) ([][]float64, error) {
	var entrants []measure.Entrant
	for _, s := range ss {
		entrants = append(entrants, func() (float64, error) { return l.rate(ctx, n, s) })
	}
	return measure.Contest(turns*l.rounds, entrants...)
}

// rate is what n goroutines send a second, starting with an empty queue. What
// was confirmed must be in it in the end.
func (l *lab) rate(ctx context.Context, n int, s sender) (float64, error) {
	if err := l.clear(s.queue); err != nil {
		return 0, err
	}
	var sent atomic.Int64
	x, err := measure.PerSecond(ctx, n, l.span(2*time.Second/turns), func(ctx context.Context) error {
		err := s.send(ctx)
		if err == nil {
			sent.Add(1)
		}
		return err
	})
	if err := cmp.Or(ctx.Err(), err); err != nil {
		return 0, err
	}
	return x, l.holds(s.queue, int(sent.Load()))
}

func (l *lab) mqSender(ctx context.Context) (sender, error) {
	name, err := l.queue(ctx, "mq")
	q := l.client.Queue(name)
	return sender{name, func(ctx context.Context) error {
		_, err := q.Send(ctx, &mq.Message{Body: body})
		return err
	}}, err
}
