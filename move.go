package mq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/portmq/mq/driver"
)

// original is what a move in two steps needs to know: the message as it was
// received, since the fields of the Delivery belong to the receiver, and where
// copies of it may be. It is guarded by the claim of the lease's settlement.
type original struct {
	Message
	sent    []string // queues that have a copy
	doubted []string // queues that may have one
}

// errCopyInDoubt is the answer to a move whose copy may or may not have
// arrived: another copy could be the second one, and an ack could delete the
// only one.
var errCopyInDoubt = errors.New("the message may be in both queues (look into the target, then Ack or Nack)")

// movesByCopy reports whether a move takes two steps.
func (c *Client) movesByCopy() bool { return !c.caps.AtomicMove && c.cfg.AllowDuplicateMoves }

// copies reports whether s is a move in two steps.
func (q *Queue) copies(s Settlement) bool { return s.Op == OpMove && q.client.movesByCopy() }

// copyAndAck moves d in two steps: in between the message is in both queues.
// When it is repeated it goes on where it failed.
func (q *Queue) copyAndAck(ctx context.Context, d *Delivery, s Settlement) error {
	if err := q.copyOnce(ctx, d, s); err != nil {
		return err
	}
	_, err := q.lanes.settle.do(ctx, []Settlement{{Receipt: s.Receipt, Op: OpAck}})
	return err
}

// copyOnce sends the copy, unless an earlier try has or may have.
func (q *Queue) copyOnce(ctx context.Context, d *Delivery, s Settlement) error {
	o := d.lease.rare.original
	switch {
	case slices.Contains(o.sent, s.To):
		return nil
	case slices.Contains(o.doubted, s.To):
		return fmt.Errorf("%w: %w", ErrUnavailable, errCopyInDoubt)
	}
	_, err := q.client.Queue(s.To).Send(ctx, q.copyOf(d, s))
	switch {
	case err == nil:
		o.sent = append(o.sent, s.To)
	case errors.Is(err, ErrUnavailable):
		o.doubted = append(o.doubted, s.To)
		err = fmt.Errorf("%w: %w", err, errCopyInDoubt)
	}
	return err
}

// copyOf returns the message that a move in two steps sends.
func (q *Queue) copyOf(d *Delivery, s Settlement) *Message {
	m := d.lease.rare.original.Message
	if !q.client.caps.Headers {
		return &m
	}
	if m.Headers = maps.Clone(m.Headers); m.Headers == nil {
		m.Headers = make(Headers)
	}
	delete(m.Headers, driver.HeaderError)
	m.Headers[driver.HeaderReason] = s.Reason
	m.Headers[driver.HeaderOrigin] = q.name + "/" + d.ID
	return &m
}
