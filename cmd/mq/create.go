package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

func createCommand(a *app) *cobra.Command {
	var (
		o   mq.QueueOptions
		own pgmqOptions
	)
	cmd := &cobra.Command{
		Use:   "create QUEUE...",
		Short: "Create queues that are not there",
		Example: `  mq create orders
  mq create builds -group-by header -group-by repo.id`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				if err := own.add(cmd, c, &o); err != nil {
					return err
				}
				out := newPrinter(a, "QUEUE")
				for _, name := range args {
					q, err := c.EnsureQueue(cmd.Context(), name, o)
					if err != nil {
						out.fail(err)
						break
					}
					out.row(queueLine{Queue: q.Name()}, q.Name())
				}
				return out.flush()
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&o.AnyName, "any-name", false, "allow names that other providers may not take")
	own.flags(cmd)
	return cmd
}

// pgmqOptions are flags that only pgmq:// understands.
type pgmqOptions struct {
	groups    []string
	limit     int
	notify    time.Duration
	silent    bool
	unlogged  bool
	partition string
	retention string
}

// pgmqFlags are their names.
var pgmqFlags = []string{"group-by", "group-limit", "notify", "no-notify", "unlogged", "partition", "retention"}

func (p *pgmqOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&p.groups, "group-by", nil, "pgmq: make the indexes for receiving by `group`: header, or a path in the body as in repo.id")
	flags.IntVar(&p.limit, "group-limit", 1, "pgmq: make the indexes of -group-by for this -group-limit of the receivers; all limits above 1 use the same indexes")
	flags.DurationVar(&p.notify, "notify", 0, "pgmq: how often other programs' messages may wake receivers (250ms for a new queue)")
	flags.BoolVar(&p.silent, "no-notify", false, "pgmq: do not wake receivers for other programs' messages")
	flags.BoolVar(&p.unlogged, "unlogged", false, "pgmq: messages do not survive a crash of the server, and sends are faster")
	flags.StringVar(&p.partition, "partition", "", "pgmq: partition the queue by `messages or interval`, as in 10000 or '1 day' (needs pg_partman)")
	flags.StringVar(&p.retention, "retention", "", "pgmq: with -partition, how many `messages, or for how long`, to keep")
	cmd.MarkFlagsMutuallyExclusive("notify", "no-notify")
	cmd.MarkFlagsMutuallyExclusive("unlogged", "partition")
}

// add adds the options to o if there are any.
func (p *pgmqOptions) add(cmd *cobra.Command, c *mq.Client, o *mq.QueueOptions) error {
	own := pgmq.QueueOptions{NotifyInterval: p.notify, Unlogged: p.unlogged}
	for _, name := range pgmqFlags {
		if cmd.Flags().Changed(name) && c.Provider().Name() != own.DriverName() {
			return fmt.Errorf("%w: -%s is for pgmq://, not for %s", mq.ErrNotSupported, name, c.Provider().Name())
		}
	}
	switch {
	case p.notify < 0:
		return fmt.Errorf("%w: -notify must be positive (or give -no-notify)", mq.ErrInvalid)
	case p.limit < 1:
		return fmt.Errorf("%w: -group-limit %d is below 1", mq.ErrInvalid, p.limit)
	case p.limit > 1 && len(p.groups) == 0:
		return fmt.Errorf("%w: -group-limit needs -group-by", mq.ErrInvalid)
	case p.retention != "" && p.partition == "":
		return fmt.Errorf("%w: -retention needs -partition", mq.ErrInvalid)
	}
	for _, g := range p.groups {
		by := groupBy(g)
		by.Limit = p.limit
		own.GroupIndexes = append(own.GroupIndexes, *by)
	}
	if p.silent {
		own.NotifyInterval = pgmq.NoNotify
	}
	if p.partition != "" {
		own.Partitioned = &pgmq.Partitioning{Interval: p.partition, Retention: p.retention}
	}
	o.Drivers = []mq.DriverOptions{own}
	return nil
}
