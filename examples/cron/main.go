// Cron sends a report job every two seconds, from three instances that know nothing of each
// other. Each job is sent once, and consumed like all others.
//
//	go run ./examples/cron
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqcron"
)

// Report is what the queue carries.
type Report struct{ Kind string }

func main() {
	dsn := flag.String("dsn", "mem://cron", "the `provider` to use")
	n := flag.Int("n", 3, "how many reports to write")
	flag.Parse()
	if err := run(context.Background(), *dsn, *n, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(1)
	}
}

// run writes n reports, beside three instances that send the jobs.
func run(ctx context.Context, dsn string, n int, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "reports", mq.QueueOptions{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var instances sync.WaitGroup
	defer instances.Wait()
	defer stop()
	for i := range 3 {
		instances.Go(func() {
			if err := instance(ctx, dsn); err != nil {
				fmt.Fprintf(out, "instance %d: %v\n", i, err)
			}
		})
	}
	return mq.Of[Report](q).Consume(ctx, func(ctx context.Context, r Report) error {
		if n--; n >= 0 {
			fmt.Fprintln(out, "a report:", r.Kind)
		}
		if n <= 0 {
			stop()
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 1})
}

// instance is a process of the service. All of them run the same schedules.
func instance(ctx context.Context, dsn string) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	reports := mq.Of[Report](c.Queue("reports"))
	return mqcron.Run(ctx, c, mqcron.Config{},
		mqcron.Every("sales", "@every 2s", nil, reports, Report{"sales"}),
		mqcron.Every("archive", "0 3 1 * *", nil, reports, Report{"last month"}, mqcron.CatchUpAll),
	)
}
