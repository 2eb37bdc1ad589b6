package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func tailCommand(a *app) *cobra.Command {
	var (
		n     int
		every time.Duration
	)
	cmd := &cobra.Command{
		Use:   "tail QUEUE",
		Short: "Show the newest messages and new ones as they arrive, without leasing them",
		Long: `Show the newest messages and new ones as they arrive, without leasing them, until
interrupted.

It looks into the queue every -interval: a message that came and went in between
is not seen. It outlives a restart of the backend.`,
		Example: `  mq tail orders
  mq tail orders -n 0 -o json | jq -c .body`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 {
				return usagef("-n %d is below 0", n)
			}
			if every < 10*time.Millisecond {
				return usagef("-interval %v is below 10ms", every)
			}
			return a.with(func(c *mq.Client) error { return a.tail(cmd.Context(), c.Queue(args[0]), n, every) })
		},
		ValidArgsFunction: a.completeQueue,
	}
	cmd.Flags().IntVarP(&n, "limit", "n", 10, "how many messages to show at first")
	cmd.Flags().DurationVar(&every, "interval", 500*time.Millisecond, "how often to look")
	return cmd
}

// A message with an id below the newest may turn up this late, and this many messages
// behind: ids are assigned before a transaction commits.
const late, lateBy = 5 * time.Second, 1000

// follower reads a queue over and over, and knows what it has seen.
type follower struct {
	queue *mq.Queue
	after string // nothing new comes up to here
	seen  []sighting

	cutBody int
}

type sighting struct {
	id string
	at time.Time
}

func (a *app) tail(ctx context.Context, q *mq.Queue, n int, every time.Duration) error {
	f := &follower{queue: q, cutBody: a.cutBody()}
	out := newPrinter(a, recordTitles...)
	show := func(r mq.Record) error {
		out.row(lineOfRecord(q.Name(), r), a.recordCells(r)...)
		return out.err
	}
	backend := away{app: a}
	err := f.begin(ctx, n, show)
	for {
		if ctx.Err() == nil && !backend.bears(err) {
			out.fail(err) // which also keeps the titles of an empty table away
		}
		if failed := out.flush(); failed != nil {
			return failed
		}
		if ctx.Err() != nil || !waitFor(ctx, every) {
			return nil // it is how a tail ends
		}
		err = f.look(ctx, show)
	}
}

// begin calls show for the n newest messages, and takes note of those before.
func (f *follower) begin(ctx context.Context, n int, show func(mq.Record) error) error {
	var ids []string // the newest first, and one more than are needed
	for r, err := range (browsing{newest: true, cutBody: 1}).records(ctx, f.queue) {
		if err != nil {
			return err
		}
		if ids = append(ids, r.ID); len(ids) > max(n, lateBy) {
			break
		}
	}
	slices.Reverse(ids)
	now := time.Now()
	for _, id := range ids {
		f.seen = append(f.seen, sighting{id, now})
	}
	f.forget(now)
	return f.again(ctx, ids[max(len(ids)-n-1, 0):], n, show)
}

// look calls show for what has come since the last look.
func (f *follower) look(ctx context.Context, show func(mq.Record) error) error {
	known := make(map[string]bool, len(f.seen))
	for _, s := range f.seen {
		known[s.id] = true
	}
	now := time.Now()
	for r, err := range (browsing{after: f.after, cutBody: f.cutBody}).records(ctx, f.queue) {
		if err != nil {
			return err
		}
		if known[r.ID] {
			continue
		}
		f.seen = append(f.seen, sighting{r.ID, now})
		if err := show(r); err != nil {
			return err
		}
		f.forget(now)
	}
	f.forget(now)
	return nil
}

// again calls show for up to n messages that were seen, the last of ids.
func (f *follower) again(ctx context.Context, ids []string, n int, show func(mq.Record) error) error {
	after := ""
	if len(ids) > n {
		after, ids = ids[0], ids[1:]
	}
	if len(ids) == 0 {
		return nil
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	for r, err := range (browsing{after: after, cutBody: f.cutBody}).records(ctx, f.queue) {
		if err != nil {
			return err
		}
		if !seen[r.ID] {
			continue
		}
		if err := show(r); err != nil {
			return err
		}
		if r.ID == ids[len(ids)-1] {
			break
		}
	}
	return nil
}

// forget moves on behind what has been seen for long enough.
func (f *follower) forget(now time.Time) {
	for len(f.seen) > lateBy || len(f.seen) > 1 && now.Sub(f.seen[0].at) > late {
		f.after, f.seen = f.seen[0].id, f.seen[1:]
	}
}
