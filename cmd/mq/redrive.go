package main

import (
	"context"
	"fmt"
	"strings"

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
ids, or those whose reason has a text in it, or simply the oldest ones.`,
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
				return a.done("redriven", n, q.Name())
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.Int64VarP(&r.n, "limit", "n", 1, "how many at most")
	flags.BoolVar(&r.all, "all", false, "all of them")
	flags.StringVar(&r.reason, "reason", "", "only those whose reason has this `text` in it")
	return cmd
}

// run redrives batch by batch, so that no transaction is long.
func (r redriving) run(ctx context.Context, q *mq.Queue, ids []string) (done int64, err error) {
	limit := int64(q.Client().Caps().BatchLimit())
	switch {
	case len(ids) > 0:
		return q.Redrive(ctx, mq.RedriveOptions{IDs: ids})
	case r.reason != "":
		return r.byReason(ctx, q, int(limit))
	}
	for r.all || done < r.n {
		o := mq.RedriveOptions{Limit: int(limit)}
		if !r.all {
			o.Limit = int(min(limit, r.n-done))
		}
		n, err := q.Redrive(ctx, o)
		done += n
		if err != nil || n < int64(o.Limit) {
			return done, err
		}
	}
	return done, nil
}

// byReason looks for messages, and redrives them by their ids.
func (r redriving) byReason(ctx context.Context, q *mq.Queue, limit int) (done int64, err error) {
	var ids []string
	flush := func() error {
		n, err := q.Redrive(ctx, mq.RedriveOptions{IDs: ids})
		done += n
		ids = nil
		return err
	}
	for rec, err := range browse(ctx, q, true, "") {
		if err != nil {
			return done, err
		}
		if !r.all && done+int64(len(ids)) >= r.n {
			break
		}
		if !strings.Contains(rec.Reason(), r.reason) {
			continue
		}
		if ids = append(ids, rec.ID); len(ids) == limit {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	if len(ids) > 0 {
		err = flush()
	}
	return done, err
}
