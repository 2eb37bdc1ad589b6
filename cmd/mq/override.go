package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

const idsHelp = `Whoever holds such a message loses its lease. - reads ids from the standard input,
one per line. The exit code is 1 if none of the messages exists.`

// noneOf is the error if no message was found.
func noneOf(where, shows string) error {
	return fmt.Errorf("%s has none of these messages (%s shows what there is)", where, shows)
}

func noneInQueue(queue string) error   { return noneOf(queue, "mq peek") }
func noneInArchive(queue string) error { return noneOf("the archive of "+queue, "mq archive ls") }

// ids returns the ids in args, sorted and each once, or reads them if args is "-".
func (a *app) ids(ctx context.Context, args []string) (ids []string, err error) {
	if len(args) == 1 && args[0] == "-" {
		if args, err = unlessEnded(ctx, a.readLines); err != nil {
			return nil, err
		}
	}
	ids = slices.Clone(args)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// byID does something to the messages with the given ids, and says to how many.
func (a *app) byID(q *mq.Queue, done string, ids []string, none func(queue string) error, act func() (int64, error)) error {
	n, err := act()
	if err != nil {
		err = lacks(q.Client(), err, "cannot do that to messages by their ids")
		if n > 0 {
			err = fmt.Errorf("%w (%s %s)", err, done, plural(n, "message"))
		}
		return err
	}
	if n == 0 && len(ids) > 0 {
		return none(q.Name())
	}
	return a.done(doneLine{Done: done, Count: n, Asked: int64(len(ids)), Queue: q.Name()})
}

// override settles messages by their ids.
func (a *app) override(ctx context.Context, q *mq.Queue, done string, ids []string, s mq.Settlement) error {
	return a.byID(q, done, ids, noneInQueue, func() (int64, error) { return q.Override(ctx, ids, s) })
}

func removeCommand(a *app) *cobra.Command {
	return a.removing("rm QUEUE {ID... | -}", "Delete messages by their ids, leased ones too",
		"Delete messages by their ids, leased ones too.\n\n"+idsHelp,
		"  mq rm -yes orders 5 6\n  mq peek orders -text '\"id\":4' -o json | jq -r .id | mq rm -yes orders -", noneInQueue,
		func(ctx context.Context, q *mq.Queue, ids []string) (int64, error) {
			return q.Override(ctx, ids, mq.Settlement{Op: mq.OpAck})
		})
}

func archiveRemoveCommand(a *app) *cobra.Command {
	return a.removing("rm QUEUE {ID... | -}", "Delete archived messages by their ids", "",
		"  mq archive rm -yes orders 17 18", noneInArchive,
		func(ctx context.Context, q *mq.Queue, ids []string) (int64, error) { return q.RemoveArchived(ctx, ids) })
}

// removing makes a command that deletes messages by their ids, and asks before.
func (a *app) removing(use, short, long, example string, none func(queue string) error, remove func(context.Context, *mq.Queue, []string) (int64, error)) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: takes(2, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			ids, err := a.ids(ctx, args[1:])
			if err == nil {
				err = a.confirm(ctx, yes, "delete %s of %s", plural(int64(len(ids)), "message"), args[0])
			}
			if err != nil {
				return err
			}
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				return a.byID(q, "deleted", ids, none, func() (int64, error) { return remove(ctx, q, ids) })
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	yesFlag(cmd, &yes)
	return cmd
}

func archivePutCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "put QUEUE {ID... | -}",
		Short: "Archive messages by their ids, leased ones too",
		Long:  "Archive messages by their ids, leased ones too.\n\n" + idsHelp,
		Example: `  mq archive put orders 5 6 -reason 'bad address'
  mq peek orders -group customer-7 -o json | jq -r .id | mq archive put orders -`,
		Args: takes(2, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.overrideArgs(cmd.Context(), "archived", args[0], args[1:], mq.Settlement{Op: mq.OpArchive, Reason: reason})
		},
		ValidArgsFunction: a.completeQueue,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it is archived, shown by mq archive ls")
	return cmd
}

func moveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "move FROM TO {ID... | -}",
		Short: "Move messages to another queue by their ids, leased ones too",
		Long: `Move messages to another queue of the provider by their ids, leased ones too.
They become new messages there. mq copy moves whole queues.

` + idsHelp,
		Example: `  mq move orders invoices 5 6`,
		Args:    takes(3, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.overrideArgs(cmd.Context(), "moved", args[0], args[2:], mq.Settlement{Op: mq.OpMove, To: args[1]})
		},
		ValidArgsFunction: a.completeQueues,
	}
}

func (a *app) overrideArgs(ctx context.Context, done, queue string, args []string, s mq.Settlement) error {
	ids, err := a.ids(ctx, args)
	if err != nil {
		return err
	}
	return a.with(func(c *mq.Client) error { return a.override(ctx, c.Queue(queue), done, ids, s) })
}

// holdsFor returns how long a message has been held by now.
func holdsFor(r mq.ConsumerReport, h mq.HeldMessage) time.Duration {
	return h.For + max(time.Since(r.At), 0)
}
