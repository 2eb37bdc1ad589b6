package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/portmq/mq"
)

// fillSize is how many messages a batch has that is not measured.
const fillSize = 1000

// filled makes a file and fills its queue, without a wait for the disk.
func (l *lab) filled(ctx context.Context, file string, fill func(context.Context, *mq.Queue) error) error {
	start := time.Now()
	loose := &lab{plan: l.plan}
	loose.synchronous = "normal"
	q, err := loose.queue(ctx, file)
	if err == nil {
		err = fill(ctx, q)
	}
	err = errors.Join(err, loose.close())
	fmt.Fprintf(os.Stderr, "%s took %v to fill\n", file, time.Since(start).Round(time.Second))
	return err
}

// send sends n messages, which message makes of their numbers; nil makes all the
// same.
func send(ctx context.Context, q *mq.Queue, n int, message func(i int) *mq.Message) error {
	if message == nil {
		message = func(int) *mq.Message { return &mq.Message{Body: body} }
	}
	for sent := 0; sent < n; {
		msgs := make([]*mq.Message, min(fillSize, n-sent))
		for i := range msgs {
			msgs[i] = message(sent + i)
		}
		if _, err := q.SendAll(ctx, msgs); err != nil {
			return err
		}
		sent += len(msgs)
	}
	return nil
}

// sendDelayed sends n messages that are delayed for a day.
func sendDelayed(ctx context.Context, q *mq.Queue, n int) error {
	return send(ctx, q, n, func(int) *mq.Message { return &mq.Message{Body: body, Delay: 24 * time.Hour} })
}

// sendLeased sends n messages and leases each for up to an hour.
func sendLeased(ctx context.Context, q *mq.Queue, n int) error {
	if err := send(ctx, q, n, nil); err != nil {
		return err
	}
	for leased := 0; leased < n; {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: fillSize, Visibility: leaseOf(leased, n)})
		if err != nil {
			return err
		}
		if len(ds) == 0 {
			return fmt.Errorf("leased %d messages of %d", leased, n)
		}
		leased += len(ds)
	}
	return nil
}

// leaseOf spreads the ends of n leases over an hour that begins in an hour.
func leaseOf(i, n int) time.Duration {
	return time.Hour + time.Duration(float64(time.Hour)*float64(i)/float64(n))
}

// copyFile copies a file that nobody has open.
func (l *lab) copyFile(from, to string) (err error) {
	in, err := os.Open(l.path(from))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	out, err := os.Create(l.path(to))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
