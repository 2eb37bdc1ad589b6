package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func listCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the queues",
		Example: `  mq ls
  mq ls -o json | jq -r .queue`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *mq.Client) error {
				names, err := c.Queues(cmd.Context())
				if err != nil {
					return err
				}
				paused, err := readPauses(cmd.Context(), c)
				out := newPrinter(a, paused.titles("QUEUE")...)
				for _, name := range names {
					out.row(queueLine{name, paused.line(name)}, paused.cells(name, name)...)
				}
				return errors.Join(out.flush(), err)
			})
		},
	}
}

// queueLine is the JSON of what is said about a queue.
type queueLine struct {
	Queue string `json:"queue"`
	pausedLine
}
