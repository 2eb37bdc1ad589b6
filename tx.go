package mq

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// TxQueue sends and settles inside a transaction of the caller: what it does
// takes effect when the caller commits, or not at all. Each call is one
// statement, made at once: nothing is merged, retried or waited for. After any
// error the transaction must be rolled back; if the answer was lost that is
// ErrBadConn, since nothing takes effect without the commit.
//
// A TxQueue is used by one goroutine at a time, as its transaction is, and
// needs no closing.
type TxQueue struct {
	queue *Queue
	tx    driver.TxProvider
	err   error // why tx cannot be used
}

// Tx returns a view of the queue that works inside tx, which must be on the
// provider's own database. Effects that happen exactly once come from a
// delivery that was received outside, and whose effects and AckTx are inside
// one transaction.
//
// Tx does no I/O. What is wrong with tx is the error of every call on the view,
// and nothing is run: ErrInvalid for nil and for a transaction that cannot be one
// of the provider's, ErrNotSupported where the provider has none.
func (q *Queue) Tx(tx SQLTx) *TxQueue {
	t := &TxQueue{queue: q}
	if tx == nil {
		t.err = invalid("tx is nil")
		return t
	}
	transactor, err := optional[driver.Transactor](q.client.provider)
	if err == nil {
		t.tx, err = transactor.Tx(tx)
	}
	t.err = theirs(err)
	return t
}

// Send stores a message when the transaction commits. The id is the one that it
// will have.
func (t *TxQueue) Send(ctx context.Context, m *Message) (string, error) {
	return single(t.SendAll(ctx, []*Message{m}))
}

// SendAll stores messages when the transaction commits. The ids are those that
// they will have. More than the provider's limit of a batch are several
// statements.
func (t *TxQueue) SendAll(ctx context.Context, msgs []*Message) ([]string, error) {
	ids, _, err := t.sendAll(ctx, msgs)
	return ids, err
}

func (t *TxQueue) sendAll(ctx context.Context, msgs []*Message) ([]string, []bool, error) {
	q := t.queue
	batch, bad := checkMessages(q.client.caps, msgs)
	call := &Call{Op: "send", Messages: messagesOf(batch)}
	err := q.do(ctx, call, func(ctx context.Context) error {
		if err := cmp.Or(t.err, bad); err != nil {
			return err
		}
		batch := driverMessages(call.Messages)
		send := t.sender(keyed(batch), call)
		for part := range slices.Chunk(batch, q.client.caps.BatchLimit()) {
			if err := t.limited(ctx, func(ctx context.Context) error { return send(ctx, part) }); err != nil {
				call.IDs, call.Duplicates = nil, nil
				return theirs(err)
			}
		}
		return nil
	})
	return call.IDs, call.Duplicates, err
}

// sender returns what sends a part of a batch, some of which have keys if unique, and
// notes the result in call.
func (t *TxQueue) sender(unique bool, call *Call) func(context.Context, []driver.Message) error {
	if !unique {
		return func(ctx context.Context, part []driver.Message) error {
			ids, err := t.tx.Send(ctx, t.queue.name, part)
			call.IDs = append(call.IDs, ids...)
			return err
		}
	}
	return func(ctx context.Context, part []driver.Message) error {
		d, ok := t.tx.(driver.Deduplicator)
		if !ok {
			return unsupported("Message.DedupKey in a transaction")
		}
		sent, err := d.SendUnique(ctx, t.queue.name, part)
		ids, err := idsOf(sent, len(part), err)
		call.IDs = append(call.IDs, ids...)
		for _, s := range sent {
			call.Duplicates = append(call.Duplicates, s.Duplicate)
		}
		return err
	}
}

// Ack deletes the message when the transaction commits. ErrStaleReceipt means
// that somebody else has the message by now: roll back.
func (t *TxQueue) Ack(ctx context.Context, d *Delivery) error {
	return t.settle(ctx, d, Settlement{Op: OpAck})
}

// AckAll deletes messages when the transaction commits, in as few statements as the
// provider's limit of a batch allows. If any of them is stale or cannot be deleted the
// error says which, and the transaction must be rolled back.
func (t *TxQueue) AckAll(ctx context.Context, ds []*Delivery) error {
	acks := make([]Settlement, len(ds))
	for i, d := range ds {
		if _, err := d.from(); err != nil {
			return err
		}
		acks[i] = Settlement{Receipt: d.Receipt, Op: OpAck}
	}
	return t.queue.do(ctx, &Call{Op: "ack", Settlements: acks}, func(ctx context.Context) error {
		for i, d := range ds {
			if d.queue.name != t.queue.name {
				return ofSeveral("delivery", i, len(ds), invalid("the Delivery is of queue %q", d.queue.name))
			}
		}
		return cmp.Or(t.err, t.ackAll(ctx, ds, acks))
	})
}

