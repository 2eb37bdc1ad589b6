package main

import (
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
				out := newPrinter(a, "QUEUE")
				for _, name := range names {
					out.row(queueLine{name}, name)
				}
				return out.flush()
			})
		},
	}
}

// queueLine is the JSON of what is said about a queue.
type queueLine struct {
	Queue string `json:"queue"`
}
