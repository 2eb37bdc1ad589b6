package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func archiveStatsCommand(a *app) *cobra.Command {
	var scan int
	cmd := &cobra.Command{
		Use:   "stats QUEUE",
		Short: "Count archived messages by reason",
		Example: `  mq archive stats orders
  mq archive stats orders -scan 1000000 -o json | jq 'select(.count > 100) | .reason'`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if scan < 1 {
				return usagef("-scan %d is below 1", scan)
			}
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				counts, looked, err := q.Reasons(cmd.Context(), scan)
				if err != nil {
					return lacks(c, err, "does not count dead letters by reason")
				}
				if looked >= int64(scan) {
					a.note("looked at the newest %s (-scan looks at more)", plural(looked, "message"))
				}
				return a.showReasons(q.Name(), counts)
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	scanFlag(cmd, &scan)
	return cmd
}

func scanFlag(cmd *cobra.Command, scan *int) {
	cmd.Flags().IntVar(scan, "scan", 10_000, "how many messages to look at")
}

// reasonLine is the JSON of a reason.
type reasonLine struct {
	Queue  string    `json:"queue,omitempty"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

func (a *app) showReasons(queue string, counts []mq.ReasonCount) error {
	out := newPrinter(a, "COUNT", "FIRST", "LAST", "REASON…")
	for _, c := range counts {
		out.row(reasonLine{queue, c.Reason, c.Count, c.First, c.Last},
			strconv.FormatInt(c.Count, 10), a.timeCell(c.First), a.timeCell(c.Last), orDash(shorten(c.Reason)))
	}
	return out.flush()
}
