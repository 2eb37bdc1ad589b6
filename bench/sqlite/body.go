package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// largeBody compares the lease of a message that has a large body with that of a
// small one. To extend a lease writes as much as to take it, and reads no body.
func largeBody(ctx context.Context, l *lab) ([]row, error) {
	small, err := l.single(ctx, "small.db", body)
	if err != nil {
		return nil, err
	}
	large, err := l.single(ctx, "large.db", bytes.Repeat([]byte("x"), 16<<20))
	if err != nil {
		return nil, err
	}
	n := l.size(50)
	r, err := contest(l.rounds, takes(ctx, n, small), takes(ctx, n, large), extends(ctx, n, small), extends(ctx, n, large), peeks(ctx, n, large))
	if err != nil {
		return nil, err
	}
	const most = 2
	return []row{
		dearer("receive of a message of 16 MiB", r[1], "of 512 bytes", r[0], most),
		dearer("extension of the lease of a message of 16 MiB", r[3], "of 512 bytes", r[2], most),
		within("Peek of a message of 16 MiB, without a lease", r[4], 0),
	}, nil
}

// single opens a file whose queue has one message.
func (l *lab) single(ctx context.Context, file string, body []byte) (*mq.Queue, error) {
	q, err := l.queue(ctx, file)
	if err != nil {
		return nil, err
	}
	_, err = q.Send(ctx, &mq.Message{Body: body})
	return q, err
}

// takes times the lease of the only message.
func takes(ctx context.Context, n int, q *mq.Queue) measure.Entrant {
	return timed(n, func() (float64, error) {
		d, took, err := only(ctx, q)
		if err != nil {
			return 0, err
		}
		return took, d.Nack(ctx, 0)
	})
}

// extends times the extension of its lease.
func extends(ctx context.Context, n int, q *mq.Queue) measure.Entrant {
	return timed(n, func() (float64, error) {
		d, _, err := only(ctx, q)
		if err != nil {
			return 0, err
		}
		took, err := clock(func() error { return d.Extend(ctx, time.Hour) })
		return took, errors.Join(err, d.Nack(ctx, 0))
	})
}

func only(ctx context.Context, q *mq.Queue) (*mq.Delivery, float64, error) {
	ds, took, err := received(func() ([]*mq.Delivery, error) { return q.Receive(ctx, mq.ReceiveOptions{}) })
	if err == nil && len(ds) != 1 {
		err = errors.New("the message is missing")
	}
	if err != nil {
		return nil, 0, err
	}
	return ds[0], took, nil
}

func peeks(ctx context.Context, n int, q *mq.Queue) measure.Entrant {
	return timed(n, func() (float64, error) {
		return clock(func() error {
			_, err := q.Peek(ctx, mq.BrowseOptions{})
			return err
		})
	})
}
