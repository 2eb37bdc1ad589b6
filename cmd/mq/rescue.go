package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// rescuing are the flags of mq rescue.
type rescuing struct {
	heldBy    string
	olderThan duration
	delay     time.Duration
	yes       bool
}

func rescueCommand(a *app) *cobra.Command {
	var r rescuing
	cmd := &cobra.Command{
		Use:   "rescue QUEUE [ID... | -]",
		Short: "Take messages from their holders, and give them back to the queue",
		Long: `Take messages from their holders, and give them back to the queue: the messages
with the given ids, or those that consumers have reported holding (mq describe
shows them), selected by consumer, by how long, or both. What a consumer has begun
is not undone: make sure that its work may be done twice.

` + idsHelp,
		Example: `  mq rescue orders 7 8
  mq rescue orders -held-by worker-7f9 -older-than 10m
  mq rescue orders -older-than 1h -yes`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			reported := r.heldBy != "" || r.olderThan > 0
			switch {
			case len(args) > 1 && reported:
				return usagef("ids go with neither -held-by nor -older-than")
			case len(args) == 1 && !reported:
				return usagef("say which: ids, -held-by or -older-than")
			}
			return r.run(cmd.Context(), a, args[0], args[1:])
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.StringVar(&r.heldBy, "held-by", "", "messages held by the consumers of this `name`, or of this host")
	choosing(cmd, "held-by")
	flags.Var(&r.olderThan, "older-than", "only messages held for at least that long, as in 10m")
	flags.DurationVar(&r.delay, "delay", 0, "how long until they may be received again")
	yesFlag(cmd, &r.yes)
	return cmd
}

func (r rescuing) run(ctx context.Context, a *app, queue string, args []string) error {
	s := mq.Settlement{Op: mq.OpNack, Delay: r.delay}
	if len(args) > 0 {
		return a.overrideArgs(ctx, "rescued", queue, args, s)
	}
	return a.with(func(c *mq.Client) error {
		q := c.Queue(queue)
		ids, err := r.held(ctx, a, q)
		if err == nil && len(ids) > 0 {
			err = a.confirm(ctx, r.yes, "take back %s of %s", plural(int64(len(ids)), "message"), queue)
		}
		if err != nil {
			return err
		}
		return a.override(ctx, q, "rescued", ids, s)
	})
}

// held returns the ids of messages that consumers have reported to hold, and that are
// still leased. Whether by the same consumer is not known: a report may be a minute old.
func (r rescuing) held(ctx context.Context, a *app, q *mq.Queue) (ids []string, err error) {
	reports, err := q.Client().Consumers(ctx, q.Name())
	if err != nil {
		return nil, lacks(q.Client(), err, "does not store who holds which message (give ids)")
	}
	for _, report := range reports {
		if !r.means(report.Name) {
			continue
		}
		if report.Held > len(report.Longest) {
			a.note("%s holds %s, and names only the %d held longest", report.Name, plural(int64(report.Held), "message"), len(report.Longest))
		}
		for _, h := range report.Longest {
			if holdsFor(report, h) >= r.olderThan.duration() {
				ids = append(ids, h.ID)
			}
		}
	}
	return stillLeased(ctx, q, ids)
}

// means reports whether -held-by means a consumer. Names are host/process unless the
// program sets others.
func (r rescuing) means(name string) bool {
	return r.heldBy == "" || name == r.heldBy || strings.HasPrefix(name, r.heldBy+"/")
}

// stillLeased returns the ids of those messages that are leased.
func stillLeased(ctx context.Context, q *mq.Queue, ids []string) (leased []string, err error) {
	for part := range slices.Chunk(ids, q.Client().Caps().BatchLimit()) {
		rs, err := q.Peek(ctx, mq.BrowseOptions{IDs: part, CutBody: 1})
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			if r.State == mq.StateLeased {
				leased = append(leased, r.ID)
			}
		}
	}
	return leased, nil
}
