package main

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// archivePurging are the flags of mq archive purge.
type archivePurging struct {
	older  duration
	reason string
}

func archivePurgeCommand(a *app) *cobra.Command {
	var (
		p   archivePurging
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Delete archived messages",
		Long: `Delete the messages that are in the archive when it begins: all of them, or those
that match the flags. mq archive rm deletes messages by their ids.`,
		Example: `  mq archive purge orders
  mq archive purge -yes -older-than 30d orders
  mq archive purge orders -reason 'card declined'`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				if err := mustExist(cmd.Context(), c, args[0]); err != nil {
					return err
				}
				if err := a.confirm(cmd.Context(), yes, "delete %s of %s", p.what(), args[0]); err != nil {
					return err
				}
				return p.run(cmd.Context(), a, c.Queue(args[0]))
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	yesFlag(cmd, &yes)
	cmd.Flags().Var(&p.older, "older-than", "only messages archived at least that long ago, as in 12h or 30d")
	cmd.Flags().StringVar(&p.reason, "reason", "", "only messages whose reason contains this `text`")
	choosing(cmd, "reason")
	return cmd
}

// what says what is deleted.
func (p archivePurging) what() string {
	what := "all archived messages"
	if p.reason != "" {
		what = "the archived messages with the reason " + p.reason
	}
	if p.older > 0 {
		what += ", archived for " + p.older.String() + " or longer,"
	}
	return what
}

func (p archivePurging) run(ctx context.Context, a *app, q *mq.Queue) error {
	begin := time.Now()
	if p.reason == "" {
		return a.purgeAll(ctx, q, func(ctx context.Context) (int64, error) {
			return q.PurgeArchive(ctx, olderThan(p.older.duration(), begin))
		})
	}
	s, err := q.Stats(ctx)
	if err != nil {
		return err
	}
	old := s.ScrapedAt.Add(-p.older.duration())
	return a.purgeAll(ctx, q, func(ctx context.Context) (int64, error) {
		n, err := eachArchived(ctx, q, old, p.reason, math.MaxInt64, q.RemoveArchived)
		return n, lacks(q.Client(), err, "does not act on messages by their ids")
	})
}

// eachArchived calls act with the ids of messages, several at a time, that were archived
// by a time and have a text in their reason. It ends when act has found limit of them.
func eachArchived(ctx context.Context, q *mq.Queue, by time.Time, reason string, limit int64, act func(context.Context, []string) (int64, error)) (done int64, err error) {
	var ids []string
	flush := func() error {
		if len(ids) == 0 {
			return nil
		}
		n, err := act(ctx, ids)
		done, ids = done+n, nil
		return err
	}
	for r, err := range (browsing{archive: true, cutBody: 1}).records(ctx, q) {
		switch {
		case err != nil:
			return done, err
		case r.ArchivedAt.After(by) || !strings.Contains(r.Reason(), reason):
			continue
		}
		ids = append(ids, r.ID)
		if len(ids) < q.Client().Caps().BatchLimit() && done+int64(len(ids)) < limit {
			continue
		}
		if err := flush(); err != nil || done >= limit {
			return done, err
		}
	}
	return done, flush()
}
