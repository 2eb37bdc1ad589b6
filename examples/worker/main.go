// Worker is a worker that stops in order. Until a signal comes it runs four
// jobs at once, each for a limited time. At SIGINT or SIGTERM it takes no more
// jobs and finishes those that it has; what it cannot finish it gives back.
//
//	go run ./examples/worker           # sends 20 jobs and ends after them
//	go run ./examples/worker -jobs 0   # works until it is interrupted
//
// It exits with 1 if jobs had to be abandoned.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/rabbitstub"
)

// Job is what the queue carries.
type Job struct {
	ID   int
	Took time.Duration
}

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use: mem:// or rabbitstub://")
	jobs := flag.Int("jobs", 20, "how many jobs to send, and to do; 0: work until a signal")
	timeout := flag.Duration("timeout", 200*time.Millisecond, "how long a job may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, *dsn, *jobs, *timeout, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, jobs int, timeout time.Duration, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "jobs", mq.QueueOptions{})
	if err != nil {
		return err
	}
	if err := send(ctx, q, jobs); err != nil {
		return err
	}
	return work(ctx, q, jobs, timeout, out)
}

// send sends n jobs. The last one takes longer than a job may.
func send(ctx context.Context, q *mq.Queue, n int) error {
	var jobs []Job
	for id := 1; id <= n; id++ {
		jobs = append(jobs, Job{ID: id, Took: 20 * time.Millisecond})
	}
	if n > 0 {
		jobs[n-1].Took = time.Hour
	}
	_, err := mq.Of[Job](q).SendAll(ctx, jobs)
	return err
}

// work does jobs until ctx ends, or until it has done so many.
func work(ctx context.Context, q *mq.Queue, jobs int, timeout time.Duration, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int64
	handle := func(ctx context.Context, j Job) error {
		err := do(ctx, j)
		if done.Add(1) == int64(jobs) {
			stop()
		}
		return err
	}
	worker, err := mq.NewConsumer(q, mq.Of[Job](q).Handler(handle), mq.ConsumerConfig{
		Concurrency: 4,
		Timeout:     timeout,          // of one job: then its context ends
		Visibility:  30 * time.Second, // extended while a job runs: how soon those of a crashed worker come back
		SoftStop:    10 * time.Second, // after the signal, for the jobs that run
		HardStop:    2 * time.Second,  // after that, for those that see their contexts end
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "working")
	err = worker.Run(ctx)
	s := worker.Stats()
	fmt.Fprintf(out, "stopped: %d jobs done, %d will come again, %d are running\n", s.Acked, s.Retried, s.Running)
	return err
}

// do stands for work that heeds its context, as a request or a query does.
func do(ctx context.Context, j Job) error {
	select {
	case <-time.After(j.Took):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
