package driver

import (
	"fmt"
	"time"
)

// Caps are the facts about a provider that no method set can show. The zero
// value promises nothing and is valid. drivertest checks each of them both ways:
// what is declared works; what is not declared answers ErrNotSupported before
// any I/O. Nothing degrades silently.
type Caps struct {
	// Delay: Message.Delay and nacks with a positive delay work.
	Delay bool
	// Headers: Message.Headers round-trip.
	Headers bool
	// HeadStart: Message.HeadStart works. Needs OrderDue.
	HeadStart bool
	// Groups: Message.Group round-trips and GroupReceiver works.
	Groups bool
	// GroupLimit: ReceiveHeads works with a GroupBy.Limit above 1.
	GroupLimit bool
	// Durable: a message whose send returned nil survives a restart of the
	// backend, and so does its lease under PortableReceipts.
	Durable bool
	// Shared: another client of the same DSN sees the same queues.
	Shared bool
	// PortableReceipts: a receipt works on another client of the same DSN,
	// and after a reconnect.
	PortableReceipts bool
	// LateSettle: settling succeeds after the visibility timeout as long as
	// the message has not been leased again.
	LateSettle bool
	// NackFences: after a nack its receipt is stale at once. Otherwise it may
	// still act until the message is leased again; mq's Delivery does not let
	// that happen.
	NackFences bool
	// ExactBodies: bodies round-trip byte for byte. Otherwise a body that is
	// JSON may come back with other spacing, key order or number spelling.
	ExactBodies bool
	// ExactReadCount: ReadCount counts every lease, and nothing else. Otherwise
	// it is an estimate: too low where the backend misses leases, too high
	// where it counts deliveries that never reached a receiver, 0 if it cannot
	// tell.
	ExactReadCount bool
	// Attempts: nacks with Settlement.Uncounted work, and Delivery.Attempt,
	// Delivery.Unanswered and Record.Attempt are set.
	Attempts bool
	// NackReasons: a nack keeps Settlement.Reason as header mq-error. Otherwise
	// it passes over the reason.
	NackReasons bool
	// ExactStats: no figure of Stats is -1 or Approximate on a small queue.
	ExactStats bool

	// AtomicSend: one Send stores all its messages or none.
	AtomicSend bool
	// AtomicArchive: a crash during an archive leaves the message in exactly
	// one of queue and archive. Otherwise it may be in both.
	AtomicArchive bool
	// AtomicMove: OpMove is supported, and a crash leaves the message in
	// exactly one of the two queues.
	AtomicMove bool

	// OneWriter: while a caller's transaction that has sent or settled is open, every
	// other call that changes something waits for its end, or for that of its ctx. A
	// Receive that would get nothing does not.
	OneWriter bool

	// InProcess: calls are answered within the process, in microseconds.
	// There is no round trip to save, so mq does not merge concurrent calls,
	// and any number of Send, Settle and Extend come at once.
	InProcess bool

	// Flights is how many Send, how many Settle and how many Extend calls mq
	// keeps under way per queue; those that come meanwhile are merged. More
	// are for a backend that gains little from large batches and much from
	// never being idle. 0 means DefaultFlights.
	Flights int

	// Order is the order in which Receive chooses among visible messages.
	Order Order

	// MaxBatch is the largest Send, Settle, Extend and Receive. 0 means
	// DefaultMaxBatch.
	MaxBatch int
	// MaxBody is the largest body in bytes. 0 means no limit of its own.
	MaxBody int
	// MaxDelay is the longest delay of a send or a nack. 0 means no limit.
	MaxDelay time.Duration
	// MaxVisibility is the longest lease of one Receive or Extend. 0 means no
	// limit.
	MaxVisibility time.Duration
	// MaxHold is the longest time a message can stay leased, extensions
	// included. 0 means no limit.
	MaxHold time.Duration
	// Resolution is the unit that durations are rounded up to. 0 means that
	// they are taken as they are.
	Resolution time.Duration
}

// DefaultMaxBatch is the batch limit of a provider that declares none.
const DefaultMaxBatch = 1000

// DefaultFlights is the Flights of a provider that declares none. With one the
// backend would be idle between two flights; more make the batches smaller.
const DefaultFlights = 2

// Order is the order in which a provider hands out visible messages. It is
// what one receiver sees with nothing redelivered; several receivers run side
// by side, and strict order is what groups are for.
type Order int8

const (
	// Unordered promises nothing.
	Unordered Order = iota
	// OrderDue: those that have been visible longest come first, so that a
	// retried message goes behind those already waiting. The messages of one
	// sender come in the order they were sent. Within one Receive they are
	// sorted by age.
	OrderDue
	// OrderID: the oldest message comes first, retried or not.
	OrderID
)

// String returns "unordered", "due" or "id".
func (o Order) String() string {
	switch o {
	case Unordered:
		return "unordered"
	case OrderDue:
		return "due"
	case OrderID:
		return "id"
	}
	return fmt.Sprintf("Order(%d)", int8(o))
}

// BatchLimit returns MaxBatch, or its default.
func (c Caps) BatchLimit() int {
	if c.MaxBatch > 0 {
		return c.MaxBatch
	}
	return DefaultMaxBatch
}

// FlightLimit returns Flights, or its default.
func (c Caps) FlightLimit() int {
	if c.Flights > 0 {
		return c.Flights
	}
	return DefaultFlights
}
