package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func bindCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "bind QUEUE PATTERN",
		Short: "Bind a queue to a pattern of topics",
		Long: `Bind a queue to a pattern of topics: it gets what mq publish sends to them.

A topic is words with dots between them. In a pattern * stands for one word, and #
for any number of them, one at least beside a dot: logs.* matches logs.db, logs.#
matches logs.db.slow as well, and neither matches logs. Binding twice is the same
as once.`,
		Example: `  mq bind orders 'orders.*.new'
  mq bind orders '#'`,
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				if err := q.Bind(cmd.Context(), args[1]); err != nil {
					return err
				}
				return a.showBindings([]mq.Binding{{Queue: q.Name(), Pattern: args[1]}}, "QUEUE")
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
}

func unbindCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unbind QUEUE PATTERN",
		Short: "Remove a binding of a queue",
		Long: `Remove a binding of a queue.

If there is none, that is fine. Messages that the queue has stay in it.`,
		Example: `  mq unbind orders 'orders.*.new'`,
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				if err := mustExist(cmd.Context(), c, args[0]); err != nil {
					return err
				}
				if err := q.Unbind(cmd.Context(), args[1]); err != nil {
					return err
				}
				return a.showBindings([]mq.Binding{{Queue: q.Name(), Pattern: args[1]}}, "UNBOUND")
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
}

func bindingsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "bindings [QUEUE]",
		Short: "List the patterns that a queue is bound to, or all queues",
		Example: `  mq bindings
  mq bindings orders -o json | jq -r .pattern`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				all, err := bindings(cmd.Context(), c, args)
				if err != nil {
					return err
				}
				return a.showBindings(all, "QUEUE")
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
}

// bindings returns those of the queue that is named, or all.
func bindings(ctx context.Context, c *mq.Client, names []string) (all []mq.Binding, err error) {
	if len(names) == 0 {
		return c.Bindings(ctx)
	}
	q := c.Queue(names[0])
	patterns, err := q.Bindings(ctx)
	for _, p := range patterns {
		all = append(all, mq.Binding{Queue: q.Name(), Pattern: p})
	}
	return all, err
}

// bindingLine is the JSON of a binding.
type bindingLine struct {
	Queue   string `json:"queue"`
	Pattern string `json:"pattern"`
}

// showBindings shows bindings, under a title for their queues.
func (a *app) showBindings(all []mq.Binding, title string) error {
	out := newPrinter(a, title, "PATTERN")
	for _, b := range all {
		out.row(bindingLine(b), b.Queue, b.Pattern)
	}
	return out.flush()
}
