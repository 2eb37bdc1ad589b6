// Fromsqs moves a loop that receives and deletes, as it is written for SQS, to
// mq, in two steps. First the loop stays as it is, on the four calls in sqs.go.
// Then a worker takes its place.
//
//	go run ./examples/fromsqs
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync/atomic"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fromsqs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "thumbnails", mq.QueueOptions{})
	if err != nil {
		return err
	}
	old := func(ctx context.Context, q *mq.Queue, do func(string) error) error { return before(ctx, sqs{q}, do) }
	if err := try(ctx, q, "before", old, out); err != nil {
		return err
	}
	return try(ctx, q, "after", after, out)
}

// before is the loop. Batches of ten, each message deleted by itself; what
// failed comes back when its timeout ends, until the queue's redrive policy
// has enough of it. A message that waits behind nine slow ones may time out
// before its turn.
func before(ctx context.Context, queue sqs, do func(body string) error) error {
	for ctx.Err() == nil {
		messages, err := queue.ReceiveMessage(ctx, 10, 30, 1)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, m := range messages {
			if err := do(m.Body); err != nil {
				log.Printf("message %s: %v", m.MessageID, err)
				continue
			}
			// What was done must be deleted, also when we are told to stop.
			if err := queue.DeleteMessage(context.WithoutCancel(ctx), m.ReceiptHandle); err != nil {
				log.Printf("message %s: %v", m.MessageID, err)
			}
		}
	}
	return nil
}

// after is the worker. It fetches, extends and deletes in batches by itself,
// and MaxAttempts is the redrive policy.
func after(ctx context.Context, q *mq.Queue, do func(body string) error) error {
	return q.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
		return do(string(d.Body))
	}, mq.ConsumerConfig{Concurrency: 10, MaxAttempts: 5})
}

// try sends names of pictures the old way and has them made smaller.
func try(ctx context.Context, q *mq.Queue, name string, work func(context.Context, *mq.Queue, func(string) error) error, out io.Writer) error {
	const n = 25
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for i := range n {
		if _, err := (sqs{q}).SendMessage(ctx, fmt.Sprintf("%d.png", i), "", 0); err != nil {
			return err
		}
	}
	var done atomic.Int64
	err := work(ctx, q, func(string) error {
		if done.Add(1) == n {
			stop()
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, err := q.Stats(context.WithoutCancel(ctx))
	fmt.Fprintf(out, "%s: %d thumbnails, %d left\n", name, done.Load(), s.Total)
	return err
}
