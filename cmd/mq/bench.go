package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// benching are the flags of mq bench.
type benching struct {
	senders, consumers int
	size, batch        int
	rate               float64
	duration           time.Duration
	queue              string
}

func benchCommand(a *app) *cobra.Command {
	var b benching
	cmd := &cobra.Command{
		Use:   "bench [DSN]",
		Short: "Measure how fast a provider is",
		Long: `Measure how fast a provider is, in a queue that is made for it and dropped.

There are four measurements of -duration each:

  send         how fast senders fill a queue; the latency is that of a call
  receive+ack  how fast consumers drain it; the latency is that of both calls
  end-to-end   senders and consumers at once, as fast as they can with at most a
               thousand messages or so under way; the latency is from the send to
               the consumer
  load         at a constant rate, which defaults to half of that; the latency
               is from the moment at which a message was due to be sent, so that
               a stall counts for every message that it held up

The first one ends early when it has sent 200,000 messages or 256 MiB. Times of
a call of several messages count for each of them.`,
		Example: `  mq bench mem://
  mq bench pgmq://app@localhost/shop -senders 8 -consumers 8 -batch 50
  mq bench rabbitmq://localhost -rate 1000 -duration 30s -o json`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.argDSN(args); err != nil {
				return err
			}
			return a.with(func(c *mq.Client) error { return a.bench(cmd.Context(), c, b) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.IntVar(&b.senders, "senders", 4, "how many send at once")
	flags.IntVar(&b.consumers, "consumers", 4, "how many receive at once")
	flags.IntVar(&b.size, "size", 128, "length of a body in `bytes`, which is JSON")
	flags.IntVar(&b.batch, "batch", 1, "how many messages are sent or received in a call")
	flags.Float64Var(&b.rate, "rate", 0, "messages `per second` of the last measurement (default half of end-to-end)")
	flags.DurationVar(&b.duration, "duration", 5*time.Second, "how long each measurement takes")
	flags.StringVar(&b.queue, "queue", "", "name of the queue, which must not exist (default mq_bench_ and letters)")
	return cmd
}

func (b benching) check(c *mq.Client) error {
	caps := c.Caps()
	switch {
	case b.senders < 1 || b.consumers < 1:
		return usagef("-senders and -consumers must be 1 or more")
	case b.size < minBenchBody:
		return usagef("-size %d is below %d", b.size, minBenchBody)
	case caps.MaxBody > 0 && b.size > caps.MaxBody:
		return usagef("-size %d is above the provider's limit of %d", b.size, caps.MaxBody)
	case b.batch < 1 || b.batch > caps.BatchLimit():
		return usagef("-batch %d is not between 1 and the provider's limit of %d", b.batch, caps.BatchLimit())
	case b.rate != 0 && !(b.rate >= 0.001 && b.rate <= 1e9):
		return usagef("-rate %v is not between 0.001 and a billion", b.rate)
	case b.duration <= 0:
		return usagef("-duration %v is not positive", b.duration)
	}
	return nil
}

// bench makes the queue, measures, drops the queue and reports.
func (a *app) bench(ctx context.Context, c *mq.Client, b benching) (err error) {
	if err := b.check(c); err != nil {
		return err
	}
	if b.queue == "" {
		b.queue = "mq_bench_" + strings.ToLower(rand.Text()[:8])
	}
	if err := requireMissing(ctx, c, b.queue); err != nil {
		return err
	}
	q, err := c.EnsureQueue(ctx, b.queue, mq.QueueOptions{})
	if err == nil || ctx.Err() != nil { // then it may have been made
		defer func() { err = errors.Join(err, dropBench(ctx, c, b.queue)) }()
	}
	if err != nil {
		return err
	}
	r := &bencher{benching: b, app: a, queue: q, begin: time.Now()}
	runErr := r.run(ctx)
	if err := r.report(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w (the figures are of what was measured so far)", context.Cause(ctx))
	}
	return runErr
}

// requireMissing refuses a queue that exists: it would be dropped.
func requireMissing(ctx context.Context, c *mq.Client, name string) error {
	v := c.Verify(ctx, name)
	switch {
	case len(v.Failed) > 0:
		return v.Err()
	case len(v.Missing) == 0:
		return usagef("queue %q exists; mq bench makes one of its own and drops it", name)
	}
	return nil
}

func dropBench(ctx context.Context, c *mq.Client, name string) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	err := c.DropQueue(ctx, name)
	if errors.Is(err, mq.ErrNotSupported) || errors.Is(err, mq.ErrQueueNotFound) {
		return nil
	}
	return err
}
