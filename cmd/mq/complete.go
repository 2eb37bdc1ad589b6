package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completeLimit is how long a shell waits for the names of queues.
const completeLimit = 2 * time.Second

// completeQueues completes each argument with the names of queues.
func (a *app) completeQueues(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, err := a.queueNames(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeQueue completes the first argument.
func (a *app) completeQueue(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeQueues(cmd, args, toComplete)
}

// completeQueueFlag completes the value of a flag that is a queue.
func (a *app) completeQueueFlag(cmd *cobra.Command, flag string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, a.completeQueues); err != nil {
		panic(err) // there is no such flag
	}
}

func (a *app) queueNames(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, completeLimit)
	defer cancel()
	c, err := a.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Queues(ctx)
}
