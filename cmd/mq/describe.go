package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/rabbitmq"
)

func describeCommand(a *app) *cobra.Command {
	var (
		sampled time.Duration
		scan    int
	)
	cmd := &cobra.Command{
		Use:   "describe QUEUE...",
		Short: "Show everything about a queue: figures, rates, consumers, dead letters, advice",
		Long: `Show everything about a queue: its figures and rates, who has paused it, its
consumers and the messages that they have held longest, the reasons of its newest
dead letters, the topics that it is bound to, what mq doctor finds, and advice.

Whatever the provider does not store is left out. The command changes nothing.`,
		Example: `  mq describe orders
  mq describe orders -for 10s
  mq describe orders -for 0s -o json | jq '.consumers[]?.name'`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case sampled < 0:
				return usagef("-for %v is negative", sampled)
			case scan < 1:
				return usagef("-scan %d is below 1", scan)
			}
			return a.with(func(c *mq.Client) error {
				var errs []error
				for _, name := range args {
					d, err := a.describe(cmd.Context(), c.Queue(name), sampled, scan)
					if d != nil {
						err = errors.Join(a.showDescription(d), err)
					}
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		},
		ValidArgsFunction: a.completeQueues,
	}
	cmd.Flags().DurationVar(&sampled, "for", 2*time.Second, "how long to measure the rates, 0s for not at all")
	scanFlag(cmd, &scan)
	return cmd
}

// description is what is known of a queue.
type description struct {
	queue, provider string
	stats           mq.Stats
	rates           rates
	sampled         time.Duration // how long the rates were measured
	paused          pauses
	reporting       bool // the provider keeps reports
	consumers       []mq.ConsumerReport
	held            []holding // the longest first
	reasons         []mq.ReasonCount
	looked          int64 // at how many dead letters; -1 if they cannot be counted by reason
	bindings        []string
	findings        []finding
}

// holding is a message that a consumer holds.
type holding struct {
	id, by string
	since  time.Duration
}

// describe returns nil if the queue cannot be read at all. Other things that cannot be
// read are in the error.
func (a *app) describe(ctx context.Context, q *mq.Queue, sampled time.Duration, scan int) (*description, error) {
	begin := time.Now()
	before, err := q.Stats(ctx)
	if err != nil {
		return nil, err
	}
	d := &description{queue: q.Name(), provider: q.Client().Provider().Name(), stats: before, looked: -1}
	err = errors.Join(d.readOperation(ctx, q.Client()), d.readReasons(ctx, q, scan), d.readBindings(ctx, q), d.examine(ctx, a, q))
	if sampled == 0 {
		return d, err
	}
	if !waitFor(ctx, sampled-time.Since(begin)) {
		return d, errors.Join(context.Cause(ctx), err)
	}
	after, failed := q.Stats(ctx)
	if failed == nil {
		d.stats, d.rates, d.sampled = after, ratesOf(before, after), after.ScrapedAt.Sub(before.ScrapedAt).Round(100*time.Millisecond)
	}
	return d, errors.Join(err, failed)
}

// supported returns err unless it says that the provider lacks something.
func supported(err error) error {
	if errors.Is(err, mq.ErrNotSupported) {
		return nil
	}
	return err
}

// readOperation reads who works on the queue, and who has paused it.
func (d *description) readOperation(ctx context.Context, c *mq.Client) (err error) {
	paused, failed := readPauses(ctx, c)
	d.paused = paused
	d.consumers, err = c.Consumers(ctx, d.queue)
	d.reporting = err == nil
	for _, r := range d.consumers {
		for _, h := range r.Longest {
			d.held = append(d.held, holding{h.ID, r.Name, holdsFor(r, h)})
		}
	}
	slices.SortStableFunc(d.held, func(a, b holding) int { return cmp.Compare(b.since, a.since) })
	return errors.Join(failed, supported(err))
}

func (d *description) readReasons(ctx context.Context, q *mq.Queue, scan int) error {
	counts, looked, err := q.Reasons(ctx, scan)
	if err == nil {
		d.reasons, d.looked = counts, looked
	}
	return supported(err)
}

func (d *description) readBindings(ctx context.Context, q *mq.Queue) error {
	all, err := bindings(ctx, q.Client(), []string{q.Name()})
	for _, b := range all {
		d.bindings = append(d.bindings, b.Pattern)
	}
	return supported(err)
}

// examine asks the doctor, except on RabbitMQ, where it would publish and declare.
func (d *description) examine(ctx context.Context, a *app, q *mq.Queue) error {
	if _, ok := q.Client().Provider().(*rabbitmq.Provider); ok {
		return nil
	}
	doc := &doctor{app: a, client: q.Client()}
	err := doc.examine(ctx, []string{q.Name()})
	for _, f := range doc.found {
		if f.Level != "ok" {
			d.findings = append(d.findings, f)
		}
	}
	return err
}
