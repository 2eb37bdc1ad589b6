package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// archiveCommand archives by receipt, and has the commands on archives below
// it. A receipt has a colon in it, which no command has.
func archiveCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "archive {RECEIPT... | - | COMMAND}",
		Short: "Set messages aside in the archive, and work on archives",
		Long: `Set leased messages aside in the archive of their queue. The commands below list,
redrive and delete the messages in an archive, which is where dead letters are.

` + receiptsHelp,
		Example: `  mq archive -reason 'bad address' orders:p1:7:1:1763800000000000:orders
  mq archive ls orders
  mq archive redrive orders -n 100`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("give a receipt, or a command (mq archive -help lists them)")
			}
			return checkReceipts(args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.settle(cmd.Context(), "archived", args, mq.Settlement{Op: mq.OpArchive, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it is archived, shown by mq archive ls")
	cmd.AddCommand(archiveListCommand(a), archiveShowCommand(a), archiveStatsCommand(a), archivePutCommand(a),
		archiveRedriveCommand(a), archiveRemoveCommand(a), archivePurgeCommand(a))
	return cmd
}

// checkReceipts tells a mistyped command from a receipt.
func checkReceipts(args []string) error {
	if len(args) == 1 && args[0] == "-" {
		return nil
	}
	for _, arg := range args {
		if _, _, err := parseReceipt(arg); err != nil {
			return usagef("%q is neither a receipt (QUEUE:...) nor a command (mq archive -help lists them)", arg)
		}
	}
	return nil
}

func archiveShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show QUEUE ID...",
		Short: "Show archived messages in full",
		Example: `  mq archive show orders 17
  mq archive show orders 17 -o json | jq .body`,
		Args: takes(2, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *mq.Client) error {
				q := c.Queue(args[0])
				var missing []string
				for _, id := range args[1:] { // one at a time: bodies may be large
					rs, err := q.Archived(cmd.Context(), mq.BrowseOptions{IDs: []string{id}})
					if err != nil {
						return err
					}
					if len(rs) != 1 || rs[0].ID != id {
						missing = append(missing, id)
						continue
					}
					if err := a.showRecord(q.Name(), rs[0]); err != nil {
						return err
					}
				}
				if len(missing) > 0 {
					return fmt.Errorf("the archive of %s has no message %s (mq archive ls shows what there is)", q.Name(), strings.Join(missing, ", "))
				}
				return nil
			})
		},
		ValidArgsFunction: a.completeQueue,
	}
	return cmd
}
