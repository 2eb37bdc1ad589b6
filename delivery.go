package mq

import (
	"log/slog"
	"time"

	"github.com/portmq/mq/driver"
)

// Delivery is a message that was leased by a receive. Until its visibility
// timeout ends nobody else gets it; then it is delivered again. Settle it with
// Ack, Nack, Archive, Move or AckTx.
//
// A Delivery settles once: when a settlement has succeeded the next one
// answers ErrStaleReceipt without any I/O. One that failed may be repeated.
// The methods are safe for concurrent use; the fields belong to the receiver.
type Delivery struct {
	// Message is what was sent; its Delay, HeadStart, DedupKey and DedupFor are zero.
	Message
	// GroupKey is the group that a group receive took the message from, ""
	// if the message is a group of its own.
	GroupKey string
	// ID names the message in its queue. It survives redelivery.
	ID string
	// Receipt names this lease, for Queue.Settle and Queue.Extend.
	Receipt Receipt
	// ReadCount counts leases so far, this one included: 1 on the first. It is
	// an estimate unless Caps.ExactReadCount; 0 means that the backend cannot
	// tell.
	ReadCount int
	// Attempt counts the leases that count, this one included: those that were not
	// given back unhandled, interrupted by a stop, or snoozed. Without Caps.Attempts
	// it is ReadCount.
	Attempt int
	// Unanswered counts the attempts before this one, since the last counted nack,
	// that nobody answered: a process that was killed, a lease that was lost, a nack
	// with AtTimeout. Without Caps.ExactReadCount it may be too high, where a nack
	// without a delay leaves no trace. Without Caps.Attempts it is 0.
	Unanswered int
	// EnqueuedAt is when the message was sent, by the backend's clock. It
	// survives redelivery.
	EnqueuedAt time.Time
	// VisibleAt is when the lease ends unless it is extended, by the
	// backend's clock.
	VisibleAt time.Time
	// Native is the client library's own form of the delivery, or nil: the
	// escape hatch. Each driver documents its type.
	Native any

	queue *Queue
	lease lease
}

// newDelivery returns what a provider has delivered.
func newDelivery(d driver.Delivery, q *Queue) *Delivery {
	out := &Delivery{
		Message: in(d.Message), GroupKey: d.GroupKey, ID: d.ID, Receipt: d.Receipt, ReadCount: d.ReadCount, Attempt: d.Attempt, Unanswered: d.Unanswered,
		EnqueuedAt: d.EnqueuedAt, VisibleAt: d.VisibleAt, Native: d.Native, queue: q,
	}
	if !q.client.caps.Attempts {
		out.Attempt = d.ReadCount
	}
	return out
}

// Queue returns the queue the delivery came from.
func (d *Delivery) Queue() *Queue { return d.queue }

// LogValue shows what identifies the delivery, never the body or the headers.
func (d *Delivery) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("id", d.ID),
		slog.Int("read_count", d.ReadCount),
		slog.Time("enqueued_at", d.EnqueuedAt),
		slog.Int("bytes", len(d.Body)),
	}
	if d.queue != nil {
		attrs = append(attrs, slog.String("queue", d.queue.name))
	}
	return slog.GroupValue(attrs...)
}