// ackAll claims all leases before the first statement, so that one that is over costs
// the transaction nothing.
func (t *TxQueue) ackAll(ctx context.Context, ds []*Delivery, acks []Settlement) error {
	for i, d := range ds {
		if err := d.lease.beginSettle(ctx, OpAck, true); err != nil {
			for _, d := range ds[:i] {
				d.lease.endSettle(errNotTried)
			}
			return ofSeveral("delivery", i, len(ds), err)
		}
	}
	err, done := errGoexit, 0 // unless the calls return
	defer func() {
		for i, d := range ds {
			switch {
			case i < done:
				d.lease.settledInTx()
			default:
				d.lease.endSettle(cmp.Or(itemError(err, i-done), errNotTried))
			}
		}
	}()
	limit := t.queue.client.caps.BatchLimit()
	for ; done < len(ds); done += min(limit, len(ds)-done) {
		if err = t.statement(ctx, acks[done:min(done+limit, len(ds))]); err != nil {
			return err
		}
	}
	return nil
}

// Nack gives the message back when the transaction commits.
func (t *TxQueue) Nack(ctx context.Context, d *Delivery, delay time.Duration) error {
	return t.settle(ctx, d, Settlement{Op: OpNack, Delay: delay})
}

// Archive sets the message aside when the transaction commits.
func (t *TxQueue) Archive(ctx context.Context, d *Delivery, reason string) error {
	return t.settle(ctx, d, Settlement{Op: OpArchive, Reason: reason})
}

func (t *TxQueue) settle(ctx context.Context, d *Delivery, s Settlement) error {
	q, err := d.from()
	if err != nil {
		return err
	}
	s.Receipt = d.Receipt
	call := &Call{Op: s.Op.String(), Settlements: []Settlement{s}}
	return t.queue.do(ctx, call, func(ctx context.Context) error {
		if err := cmp.Or(t.err, checkSettlement(t.queue.client.caps, s)); err != nil {
			return err
		}
		if q.name != t.queue.name {
			return invalid("the Delivery is of queue %q", q.name)
		}
		return t.settleOne(ctx, d, s)
	})
}

// settleOne settles d inside the transaction. No extension may be under way: it
// would wait for the row that the transaction holds, or change it behind the
// transaction's back.
func (t *TxQueue) settleOne(ctx context.Context, d *Delivery, s Settlement) error {
	if err := d.lease.beginSettle(ctx, s.Op, true); err != nil {
		return err
	}
	err := errGoexit // unless the call returns
	defer func() {
		if err != nil {
			d.lease.endSettle(err)
			return
		}
		d.lease.settledInTx()
	}()
	if s.Op == OpNack && s.Delay == AtTimeout {
		err = nil
	} else {
		err = itemError(t.statement(ctx, []Settlement{s}), 0)
	}
	return err
}

// statement settles as many as one statement can.
func (t *TxQueue) statement(ctx context.Context, s []Settlement) error {
	return theirs(t.limited(ctx, func(ctx context.Context) error {
		return t.tx.Settle(ctx, t.queue.name, s)
	}))
}

// limited is Client.limited inside the transaction, without which nothing takes
// effect: a call that is cut off leaves nothing in doubt.
func (t *TxQueue) limited(ctx context.Context, call func(context.Context) error) error {
	return t.queue.client.limited(ctx, func(ctx context.Context) error {
		err := call(ctx)
		if err == context.DeadlineExceeded {
			err = fmt.Errorf("%w (%w: roll the transaction back)", ended(ctx), ErrBadConn)
		}
		return err
	})
}

// AckTx deletes the message when tx, a transaction of the caller, commits. A
// stale delivery answers ErrStaleReceipt: roll back, somebody else has the
// message. A delivery whose transaction rolled back may still be settled;
// its lease is not extended any more.
func (d *Delivery) AckTx(ctx context.Context, tx SQLTx) error {
	q, err := d.from()
	if err != nil {
		return err
	}
	return q.Tx(tx).Ack(ctx, d)
}
