package main

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

// senders is how many send at the same time.
const senders = 64

// peers are all who send, each to a table of its own.
type peers struct {
	*lab
	queue  *mq.Queue
	byHand *hand
	river  *riverPeer
}

func (l *lab) peers(ctx context.Context) (p peers, err error) {
	p.lab = l
	if p.queue, err = l.client.EnsureQueue(ctx, "orders", mq.QueueOptions{}); err != nil {
		return p, err
	}
	if p.byHand, err = l.handQueue(ctx, "byhand"); err != nil {
		return p, err
	}
	p.river, err = openRiver(ctx, l)
	return p, err
}

// turns is how many short runs make a round of sends: the sides of a ratio
// should meet the same machine.
const turns = 4

// rate is an entrant whose n goroutines send for a while, starting with empty
// tables.
func (p peers) rate(ctx context.Context, n int, send func(context.Context) error) entrant {
	return func() (float64, error) {
		if err := p.clear(ctx, table("orders"), p.byHand.table, "river_job"); err != nil {
			return 0, err
		}
		return perSecond(ctx, n, p.span(2*time.Second/turns), send)
	}
}

func (p peers) send(ctx context.Context) error {
	_, err := p.queue.Send(ctx, &mq.Message{Body: body})
	return err
}

func singleSends(ctx context.Context, l *lab) ([]row, error) {
	p, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	c := &coalescer{store: p.byHand.sendAll, flights: flights}
	coalesced := func(ctx context.Context) error {
		_, err := c.send(ctx, string(body))
		return err
	}
	r, err := contest(turns*l.rounds,
		p.rate(ctx, senders, p.send),
		p.rate(ctx, senders, p.byHand.send),
		p.rate(ctx, senders, coalesced),
		p.rate(ctx, senders, p.river.send),
	)
	if err != nil {
		return nil, err
	}
	lone, err := contest(turns*l.rounds, p.rate(ctx, 1, p.send), p.rate(ctx, 1, p.byHand.send))
	if err != nil {
		return nil, err
	}
	const many, one = "64 senders, a message each", "1 sender, a message each"
	return []row{
		faster(many, r[0], "one-row INSERTs", r[1], 2.2),
		faster(many, r[0], "coalesced INSERTs", r[2], 0.8),
		faster(many, r[0], "River", r[3], 8),
		faster(one, lone[0], "one-row INSERTs", lone[1], 0.9),
	}, nil
}

// batchSize is how many messages a batch has.
const batchSize = 100

func batchSends(ctx context.Context, l *lab) ([]row, error) {
	p, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	var msgs []*mq.Message
	var bodies []string
	for range batchSize {
		msgs = append(msgs, &mq.Message{Body: body})
		bodies = append(bodies, string(body))
	}
	r, err := contest(turns*l.rounds,
		p.rate(ctx, 1, func(ctx context.Context) error {
			_, err := p.queue.SendAll(ctx, msgs)
			return err
		}),
		p.rate(ctx, 1, func(ctx context.Context) error {
			_, err := p.byHand.sendAll(ctx, bodies)
			return err
		}),
	)
	if err != nil {
		return nil, err
	}
	return []row{faster("1 sender, batches of 100, batches", r[0], "INSERT ... SELECT unnest", r[1], 0.9)}, nil
}
