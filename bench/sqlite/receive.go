package main

import (
	"context"
	"errors"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// receiveBehind compares the receive of one message behind others with that of
// the only one.
func receiveBehind(ctx context.Context, l *lab) ([]row, error) {
	fills := []struct {
		file string
		fill func(context.Context, *mq.Queue, int) error
	}{{"empty.db", nil}, {"leased.db", sendLeased}, {"delayed.db", sendDelayed}}
	var entrants []measure.Entrant
	for _, f := range fills {
		if f.fill != nil {
			err := l.filled(ctx, f.file, func(ctx context.Context, q *mq.Queue) error { return f.fill(ctx, q, l.size(million)) })
			if err != nil {
				return nil, err
			}
		}
		q, err := l.queue(ctx, f.file)
		if err != nil {
			return nil, err
		}
		entrants = append(entrants, timed(l.size(200), func() (float64, error) { return receiveOne(ctx, q) }))
	}
	r, err := contest(l.rounds, entrants...)
	if err != nil {
		return nil, err
	}
	const what, base, most = "receive of one, behind 1,000,000 ", "an empty queue", 1.5
	return []row{
		dearer(what+"leased", r[1], base, r[0], most),
		dearer(what+"delayed", r[2], base, r[0], most),
	}, nil
}

// receiveOne sends a message and times its receive, without the ack.
func receiveOne(ctx context.Context, q *mq.Queue) (float64, error) {
	if _, err := q.Send(ctx, &mq.Message{Body: body}); err != nil {
		return 0, err
	}
	ds, took, err := received(func() ([]*mq.Delivery, error) { return q.Receive(ctx, mq.ReceiveOptions{}) })
	if err != nil {
		return 0, err
	}
	if len(ds) != 1 {
		return 0, errors.New("a message is missing")
	}
	return took, ds[0].Ack(ctx)
}

// received times a receive.
func received(receive func() ([]*mq.Delivery, error)) (ds []*mq.Delivery, took float64, err error) {
	took, err = clock(func() error {
		ds, err = receive()
		return err
	})
	return ds, took, err
}

func ackAll(ctx context.Context, q *mq.Queue, ds []*mq.Delivery) error {
	acks := make([]mq.Settlement, len(ds))
	for i, d := range ds {
		acks[i] = mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}
	}
	if len(acks) == 0 {
		return nil
	}
	return q.Settle(ctx, acks...)
}
