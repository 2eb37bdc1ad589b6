package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

// keyedSends compares sends with a key of their own with plain ones.
func keyedSends(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return nil, err
	}
	var last atomic.Int64
	sends := func(name string, change func(*mq.Message)) side {
		return side{name, func(ctx context.Context) error {
			m := &mq.Message{Body: body}
			change(m)
			_, err := q.Send(ctx, m)
			return err
		}, func(ctx context.Context) error { return purge(ctx, q) }}
	}
	keyed := func(d time.Duration) func(*mq.Message) {
		return func(m *mq.Message) { m.DedupKey, m.DedupFor = strconv.FormatInt(last.Add(1), 10), d }
	}
	r, err := contest(turns*l.rounds,
		l.rate(ctx, senders, sends("keyed", keyed(time.Second))),
		l.rate(ctx, senders, sends("keyed", keyed(mq.WhileQueued))),
		l.rate(ctx, senders, sends("mq", func(*mq.Message) {})),
	)
	if err != nil {
		return nil, err
	}
	return []row{
		faster("64 senders, a message with a key each, held for a second", r[0], "without a key", r[2], 0.6),
		faster("the same, held while queued", r[1], "without a key", r[2], 0.6),
	}, nil
}
