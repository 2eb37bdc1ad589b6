package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func archiveListCommand(a *app) *cobra.Command {
	var (
		n      int
		b      = browsing{archive: true}
		reason string
	)
	cmd := &cobra.Command{
		Use:   "ls QUEUE",
		Short: "List archived messages with their reasons, oldest first",
		Example: `  mq archive ls orders
  mq archive ls orders -newest -n 20
  mq archive ls orders -reason 'card declined' -o json | jq -r .id`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return usagef("-n %d is below 1", n)
			}
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				out := newPrinter(a, "ID", "READ?", "SENT?", "ARCHIVED", "REASON…", "BODY…")
				left := n
				b.cutBody = a.cutBody()
				for r, err := range b.records(cmd.Context(), q) {
					if err != nil {
						out.fail(err)
						break
					}
					if !strings.Contains(r.Reason(), reason) {
						continue
					}
					out.row(lineOfRecord(q.Name(), r), r.ID, strconv.Itoa(r.ReadCount), a.timeCell(r.EnqueuedAt),
						a.timeCell(r.ArchivedAt), orDash(shorten(r.Reason())), bodyCell(r.Body))
					if left--; left == 0 || out.err != nil {
						break
					}
				}
				return out.flush()
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.IntVarP(&n, "limit", "n", 100, "how many messages to list at most")
	flags.StringVar(&b.after, "after", "", "start after the message with this `id`")
	flags.BoolVar(&b.newest, "newest", false, "newest first")
	flags.StringVar(&reason, "reason", "", "only messages whose reason contains this `text`")
	choosing(cmd, "reason")
	return cmd
}

// showRecord shows a message in full, as JSON or line by line.
func (a *app) showRecord(queue string, r mq.Record) error {
	if a.json() {
		out := newPrinter(a)
		out.row(lineOfRecord(queue, r))
		return out.flush()
	}
	out := newPrinter(a)
	for _, field := range [][2]string{
		{"id", r.ID},
		{"read count", strconv.Itoa(r.ReadCount)},
		{"sent", stamp(r.EnqueuedAt)},
		{"archived", stamp(r.ArchivedAt)},
		{"reason", orDash(r.Reason())},
		{"group", orDash(r.Group)},
	} {
		out.cells(field[:])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		out.cells([]string{"header " + name, r.Headers[name]})
	}
	out.cells([]string{"body", fmt.Sprintf("%d bytes", len(r.Body))})
	out.fail(out.flush())
	if out.err == nil {
		out.err = a.write(printable(string(r.Body)) + "\n\n")
	}
	return out.err
}
