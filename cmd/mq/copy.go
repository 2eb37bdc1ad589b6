package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// headerCopiedFrom names the message that a copied one was made from, as
// provider/queue/id: two messages with the same value are one.
const headerCopiedFrom = "copied-from"

// copying are the flags of mq copy.
type copying struct {
	queues                       []string
	batch, first                 int // first: of the first receive, 0 for all of a batch
	idle, visibility             time.Duration
	follow, delayed, skip        bool
	withoutGroups, withoutOrigin bool
}

func copyCommand(a *app) *cobra.Command {
	var o copying
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Move the messages of queues to another provider",
		Long: `Move the messages of queues to another provider, while both are in use.

Batch after batch is leased at the source, sent to the queue of the same name at
the target, which is made if need be, and deleted at the source once the target
has stored it. Nothing is lost if either side, or this command, fails or is
killed: run it again. The batch under way may then be in both queues; a header
of the copies, ` + headerCopiedFrom + `, has provider/queue/id of the source, which is the same
for both, unless the source is RabbitMQ and its sender gave no message-id.

Body, headers and group are kept, in the order in which the source hands them
out; id, age and read count begin anew. From PGMQ to PGMQ the rows are copied as
they are stored, whichever program wrote them. Elsewhere headers are texts: what
another program wrote as a number or an object arrives as a text with its JSON.

Messages that are delayed or leased by others are moved when they become
visible: the command waits for leases that end within -visibility, with -delayed
for delayed messages too, and says what it left. Archives are not moved.

A message that the target refuses, as too large or for its headers, stays in the
source, and the command ends; with -skip it goes on with the others.

FROM and TO are DSNs, names of contexts, or env:NAME, which is the variable of
that name: a password in it is not in the list of processes.`,
		Example: `  mq copy pgmq://app@localhost/shop rabbitmq://localhost -queue orders
  mq copy rabbitmq://old rabbitmq://new -queue orders -follow
  mq copy sqlite://orders.db pgmq://app@localhost/shop
  mq copy env:OLD_DSN env:NEW_DSN -queue orders
  mq copy old prod -queue orders`,
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.dsn != "" || a.context != "" {
				return usagef("-dsn and -context do not go with copy: both are arguments")
			}
			return a.copy(cmd.Context(), o, args[0], args[1])
		},
		ValidArgsFunction: a.completeContext,
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.queues, "queue", "q", nil, "a `queue` to move; may be repeated (default all)")
	flags.IntVar(&o.batch, "batch", 0, "how many messages are under way at once (default 100, or less if they are large or a provider takes less)")
	flags.DurationVar(&o.idle, "idle", 2*time.Second, "how long a queue must be empty to be done")
	flags.DurationVar(&o.visibility, "visibility", 0, "how long a batch is leased (default 30s, or the provider's limit)")
	flags.BoolVar(&o.follow, "follow", false, "go on until interrupted")
	flags.BoolVar(&o.delayed, "delayed", false, "wait for delayed messages, where the source can count them")
	flags.BoolVar(&o.skip, "skip", false, "leave messages that the target refuses, and go on")
	flags.BoolVar(&o.withoutGroups, "without-groups", false, "drop the FIFO groups if the target has none, instead of refusing")
	flags.BoolVar(&o.withoutOrigin, "without-origin", false, "add no header "+headerCopiedFrom)
	return cmd
}

// copy opens both providers and moves the queues.
func (a *app) copy(ctx context.Context, o copying, fromDSN, toDSN string) (err error) {
	if fromDSN, err = a.anyDSN(fromDSN); err != nil {
		return err
	}
	if toDSN, err = a.anyDSN(toDSN); err != nil {
		return err
	}
	if fromDSN == toDSN {
		return usagef("both DSNs are the same: the messages would go round in circles")
	}
	from, err := a.openDSN(fromDSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := a.openDSN(toDSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := o.complete(from, to); err != nil {
		return err
	}
	if len(o.queues) == 0 {
		if o.queues, err = allQueues(ctx, from); err != nil {
			return err
		}
	}
	return a.moveQueues(ctx, o, from, to)
}

// complete fills in the defaults that depend on the providers, and checks.
func (o *copying) complete(from, to *mq.Client) error {
	limit := min(from.Caps().BatchLimit(), to.Caps().BatchLimit())
	if o.batch == 0 {
		o.batch, o.first = min(100, limit), firstPage
	}
	longest := 30 * time.Second
	for _, l := range []time.Duration{from.Caps().MaxVisibility, from.Caps().MaxHold} {
		if l > 0 {
			longest = min(longest, l)
		}
	}
	if o.visibility == 0 {
		o.visibility = longest
	}
	switch {
	case o.batch < 1 || o.batch > limit:
		return usagef("-batch %d is not between 1 and the providers' limit of %d", o.batch, limit)
	case o.idle <= 0:
		return usagef("-idle %v is not positive", o.idle)
	case o.visibility < 0:
		return usagef("-visibility %v is negative", o.visibility)
	}
	return nil
}

func allQueues(ctx context.Context, c *mq.Client) ([]string, error) {
	names, err := c.Queues(ctx)
	if errors.Is(err, mq.ErrNotSupported) {
		return nil, usagef("%s cannot list its queues: name them with -queue", c.Provider().Name())
	}
	return names, err
}

// moveQueues moves one queue after the other, or with -follow all at once, and
// shows what came of each.
func (a *app) moveQueues(ctx context.Context, o copying, from, to *mq.Client) error {
	if err := from.Verify(ctx, o.queues...).Err(); err != nil {
		return err // before a queue is made for a name that was mistyped
	}
	var movers []*mover
	seen, rows := make(map[string]bool), newRowCopier(from, to)
	for _, name := range o.queues {
		source := from.Queue(name)
		if seen[source.Name()] {
			continue
		}
		seen[source.Name()] = true
		target, err := to.EnsureQueue(ctx, source.Name(), mq.QueueOptions{AnyName: true})
		if err != nil {
			return err
		}
		movers = append(movers, &mover{copying: o, app: a, from: source, to: target, rows: rows, pager: pager{cmp.Or(o.first, o.batch)}})
	}
	err := moveAll(ctx, o, movers)
	out := newPrinter(a, "QUEUE", "MOVED", "SKIPPED", "DOUBTFUL")
	for _, m := range movers {
		line := copyLine{m.from.Name(), m.moved, int64(len(m.skipped)), m.doubtful}
		out.row(line, line.Queue, strconv.FormatInt(line.Moved, 10), strconv.FormatInt(line.Skipped, 10), strconv.FormatInt(line.Doubtful, 10))
	}
	if err := out.flush(); err != nil {
		return err
	}
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		if o.follow {
			return nil // it is how it ends
		}
		return fmt.Errorf("%w (what is not moved is in the source; run the command again)", context.Cause(ctx))
	}
	return err
}

// copyLine is the JSON of what came of a queue.
type copyLine struct {
	Queue    string `json:"queue"`
	Moved    int64  `json:"moved"`
	Skipped  int64  `json:"skipped"`
	Doubtful int64  `json:"doubtful"`
}

func moveAll(ctx context.Context, o copying, movers []*mover) error {
	if o.follow {
		return followAll(ctx, movers)
	}
	for _, m := range movers {
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// followAll moves all queues at once, with one progress bar.
func followAll(ctx context.Context, movers []*mover) error {
	if len(movers) == 0 {
		return nil
	}
	bar := movers[0].app.newProgress(-1, "moving", "messages")
	defer bar.end()
	return inParallel(ctx, len(movers), func(ctx context.Context, i int) error {
		movers[i].bar = bar
		return movers[i].run(ctx)
	})
}
