package driver

import (
	"fmt"
	"math"
	"time"
)

// Names of the headers that providers and mq write themselves. Headers that
// begin with "mq-" are reserved for them.
const (
	// HeaderReason carries why a message was archived or moved.
	HeaderReason = "mq-reason"
	// HeaderOrigin carries "queue/id" of the message that a redriven or moved
	// one was made from.
	HeaderOrigin = "mq-origin"
	// HeaderError carries why the last failed attempt failed. A nack with a
	// Reason writes it, under Caps.NackReasons.
	HeaderError = "mq-error"
)

// AtTimeout, as the delay of a nack, leaves the message to its visibility
// timeout. It needs no I/O.
const AtTimeout time.Duration = math.MinInt64

// WhileQueued, as Message.DedupFor, holds the key until the message has left the queue.
const WhileQueued time.Duration = -1

// Sent is what has become of a message with a DedupKey.
type Sent struct {
	// ID is the message's, or that of the message that holds the key.
	ID string
	// Duplicate says that the key was held, and that nothing was stored.
	Duplicate bool
}

// Receipt names one lease of one message of one queue. It is opaque to all
// but the provider that made it, is valid UTF-8, and may travel to other
// processes where Caps.PortableReceipts.
type Receipt string

// Headers are a message's attributes: UTF-8 without NUL on both sides. The
// methods make it a carrier for trace propagation.
type Headers map[string]string

// Get returns the value of key, or "".
func (h Headers) Get(key string) string { return h[key] }

// Set sets key to value. The map must not be nil.
func (h Headers) Set(key, value string) { h[key] = value }

// Keys returns the keys, in no particular order.
func (h Headers) Keys() []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	return keys
}

// Message is what is sent.
type Message struct {
	// Body is opaque. nil and empty are the same.
	Body []byte
	// Headers may be nil. Needs Caps.Headers.
	Headers Headers
	// Group is the FIFO key: messages of one group are handed to group
	// receivers one at a time, in order. Empty means a group of its own.
	// Needs Caps.Groups.
	Group string
	// Delay hides the message for a while after the send. It is relative
	// because only the backend's clock decides. Needs Caps.Delay.
	Delay time.Duration
	// DedupKey names what the message is about: while the key is held in the queue,
	// further messages with it are not stored. "" is no key. Needs [Deduplicator].
	DedupKey string
	// DedupFor is how long the message holds its DedupKey, from the send on:
	// positive, or [WhileQueued]. It is 0 without a key.
	DedupFor time.Duration
	// HeadStart makes a plain Receive choose the message as if it had become visible
	// that much before it was sent. Nothing else changes: it is visible at once, its
	// EnqueuedAt is when it was sent, and a redelivery knows nothing of it. Stats.Lag may
	// count it as waiting. At most 366 days, and never beside Delay. Needs
	// Caps.HeadStart.
	HeadStart time.Duration
}

// Delivery is a message leased to a receiver.
type Delivery struct {
	// Message is what was sent; Delay, HeadStart, DedupKey and DedupFor are zero.
	Message
	// GroupKey is the group that a group receive took the message from, ""
	// if the message is a group of its own.
	GroupKey string
	// ID names the message in its queue. It survives redelivery.
	ID string
	// Receipt names this lease, for Settle and Extend.
	Receipt Receipt
	// ReadCount counts leases so far, this one included: 1 on the first. It is
	// an estimate unless Caps.ExactReadCount; 0 means that the backend cannot
	// tell.
	ReadCount int
	// Attempt counts the leases that were attempts, this one included: ReadCount
	// less those that ended with an uncounted nack, and 1 at least. A provider
	// without Caps.Attempts leaves it 0; mq then takes ReadCount.
	Attempt int
	// Unanswered counts the attempts since the last counted nack, or since the
	// send, that ended without a settlement: their visibility timeout ended, as
	// that of a crashed receiver does. An uncounted nack changes it no more than
	// it changes Attempt. It may be too high where a nack leaves no trace, as one
	// with AtTimeout. Without Caps.Attempts it is 0.
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
}

// ReceiveRequest says how much to lease, for how long.
type ReceiveRequest struct {
	// Max is between 1 and Caps.MaxBatch.
	Max int
	// Visibility is positive and at most Caps.MaxVisibility and Caps.MaxHold;
	// without them it may be as long as a Duration can be.
	Visibility time.Duration
	// Wait is how long the call may wait for a message, a minute at most. 0
	// means not at all.
	Wait time.Duration
}

// Op is what a [Settlement] does. The zero value is not an operation.
type Op int8

