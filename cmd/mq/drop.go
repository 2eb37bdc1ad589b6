package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func dropCommand(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop QUEUE...",
		Short: "Remove queues, their messages and their archives",
		Example: `  mq drop orders
  mq drop -yes orders invoices`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				if err := mustExist(cmd.Context(), c, args...); err != nil {
					return err
				}
				if err := a.confirm(cmd.Context(), yes, "drop %s with all messages and archives", strings.Join(args, ", ")); err != nil {
					return err
				}
				out := newPrinter(a, "DROPPED")
				for _, name := range args {
					if err := c.DropQueue(cmd.Context(), name); err != nil {
						out.fail(err)
						break
					}
					out.row(queueLine{Queue: name}, name)
				}
				return out.flush()
			})
		},
		ValidArgsFunction: a.completeQueues,
	}
	yesFlag(cmd, &yes)
	return cmd
}

// mustExist returns an error if one of the queues is not there.
func mustExist(ctx context.Context, c *mq.Client, names ...string) error {
	v := c.Verify(ctx, names...)
	if len(v.Missing) > 0 {
		return fmt.Errorf("%w: %s", mq.ErrQueueNotFound, strings.Join(v.Missing, ", "))
	}
	for _, name := range names {
		if err := v.Failed[name]; err != nil {
			return err
		}
	}
	return nil
}
