package mq

import (
	"context"
	"slices"

	"github.com/portmq/mq/driver"
)

// Override settles messages by their IDs, whatever their state and whoever holds them,
// and returns how many it has found. It is for operators, who have no receipts: OpAck
// deletes the messages, OpNack makes them visible now or after s.Delay, OpArchive
// archives them with s.Reason, OpMove re-creates them in the queue s.To. A lease of such a
// message ends: a settlement by its holder returns ErrStaleReceipt or ErrMessageNotFound.
//
// s.Receipt, s.Uncounted and the Reason of a nack must not be set. OpMove needs
// Caps.AtomicMove.
func (q *Queue) Override(ctx context.Context, ids []string, s Settlement) (n int64, err error) {
	call := &Call{Op: "override " + s.Op.String(), Settlements: []Settlement{s}}
	err = q.do(ctx, call, func(ctx context.Context) error {
		o, err := optional[driver.Overrider](q.client.provider)
		if err != nil {
			return unsupported("acting on messages by ID")
		}
		if err := q.prepareOverride(&s); err != nil {
			return err
		}
		n, err = q.inParts(ctx, ids, func(ctx context.Context, ids []string) (int64, error) {
			return o.Override(ctx, q.name, ids, s)
		})
		return err
	})
	return n, err
}

// prepareOverride validates s and makes its target canonical.
func (q *Queue) prepareOverride(s *Settlement) error {
	switch {
	case s.Receipt != "":
		return invalid("an override has no Receipt")
	case s.Uncounted:
		return invalid("an override is never Uncounted")
	case s.Op == OpNack && s.Delay == AtTimeout:
		return invalid("an override with AtTimeout would do nothing")
	case s.Op == OpNack && s.Reason != "":
		return invalid("an override that gives messages back has no Reason")
	case s.Op == OpMove && !q.client.caps.AtomicMove:
		return unsupported("moving in one step")
	}
	return q.prepare(s)
}

// RemoveArchived deletes messages from the archive by their IDs, and returns how many it
// has found.
func (q *Queue) RemoveArchived(ctx context.Context, ids []string) (n int64, err error) {
	err = q.do(ctx, &Call{Op: "remove archived"}, func(ctx context.Context) error {
		o, err := optional[driver.Overrider](q.client.provider)
		if err != nil {
			return unsupported("acting on messages by ID")
		}
		n, err = q.inParts(ctx, ids, func(ctx context.Context, ids []string) (int64, error) {
			return o.RemoveArchived(ctx, q.name, ids)
		})
		return err
	})
	return n, err
}

// inParts calls act with ids, as many at a time as the provider takes, and returns how
// many were found.
func (q *Queue) inParts(ctx context.Context, ids []string, act func(context.Context, []string) (int64, error)) (found int64, err error) {
	for part := range slices.Chunk(ids, q.client.caps.BatchLimit()) {
		var n int64
		err = q.client.look(ctx, func(ctx context.Context) (err error) {
			n, err = act(ctx, part)
			return err
		})
		if found += n; err != nil {
			break
		}
	}
	return found, err
}
