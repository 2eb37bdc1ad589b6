package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func purgeCommand(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Remove all messages of a queue, leased and delayed ones too",
		Long: `Remove all messages of a queue, leased and delayed ones too.

The archive stays: mq archive purge is for that. Large queues are emptied in
parts; if it fails it says how many messages are gone, and can be run again.`,
		Example: `  mq purge orders
  mq purge -yes orders`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.level = slog.LevelWarn // it says what it waits for
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				if err := mustExist(cmd.Context(), c, args[0]); err != nil {
					return err
				}
				if err := a.confirm(cmd.Context(), yes, "remove all messages of %s", args[0]); err != nil {
					return err
				}
				return a.purgeAll(cmd.Context(), q, q.Purge)
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	yesFlag(cmd, &yes)
	return cmd
}

// doneLine is the JSON of what a command did to how many messages.
type doneLine struct {
	Done  string  `json:"done"`
	Count int64   `json:"count"`
	Asked int64   `json:"asked,omitempty"` // how many were meant
	Took  float64 `json:"seconds,omitempty"`
	Queue string  `json:"queue,omitempty"`
	Topic string  `json:"topic,omitempty"`
}

// done prints what was done to messages: "acked 3 messages". -quiet leaves it to JSON.
func (a *app) done(d doneLine) error {
	if a.json() {
		out := newPrinter(a)
		out.row(d)
		return out.flush()
	}
	if a.quiet {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%s %s\n", d.Done, d.messages())
	return err
}

func (d doneLine) messages() string {
	switch {
	case d.Count < d.Asked:
		return fmt.Sprintf("%d of %s", d.Count, plural(d.Asked, "message"))
	case d.Took > 0:
		return fmt.Sprintf("%s in %v", plural(d.Count, "message"), time.Duration(d.Took*float64(time.Second)).Round(time.Millisecond))
	}
	return plural(d.Count, "message")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
