package main

import (
	"context"
	"log/slog"
	_ "time/tzdata" // for containers that have no time zones

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

// scheduleCommand has the commands on schedules below it.
func scheduleCommand(a *app) *cobra.Command {
	var cfg mqcron.Config
	cmd := &cobra.Command{
		Use:   "schedule COMMAND",
		Short: "Send messages at fixed times, and look after schedules",
		Long: `Send messages at fixed times, and look after schedules.

A schedule is a message, a queue and a cron text, which says when the message is
sent to the queue. Schedules are kept in a control queue. Any process that runs mq
schedule serve, or a program with package mqcron, sends what is due; there may be
several.`,
	}
	cmd.PersistentFlags().StringVar(&cfg.Queue, "control", mqcron.DefaultQueue, "the control `queue`")
	a.completeQueueFlag(cmd, "control")
	for _, sub := range []func(*app, *mqcron.Config) *cobra.Command{
		scheduleListCommand, scheduleSetCommand, scheduleRemoveCommand, scheduleRunCommand, scheduleServeCommand,
	} {
		cmd.AddCommand(sub(a, &cfg))
	}
	return cmd
}

// completeSchedules completes the first argument with the names of schedules.
func (a *app) completeSchedules(cfg *mqcron.Config) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeLimit)
		defer cancel()
		var names []string
		err := a.with(func(c *mq.Client) error {
			all, err := mqcron.List(ctx, c, *cfg)
			for _, s := range all {
				names = append(names, s.Name)
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func scheduleRemoveCommand(a *app, cfg *mqcron.Config) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Short:   "Remove schedules",
		Example: "  mq schedule rm report",
		Args:    takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				for _, name := range args {
					if err := mqcron.Remove(cmd.Context(), c, *cfg, name); err != nil {
						return err
					}
				}
				return nil
			})
		},
		ValidArgsFunction: a.completeSchedules(cfg),
	}
}

func scheduleRunCommand(a *app, cfg *mqcron.Config) *cobra.Command {
	return &cobra.Command{
		Use:   "run NAME",
		Short: "Send the message of a schedule now, whenever it is due",
		Long: `Send the message of a schedule now, whenever it is due. The schedule is not
changed. The id of the message is shown.`,
		Example: "  mq schedule run report",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				id, err := mqcron.RunNow(cmd.Context(), c, *cfg, args[0])
				if err != nil {
					return err
				}
				out := newPrinter(a, "ID")
				out.row(struct {
					ID string `json:"id"`
				}{id}, id)
				return out.flush()
			})
		},
		ValidArgsFunction: a.completeSchedules(cfg),
	}
}

func scheduleServeCommand(a *app, cfg *mqcron.Config) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Send what is due, until interrupted",
		Long: `Send what is due, until interrupted. Several processes may do so at once: each
message is sent once. While none runs, nothing is sent; what was missed is then sent
as -catch-up of mq schedule set says.`,
		Example: "  mq schedule serve",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.level = slog.LevelWarn
			return a.with(func(c *mq.Client) error {
				if err := c.Ping(cmd.Context()); err != nil {
					return err // Run would try for ever
				}
				return mqcron.Run(cmd.Context(), c, *cfg)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
