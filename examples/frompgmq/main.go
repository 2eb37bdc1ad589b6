// Frompgmq is one program twice: on a thin client of PGMQ's SQL functions, in
// before.go, and here on mq.
//
//	go run ./examples/frompgmq
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

// Job is what the queue carries.
type Job struct{ ID int }

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "frompgmq:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "jobs", mq.QueueOptions{}) // pgmq.create
	if err != nil {
		return err
	}
	old := client{c, make(map[string]*mq.Delivery)}
	before := func(ctx context.Context, do func(Job) error) error { return workBefore(ctx, old, do) }
	after := func(ctx context.Context, do func(Job) error) error { return workAfter(ctx, q, do) }
	if err := try(ctx, "before", before, old, out); err != nil {
		return err
	}
	return try(ctx, "after", after, old, out)
}

// workAfter is workBefore: leases that last as long as the job, pauses that
// grow, dead letters with a reason, and ten jobs at a time.
func workAfter(ctx context.Context, q *mq.Queue, do func(Job) error) error {
	return mq.Of[Job](q).Consume(ctx, func(_ context.Context, j Job) error {
		return do(j)
	}, mq.ConsumerConfig{MaxAttempts: 5})
}

// try has a job sent by the old client and done by a worker. Both are on the
// same queue, so programs can change one after the other.
func try(ctx context.Context, name string, work func(context.Context, func(Job) error) error, c client, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if _, err := c.send(ctx, "jobs", json.RawMessage(`{"ID":7}`)); err != nil {
		return err
	}
	var job Job
	err := work(ctx, func(j Job) error {
		job = j
		stop()
		return nil
	})
	fmt.Fprintf(out, "%s: job %d done\n", name, job.ID)
	return err
}
