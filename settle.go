package mq

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Ack says that the message is done: it is deleted. When it returns nil that
// is certain.
func (d *Delivery) Ack(ctx context.Context) error {
	return d.settle(ctx, Settlement{Op: OpAck})
}

// Nack gives the message back, visible after delay: 0 means at once,
// AtTimeout leaves it to the visibility timeout, without any I/O.
func (d *Delivery) Nack(ctx context.Context, delay time.Duration) error {
	return d.settle(ctx, Settlement{Op: OpNack, Delay: delay})
}

// Archive sets the message aside in the queue's archive, with a reason. It is
// where dead letters go; Queue.Archived lists and Queue.Redrive returns them.
func (d *Delivery) Archive(ctx context.Context, reason string) error {
	return d.settle(ctx, Settlement{Op: OpArchive, Reason: reason})
}

// Move re-creates the message in another queue, with headers that name the
// reason and the origin, and deletes this one. Where the provider cannot do that
// in one step it is ErrNotSupported, unless Config.AllowDuplicateMoves is set.
func (d *Delivery) Move(ctx context.Context, queue, reason string) error {
	return d.settle(ctx, Settlement{Op: OpMove, To: queue, Reason: reason})
}

// Extend makes the lease end visibility from now.
func (d *Delivery) Extend(ctx context.Context, visibility time.Duration) error {
	q, err := d.from()
	if err != nil {
		return err
	}
	call := &Call{Op: "extend", Receipts: []Receipt{d.Receipt}}
	return q.do(ctx, call, func(ctx context.Context) error {
		if err := checkVisibility(q.client.caps, visibility); err != nil {
			return err
		}
		return d.extend(ctx, visibility)
	})
}

func (d *Delivery) extend(ctx context.Context, visibility time.Duration) error {
	if !d.lease.beginExtend() {
		return ErrStaleReceipt
	}
	begun := now()
	patience := d.queue.client.extensionTime(ctx, d.lease.left(begun))
	err := errGoexit // unless the call returns
	defer func() {
		d.lease.endExtend(err, begun, visibility)
		d.lease.hurry()
	}()
	_, err = d.queue.lanes.extend.do(ctx, []extension{{d.Receipt, visibility, patience}})
	return err
}

// from returns the queue, which a Delivery made by hand does not have.
func (d *Delivery) from() (*Queue, error) {
	if d == nil {
		return nil, &Error{Op: "settle", Err: invalid("the Delivery is nil")}
	}
	if d.queue == nil {
		return nil, &Error{Op: "settle", Err: invalid("the Delivery was not received from a queue")}
	}
	return d.queue, nil
}

func (d *Delivery) settle(ctx context.Context, s Settlement) error {
	q, err := d.from()
	if err != nil {
		return err
	}
	s.Receipt = d.Receipt
	one := []Settlement{s}
	if q.client.direct() {
		if err = q.admit(ctx); err == nil {
			err = d.settleOne(ctx, one)
		}
		return q.fail(s.Op.String(), err)
	}
	return q.do(ctx, &Call{Op: s.Op.String(), Settlements: one}, func(ctx context.Context) error {
		return d.settleOne(ctx, one)
	})
}

// settleOne carries out the one settlement in s.
func (d *Delivery) settleOne(ctx context.Context, s []Settlement) error {
	q := d.queue
	if err := q.prepare(&s[0]); err != nil {
		return err
	}
	if err := d.lease.beginSettle(ctx, s[0].Op, q.mustBeStill(s[0])); err != nil {
		return err
	}
	err := errGoexit // unless the call returns
	defer func() { d.lease.endSettle(err) }()
	err = q.carryOut(ctx, d, s)
	return err
}

// mustBeStill reports whether an extension that reaches the backend after s
// would undo it: it would hide a message that was given back for another
// visibility timeout. After any other settlement it is refused.
func (q *Queue) mustBeStill(s Settlement) bool {
	return s.Op == OpNack && s.Delay != AtTimeout && !q.client.caps.NackFences
}

// prepare validates s and makes its target canonical.
func (q *Queue) prepare(s *Settlement) error {
	if s.Op != OpMove {
		return checkSettlement(q.client.caps, *s)
	}
	to, err := q.client.canonical(s.To)
	if err != nil {
		return err
	}
	s.To = to
	if q.copies(*s) {
		return nil
	}
	return checkSettlement(q.client.caps, *s)
}

// carryOut settles d as the one settlement in s says.
func (q *Queue) carryOut(ctx context.Context, d *Delivery, s []Settlement) error {
	switch {
	case s[0].Op == OpNack && s[0].Delay == AtTimeout:
		return nil
	case q.copies(s[0]):
		return q.copyAndAck(ctx, d, s[0])
	}
	_, err := q.lanes.settle.do(ctx, s)
	return err
}

// Settle ends leases by receipt, in this process or another one: the provider
// must have Caps.PortableReceipts for the latter. If only some of several
// settlements took effect the error contains a *BatchError. Deliveries of this
// process are better settled by their own methods, which keep them from
// settling twice.
func (q *Queue) Settle(ctx context.Context, settlements ...Settlement) error {
	call := &Call{Op: "settle", Settlements: settlements}
	return q.do(ctx, call, func(ctx context.Context) error {
		todo := slices.Clone(settlements)
		for i := range todo {
			if q.copies(todo[i]) {
				return unsupported("moving by receipt (use Delivery.Move)")
			}
			if err := q.prepare(&todo[i]); err != nil {
				return err
			}
		}
		_, err := q.lanes.settle.do(ctx, todo)
		return err
	})
}

// Extend makes leases end visibility from now, by receipt.
func (q *Queue) Extend(ctx context.Context, visibility time.Duration, receipts ...Receipt) error {
	call := &Call{Op: "extend", Receipts: receipts}
	return q.do(ctx, call, func(ctx context.Context) error {
		if err := checkVisibility(q.client.caps, visibility); err != nil {
			return err
		}
		es := make([]extension, len(receipts))
		patience := q.client.extensionTime(ctx, visibility)
		for i, r := range receipts {
			es[i] = extension{r, visibility, patience}
		}
		_, err := q.lanes.extend.do(ctx, es)
		return err
	})
}

// isLost reports whether err says that the lease is over for good.
func isLost(err error) bool {
	return errors.Is(err, ErrStaleReceipt) || errors.Is(err, ErrInvalidReceipt)
}
