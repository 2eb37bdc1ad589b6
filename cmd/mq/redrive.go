package main

import (
	"context"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// redriving are the flags of mq archive redrive.
type redriving struct {
	n      int64
	all    bool
	reason string
}

func archiveRedriveCommand(a *app) *cobra.Command {
	var r redriving
	cmd := &cobra.Command{
		Use:   "redrive QUEUE [ID...]",
		Short: "Bring archived messages back to the queue, as new messages",
		Long: `Bring archived messages back to the queue, as new messages: those with the given
ids, those whose reason contains a text, or the oldest ones. Messages that workers
reject while it runs stay in the archive.`,
		Example: `  mq archive redrive orders 17 18
  mq archive redrive orders -n 100
  mq archive redrive orders -all -reason 'card declined'`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1 && (r.all || r.reason != "" || cmd.Flags().Changed("limit")):
				return usagef("ids go with none of -n, -all and -reason")
			case len(args) == 1 && !r.all && !cmd.Flags().Changed("limit"):
				return usagef("say how much: ids, -n or -all")
			case r.all && cmd.Flags().Changed("limit"):
				return usagef("-all and -n do not go together")
			case !r.all && r.n < 1:
				return usagef("-n %d is below 1", r.n)
			}
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				n, err := r.run(cmd.Context(), q, args[1:])
				if err != nil {
					return fmt.Errorf("%w (redriven %s)", err, plural(n, "message"))
				}
				if n == 0 && len(args) > 1 {
					return noneInArchive(q.Name())
				}
				return a.done(doneLine{Done: "redriven", Count: n, Queue: q.Name()})
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.Int64VarP(&r.n, "limit", "n", 1, "how many at most")
	flags.BoolVar(&r.all, "all", false, "all of them")
	flags.StringVar(&r.reason, "reason", "", "only messages whose reason contains this `text`")
	choosing(cmd, "reason")
	return cmd
}

// run redrives what is in the archive when it begins. What workers reject
// meanwhile stays there, so that it ends, and moves each message once.
func (r redriving) run(ctx context.Context, q *mq.Queue, ids []string) (done int64, err error) {
	switch {
	case len(ids) > 0:
		return q.Redrive(ctx, mq.RedriveOptions{IDs: ids})
	case r.reason != "":
		return r.byReason(ctx, q)
	case r.all:
		return q.Redrive(ctx, mq.RedriveOptions{Limit: math.MaxInt32})
	}
	// Several calls would find what has been rejected since the first.
	return q.Redrive(ctx, mq.RedriveOptions{Limit: int(min(r.n, math.MaxInt32))})
}

// byReason looks for messages, and redrives them by their ids. The time of the
// archive says which have been there since before the first of them.
func (r redriving) byReason(ctx context.Context, q *mq.Queue) (done int64, err error) {
	s, err := q.Stats(ctx)
	if err != nil {
		return 0, err
	}
	limit := r.n
	if r.all {
		limit = math.MaxInt64
	}
	return eachArchived(ctx, q, s.ScrapedAt, r.reason, limit, func(ctx context.Context, ids []string) (int64, error) {
		return q.Redrive(ctx, mq.RedriveOptions{IDs: ids})
	})
}
