package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// receiving are the flags of mq receive.
type receiving struct {
	mq.ReceiveOptions
	n        int
	ack, pop bool
	group    groupFlags
}

func receiveCommand(a *app) *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use:   "receive QUEUE",
		Short: "Lease messages, and show them with their receipts",
		Long: `Lease messages, and show them with their receipts.

Nobody else gets them until -visibility is over, unless they are settled first: mq
ack, nack, extend and archive take the receipts. Some providers, such as RabbitMQ,
give the messages back as soon as the command ends; there only -ack makes sense.

It ends after -n messages, or when there is none within -wait.`,
		Example: `  mq receive orders
  mq receive orders -n 100 -wait 10s -visibility 5m -o json
  mq receive orders -o json | jq -r .receipt | mq ack -
  mq receive orders -n 10 -ack`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return a.with(func(c *mq.Client) error { return a.receive(cmd.Context(), c.Queue(args[0]), r) })
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.IntVarP(&r.n, "limit", "n", 1, "how many messages to receive at most")
	flags.DurationVar(&r.Wait, "wait", 0, "how long to wait for a message")
	flags.DurationVar(&r.Visibility, "visibility", 0, "how long to lease them (default 30s, or the provider's limit)")
	flags.BoolVar(&r.ack, "ack", false, "delete each message once it has been shown")
	flags.BoolVar(&r.pop, "pop", false, "delete the messages the moment they are received")
	r.group.flags(cmd, "messages of free groups, one of each `group` unless -group-limit says otherwise")
	return cmd
}

func (r receiving) check() error {
	switch {
	case r.n < 1:
		return usagef("-n %d is below 1", r.n)
	case r.ack && r.pop:
		return usagef("-ack and -pop do not go together")
	case r.pop && (r.group.by != "" || r.Wait != 0 || r.Visibility != 0):
		return usagef("-pop goes with none of -group-by, -wait and -visibility")
	}
	return r.group.check()
}

func (a *app) receive(ctx context.Context, q *mq.Queue, r receiving) error {
	out := newPrinter(a, "ID", "READ?", "SENT?", "RECEIPT", "BODY…")
	var p pager
	for got := 0; got < r.n; {
		r.Max = p.limit(min(r.n-got, q.Client().Caps().BatchLimit()))
		ds, err := r.receive(ctx, q)
		if err = errors.Join(a.show(ctx, out, ds, r), err); err != nil {
			return a.ended(ctx, err, got+len(ds))
		}
		if len(ds) == 0 {
			break
		}
		if got == 0 && !r.ack && !r.pop && !q.Client().Caps().PortableReceipts {
			a.note("%s gives messages back when this command ends; -ack deletes them", q.Client().Provider().Name())
		}
		got += len(ds)
		p.got(len(ds), size(ds))
	}
	return out.flush()
}

// size is about how much memory deliveries take.
func size(ds []*mq.Delivery) (n int) {
	for _, d := range ds {
		n += weight(d.Body, d.Headers)
	}
	return n
}

// receive receives one batch.
func (r receiving) receive(ctx context.Context, q *mq.Queue) ([]*mq.Delivery, error) {
	switch {
	case r.pop:
		return q.Pop(ctx, r.Max)
	case r.group.by != "":
		return q.ReceiveHeads(ctx, r.group.groups(), r.ReceiveOptions)
	}
	return q.Receive(ctx, r.ReceiveOptions)
}

// show shows deliveries and then acks them, if that is wanted. What could not
// be shown is given back.
func (a *app) show(ctx context.Context, out *printer, ds []*mq.Delivery, r receiving) error {
	if len(ds) == 0 {
		return nil
	}
	for _, d := range ds {
		m := lineOfDelivery(d)
		receipt := m.Receipt
		if r.ack || r.pop {
			m.Receipt, receipt = "", "-"
		}
		out.row(m, m.ID, strconv.Itoa(m.ReadCount), a.timeCell(m.EnqueuedAt), receipt, bodyCell(m.body))
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := out.flush(); err != nil {
		if r.pop { // not wrapped: even if it is but a closed pipe, this has to be said
			return fmt.Errorf("%s popped, and lost since they could not be shown: %v", plural(int64(len(ds)), "message"), err)
		}
		_ = settleAll(ctx, ds, mq.OpNack) // or they come back later
		return err
	}
	if r.ack {
		return settleAll(ctx, ds, mq.OpAck)
	}
	return nil
}

// settleAll settles deliveries of one queue in one call.
func settleAll(ctx context.Context, ds []*mq.Delivery, op driver.Op) error {
	ss := make([]mq.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = mq.Settlement{Receipt: d.Receipt, Op: op}
	}
	return ds[0].Queue().Settle(ctx, ss...)
}

// ended tells, if ctx was ended by a signal, how far the command had come.
func (a *app) ended(ctx context.Context, err error, n int) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w (received %s)", context.Cause(ctx), plural(int64(n), "message"))
}

// waitFor returns false if ctx ends first.
func waitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
