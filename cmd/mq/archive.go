package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// archiveCommand archives by receipt, and has the commands on archives below
// it. A receipt has a colon in it, which no command has.
func archiveCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "archive {RECEIPT... | - | COMMAND}",
		Short: "Set messages aside in the archive, and work on archives",
		Long: `Set leased messages aside in their queue's archive, or, with a command, look at
archives, where dead letters are, and bring messages back.

` + receiptsHelp,
		Example: `  mq archive -reason 'bad address' orders:p1:7:1:1763800000000000:orders
  mq archive ls orders
  mq archive redrive orders -n 100`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("give a receipt, or one of ls, show, redrive and purge")
			}
			return checkReceipts(args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.settle(cmd.Context(), "archived", args, mq.Settlement{Op: mq.OpArchive, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for who looks into the archive")
	cmd.AddCommand(archiveListCommand(a), archiveShowCommand(a), archiveRedriveCommand(a), archivePurgeCommand(a))
	return cmd
}

// checkReceipts tells a mistyped command from a receipt.
func checkReceipts(args []string) error {
	if len(args) == 1 && args[0] == "-" {
		return nil
	}
	for _, arg := range args {
		if _, _, err := parseReceipt(arg); err != nil {
			return usagef("%q is neither a receipt (QUEUE:...) nor one of ls, show, redrive and purge", arg)
		}
	}
	return nil
}

func archiveShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show QUEUE ID...",
		Short: "Show archived messages in full",
		Example: `  mq archive show orders 17
  mq archive show orders 17 -o json | jq .body`,
		Args: takes(2, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				q, ids := c.Queue(args[0]), make(map[string]bool)
				for _, id := range args[1:] {
					ids[id] = true
				}
				for r, err := range browse(cmd.Context(), q, true, "") {
					if err != nil {
						return err
					}
					if !ids[r.ID] {
						continue
					}
					if err := a.showRecord(q.Name(), r); err != nil {
						return err
					}
					if delete(ids, r.ID); len(ids) == 0 {
						return nil
					}
				}
				for id := range ids {
					return fmt.Errorf("the archive of %s has no message %s (mq archive ls shows what there is)", q.Name(), id)
				}
				return nil
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	return cmd
}

func archivePurgeCommand(a *app) *cobra.Command {
	var (
		yes   bool
		older = duration(0)
	)
	cmd := &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Delete archived messages",
		Example: `  mq archive purge orders
  mq archive purge -yes -older-than 30d orders`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				if err := mustExist(cmd.Context(), c, args[0]); err != nil {
					return err
				}
				what := "all archived messages"
				if older > 0 {
					what = "what has been archived for " + older.String() + " or longer"
				}
				if err := a.confirm(cmd.Context(), yes, "delete %s of %s", what, args[0]); err != nil {
					return err
				}
				q, begin := c.Queue(args[0]), time.Now()
				return a.purgeAll(cmd.Context(), q, func(ctx context.Context) (int64, error) {
					return q.PurgeArchive(ctx, olderThan(older.duration(), begin))
				})
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	yesFlag(cmd, &yes)
	cmd.Flags().Var(&older, "older-than", "only what was archived that long ago, as in 12h or 30d")
	return cmd
}
