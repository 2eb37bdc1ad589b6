package main

import (
	"context"
	"runtime/pprof"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// senders is how many send at the same time.
const senders = 64

// turns is how many short runs make a round of sends: the sides of a ratio
// should meet the same machine.
const turns = 4

// side is one of those who are compared, each on a file of its own.
type side struct {
	name        string // in profiles
	send, clear func(context.Context) error
}

// rate is an entrant whose n goroutines send for a while, starting with an
// empty table.
func (l *lab) rate(ctx context.Context, n int, s side) measure.Entrant {
	return func() (x float64, err error) {
		if err := s.clear(ctx); err != nil {
			return 0, err
		}
		labelled(ctx, s.name, func(ctx context.Context) {
			x, err = perSecond(ctx, n, l.span(2*time.Second/turns), s.send)
		})
		return x, err
	}
}

// labelled runs f with a label for CPU profiles.
func labelled(ctx context.Context, side string, f func(context.Context)) {
	pprof.Do(ctx, pprof.Labels("side", side), f)
}

// sides are who sends.
func (l *lab) sides(ctx context.Context) (ours, byHand, byGoqite side, err error) {
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return ours, byHand, byGoqite, err
	}
	h, err := l.hand(ctx)
	if err != nil {
		return ours, byHand, byGoqite, err
	}
	g, err := l.goqite(ctx)
	ours = side{"mq", func(ctx context.Context) error {
		_, err := q.Send(ctx, &mq.Message{Body: body})
		return err
	}, func(ctx context.Context) error { return purge(ctx, q) }}
	return ours, side{"hand", h.send, h.clear}, side{"goqite", g.send, g.clear}, err
}

func purge(ctx context.Context, q *mq.Queue) error {
	_, err := q.Purge(ctx)
	return err
}

func loneSender(ctx context.Context, l *lab) ([]row, error) {
	ours, byHand, byGoqite, err := l.sides(ctx)
	if err != nil {
		return nil, err
	}
	r, err := contest(turns*l.rounds, l.rate(ctx, 1, ours), l.rate(ctx, 1, byHand), l.rate(ctx, 1, byGoqite))
	if err != nil {
		return nil, err
	}
	const what = "1 sender, a message each"
	return []row{
		faster(what, r[0], "one-row INSERTs", r[1], 0.95),
		faster(what, r[0], "goqite", r[2], 0),
	}, nil
}

func manySenders(ctx context.Context, l *lab) ([]row, error) {
	ours, byHand, byGoqite, err := l.sides(ctx)
	if err != nil {
		return nil, err
	}
	r, err := contest(turns*l.rounds, l.rate(ctx, senders, ours), l.rate(ctx, senders, byHand), l.rate(ctx, senders, byGoqite))
	if err != nil {
		return nil, err
	}
	const what = "64 senders, a message each"
	return []row{
		faster(what, r[0], "one-row INSERTs", r[1], 12),
		faster(what, r[0], "goqite", r[2], 12),
	}, nil
}

func batches(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return nil, err
	}
	h, err := l.hand(ctx)
	if err != nil {
		return nil, err
	}
	var msgs []*mq.Message
	for range batchSize {
		msgs = append(msgs, &mq.Message{Body: body})
	}
	ours := side{"mq", func(ctx context.Context) error {
		_, err := q.SendAll(ctx, msgs)
		return err
	}, func(ctx context.Context) error { return purge(ctx, q) }}
	r, err := contest(turns*l.rounds,
		l.rate(ctx, 1, ours),
		l.rate(ctx, 1, side{"hand", h.sendEach, h.clear}),
		l.rate(ctx, 1, side{"hand", h.sendAll, h.clear}),
	)
	if err != nil {
		return nil, err
	}
	const what = "1 sender, batches of 100, batches"
	return []row{
		faster(what, r[0], "transactions of one-row INSERTs", r[1], 0.95),
		faster(what, r[0], "INSERTs of 100 rows", r[2], 0.95),
	}, nil
}
