package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

const receiptsHelp = `A receipt is what mq receive shows, its queue included; - reads receipts from
the standard input, one per line. Those that are stale are named, the others take
effect. Receipts work only where the provider's outlive the command that
received, as on PGMQ; elsewhere use mq receive -ack or mq work.`

func ackCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ack {RECEIPT... | -}",
		Short: "Delete messages that are done",
		Long:  "Delete messages that are done.\n\n" + receiptsHelp,
		Example: `  mq ack orders:p1:7:1:1763800000000000:orders
  mq receive orders -n 10 -o json | jq -r .receipt | mq ack -`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.settle(cmd.Context(), "acked", args, mq.Settlement{Op: mq.OpAck})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func nackCommand(a *app) *cobra.Command {
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "nack {RECEIPT... | -}",
		Short: "Give messages back",
		Long:  "Give messages back, at once or after a delay.\n\n" + receiptsHelp,
		Example: `  mq nack orders:p1:7:1:1763800000000000:orders
  mq nack -delay 5m orders:p1:7:1:1763800000000000:orders`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.settle(cmd.Context(), "nacked", args, mq.Settlement{Op: mq.OpNack, Delay: delay})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&delay, "delay", 0, "after how long they may be received again")
	return cmd
}

func extendCommand(a *app) *cobra.Command {
	var visibility time.Duration
	cmd := &cobra.Command{
		Use:   "extend {RECEIPT... | -}",
		Short: "Prolong leases",
		Long:  "Make leases end -visibility from now.\n\n" + receiptsHelp,
		Example: `  mq extend orders:p1:7:1:1763800000000000:orders
  mq extend -visibility 10m orders:p1:7:1:1763800000000000:orders`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachQueue(cmd.Context(), "extended", args, func(ctx context.Context, q *mq.Queue, rs []mq.Receipt) error {
				return q.Extend(ctx, visibility, rs...)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&visibility, "visibility", 30*time.Second, "when the leases end, from now")
	return cmd
}

// settle settles by receipts as s says.
func (a *app) settle(ctx context.Context, done string, args []string, s mq.Settlement) error {
	return a.eachQueue(ctx, done, args, func(ctx context.Context, q *mq.Queue, rs []mq.Receipt) error {
		ss := make([]mq.Settlement, len(rs))
		for i, r := range rs {
			ss[i] = s
			ss[i].Receipt = r
		}
		return q.Settle(ctx, ss...)
	})
}

// eachQueue calls f with the receipts of one queue after the other, and says
// for how many it worked.
func (a *app) eachQueue(ctx context.Context, done string, args []string, f func(context.Context, *mq.Queue, []mq.Receipt) error) error {
	queues, receipts, err := a.receipts(ctx, args)
	if errors.Is(err, errInterrupted) {
		return fmt.Errorf("%w (nothing was %s)", err, done)
	}
	if err != nil {
		return err
	}
	return a.with(func(c *mq.Client) error {
		if !c.Caps().PortableReceipts {
			return fmt.Errorf("receipts of %s work only in the process that received: use mq receive -ack or mq work", c.Provider().Name())
		}
		var n int64
		var errs []error
		for _, name := range queues {
			rs := receipts[name]
			err := f(ctx, c.Queue(name), rs)
			failed, each := failures(name, rs, err)
			n += int64(len(rs) - failed)
			errs = append(errs, each...)
		}
		if n == 0 && len(errs) > 0 {
			return errors.Join(errs...)
		}
		return errors.Join(errors.Join(errs...), a.done(doneLine{Done: done, Count: n}))
	})
}

// failures returns for how many receipts err says that they failed, and what it
// says of each, or of all in one.
func failures(queue string, rs []mq.Receipt, err error) (n int, errs []error) {
	if err == nil {
		return 0, nil
	}
	if batch := (*mq.BatchError)(nil); len(rs) > 1 && (!errors.As(err, &batch) || len(batch.Errs) != len(rs)) {
		return len(rs), []error{err}
	}
	for i, r := range rs {
		if err := itemError(err, i); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", receiptText(queue, r), err))
		}
	}
	return len(errs), errs
}

// receipts parses receipts, or reads them if there is but "-", and returns them
// by queue, and the queues in the order they came.
func (a *app) receipts(ctx context.Context, args []string) (queues []string, receipts map[string][]mq.Receipt, err error) {
	if len(args) == 1 && args[0] == "-" {
		if args, err = unlessEnded(ctx, a.readLines); err != nil {
			return nil, nil, err
		}
	}
	receipts = make(map[string][]mq.Receipt)
	for _, arg := range args {
		queue, r, err := parseReceipt(arg)
		if err != nil {
			return nil, nil, err
		}
		if receipts[queue] == nil {
			queues = append(queues, queue)
		}
		receipts[queue] = append(receipts[queue], r)
	}
	return queues, receipts, nil
}

// readLines returns the lines of the standard input that are not empty.
func (a *app) readLines() (lines []string, err error) {
	in := bufio.NewScanner(a.stdin)
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, in.Err()
}
