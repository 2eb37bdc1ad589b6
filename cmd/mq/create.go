package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func createCommand(a *app) *cobra.Command {
	var (
		o      mq.QueueOptions
		groups []string
		notify time.Duration
	)
	cmd := &cobra.Command{
		Use:   "create QUEUE...",
		Short: "Create queues that are not there",
		Example: `  mq create orders
  mq create builds -group-by header -group-by repo.id`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, g := range groups {
				o.GroupIndexes = append(o.GroupIndexes, *groupBy(g))
			}
			o.NotifyInterval = notify
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				out := newPrinter(a, "QUEUE")
				for _, name := range args {
					q, err := c.EnsureQueue(cmd.Context(), name, o)
					if err != nil {
						out.fail(err)
						break
					}
					out.row(queueLine{q.Name()}, q.Name())
				}
				return out.flush()
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.AnyName, "any-name", false, "allow names that other providers may not take")
	flags.StringArrayVar(&groups, "group-by", nil, "make the indexes for receiving by `group`: header, or a path in the body as in repo.id")
	flags.DurationVar(&notify, "notify", 0, "how often other programs' messages may wake receivers (default: the provider's; negative: never)")
	return cmd
}

// groupBy parses header, or a path of keys with dots between them.
func groupBy(text string) *mq.GroupBy {
	if text == "header" {
		return mq.ByGroup()
	}
	return mq.ByPath(strings.Split(text, ".")...)
}
