package main

import (
	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func peekCommand(a *app) *cobra.Command {
	var (
		n     int
		after string
	)
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show messages without leasing them, oldest first",
		Example: `  mq peek orders
  mq peek orders -n 1000 -o json | jq -c .body
  mq peek orders -after 4711`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return usagef("-n %d is below 1", n)
			}
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				out := newPrinter(a, recordTitles...)
				left := n
				for r, err := range browse(cmd.Context(), q, false, after) {
					if err != nil {
						out.fail(err)
						break
					}
					out.row(lineOfRecord(q.Name(), r), a.recordCells(r)...)
					if left--; left == 0 || out.err != nil {
						break
					}
				}
				return out.flush()
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	cmd.Flags().IntVarP(&n, "limit", "n", 10, "how many messages to show at most")
	cmd.Flags().StringVar(&after, "after", "", "begin behind the message with this `id`")
	return cmd
}
