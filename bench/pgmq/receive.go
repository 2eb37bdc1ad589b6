package main

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
)

// receiveOne compares receive and ack of one message among others with the
// same on a queue that holds nothing else.
func receiveOne(ctx context.Context, l *lab) ([]row, error) {
	queues, err := l.crowds(ctx)
	if err != nil {
		return nil, err
	}
	fresh, err := l.receiveEach(ctx, queues)
	if err != nil {
		return nil, err
	}
	const what, base, most = "receive and ack of one, ", "nothing in front", 1.5
	rows := []row{
		dearer(what+"1,000,000 invisible in front", fresh[1], base, fresh[0], most),
		dearer(what+"1,000,000 visible", fresh[2], base, fresh[0], most),
	}
	if l.aged == 0 {
		return rows, nil
	}
	if err := traffic(ctx, queues, l.aged); err != nil {
		return rows, err
	}
	old, err := l.receiveEach(ctx, queues)
	if err != nil {
		return rows, err
	}
	aged := ", after " + l.aged.String() + " of traffic"
	return append(rows,
		dearer(what+base+aged, old[0], base+" before", fresh[0], most),
		dearer(what+"1,000,000 invisible in front"+aged, old[1], base+" before", fresh[0], most),
		dearer(what+"1,000,000 visible"+aged, old[2], base+" before", fresh[0], most)), nil
}

// crowds makes three queues: an empty one, one with 1,000,000 invisible
// messages and one with 1,000,000 visible ones.
func (l *lab) crowds(ctx context.Context) (queues []*mq.Queue, err error) {
	for _, f := range []struct{ name, vt string }{{"empty", ""}, {"invisible", delayed}, {"visible", visible}} {
		q, err := l.client.EnsureQueue(ctx, f.name, mq.QueueOptions{})
		if err == nil && f.vt != "" {
			err = l.fill(ctx, f.name, l.size(1_000_000), f.vt)
		}
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	return queues, nil
}

// receiveEach returns how many seconds receive and ack of one message take on
// each queue at the median, round by round.
func (l *lab) receiveEach(ctx context.Context, queues []*mq.Queue) ([][]float64, error) {
	var entrants []entrant
	for _, q := range queues {
		entrants = append(entrants, func() (float64, error) {
			d, err := timed(l.size(1000), func() (time.Duration, error) { return receiveAck(ctx, q) })
			return d.Seconds(), err
		})
	}
	return contest(l.rounds, entrants...)
}

// receiveAck sends a message, and times the receive of one and its ack.
func receiveAck(ctx context.Context, q *mq.Queue) (time.Duration, error) {
	if _, err := q.Send(ctx, &mq.Message{Body: body}); err != nil {
		return 0, err
	}
	return clock(func() error {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{})
		switch {
		case err != nil:
			return err
		case len(ds) != 1:
			return errors.New("a message is missing")
		}
		return ds[0].Ack(ctx)
	})
}

// traffic sends, receives and acks on each queue for a while, 500 messages a
// second, so that each holds as many messages afterwards as before.
func traffic(ctx context.Context, queues []*mq.Queue, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	errs := make(chan error, len(queues))
	for _, q := range queues {
		go func() { errs <- flow(ctx, q) }()
	}
	var err error
	for range queues {
		err = errors.Join(err, <-errs)
	}
	return err
}

func flow(ctx context.Context, q *mq.Queue) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	const n = 5
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := pass(context.WithoutCancel(ctx), q, n); err != nil {
			return err
		}
	}
}

// pass sends n messages, receives as many and acks them.
func pass(ctx context.Context, q *mq.Queue, n int) error {
	for range n {
		if _, err := q.Send(ctx, &mq.Message{Body: body}); err != nil {
			return err
		}
	}
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: n})
	if err != nil {
		return err
	}
	return ackAll(ctx, q, ds)
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