// The operations of Settle.
const (
	OpAck     Op = iota + 1 // done: delete the message
	OpNack                  // give it back, at once or after Delay
	OpArchive               // set it aside in the queue's archive, with Reason
	OpMove                  // make a new message of it in queue To, and delete it, in one step
)

// String returns "ack", "nack", "archive" or "move".
func (o Op) String() string {
	switch o {
	case OpAck:
		return "ack"
	case OpNack:
		return "nack"
	case OpArchive:
		return "archive"
	case OpMove:
		return "move"
	}
	return fmt.Sprintf("Op(%d)", int8(o))
}

// Settlement ends one lease.
type Settlement struct {
	Receipt Receipt
	Op      Op
	Delay   time.Duration // OpNack: 0 = visible at once, AtTimeout = no I/O
	To      string        // OpMove: the target queue, already canonical

	// Reason is kept as header mq-reason by OpArchive and OpMove, and as header
	// mq-error by OpNack under Caps.NackReasons. "" writes no header, and a nack
	// without a reason leaves that of an earlier one. With AtTimeout it has no
	// effect.
	Reason string
	// Uncounted, of OpNack, says that the lease was no attempt: the message was
	// given back before anybody worked on it, or for a reason that is not its
	// own. A lease is left out once, even if the nack is repeated while its
	// receipt still acts. Needs Caps.Attempts. With AtTimeout it has no effect.
	Uncounted bool
}

// QueueOptions say how EnsureQueue makes a queue. The zero value is the
// default everywhere.
type QueueOptions struct {
	// AnyName allows names that other providers may not take. Otherwise a
	// name must match ^[A-Za-z_][A-Za-z0-9_]{0,46}$. mq checks it.
	AnyName bool
	// Drivers are options that one driver alone understands, in that driver's
	// own type, such as pgmq.QueueOptions. A provider heeds those of its own
	// driver and ignores the others, so that a program whose DSN chooses the
	// driver can name them all. There is at most one for each driver.
	Drivers []DriverOptions
}

// DriverOptions are a driver's own options of a queue.
type DriverOptions interface {
	// DriverName returns the Name of the providers that heed them.
	DriverName() string
}

// OptionsOf returns the options of type T in o, or the zero T. T is a struct, not
// a pointer.
func OptionsOf[T DriverOptions](o QueueOptions) (T, error) {
	var none T
	for _, d := range o.Drivers {
		own, ok := d.(T)
		switch {
		case ok:
			return own, nil
		case d.DriverName() == none.DriverName():
			return none, fmt.Errorf("%w: options for %s are a %T, not a %T", ErrInvalid, none.DriverName(), none, d)
		}
	}
	return none, nil
}

// Stats describe a queue at one moment. A figure that is not known is -1.
type Stats struct {
	Total    int64 // Visible + Leased + Delayed + Blocked
	Visible  int64 // could be received now, by group receivers as well
	Leased   int64 // received, and neither settled nor timed out
	Delayed  int64 // sent or nacked with a delay that has not ended
	Archived int64 // in the archive
	// Blocked messages are due, but an earlier message of their Message.Group is
	// leased or delayed: a group receiver does not get them, a plain Receive does.
	// 0 without Caps.Groups.
	Blocked   int64
	TotalSent int64 // messages ever put into the queue, redriven and moved ones included

	// OldestAge and NewestAge are the ages, since they were sent, of the
	// oldest and the newest message in the queue, whatever its state. -1 if
	// unknown or if the queue is empty.
	OldestAge, NewestAge time.Duration
	// Lag is how long the Visible message that has been due longest has waited
	// since it was sent, or since its delay or its lease ended. It is 0 if none is
	// Visible, and -1 if unknown. It grows if receivers do not keep up, while
	// OldestAge grows with each delay and retry of one message, too.
	Lag time.Duration

	Approximate bool // some figure is an estimate
	ScrapedAt   time.Time
}

// Record is a message as Browse shows it: not leased, so without a receipt.
type Record struct {
	Message
	ID         string
	State      State
	BodySize   int // of the whole body; Body may be only its beginning
	ReadCount  int
	Attempt    int // leases so far that were attempts; 0 without Caps.Attempts
	EnqueuedAt time.Time
	VisibleAt  time.Time // when it becomes, or became, visible
	ArchivedAt time.Time // zero if it is not archived
}

// Reason returns why the message was archived or moved, or "".
func (r *Record) Reason() string { return r.Headers[HeaderReason] }

// LastError returns why the last failed attempt failed, or "".
func (r *Record) LastError() string { return r.Headers[HeaderError] }
