package mq

import (
	"math"
	"time"

	"github.com/portmq/mq/driver"
)

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
	// DedupKey names what the message is about, such as "invoice 42": while the key is
	// held, further sends with it to the queue store nothing and return the ID of the
	// message that holds it. Queue.SendOnce says which it was. At most 255 bytes. Needs
	// a provider that can deduplicate: see Requirements.Dedup.
	DedupKey string
	// DedupFor is how long the message holds its DedupKey, from the send on, even if it
	// is done sooner. Defaults to 5 minutes; at most 366 days. WhileQueued holds the key
	// until the message has left the queue: it was acked, archived, moved, popped or
	// purged.
	DedupFor time.Duration
	// HeadStart puts the message in front of others, as if it had been sent that much
	// earlier: it overtakes messages that have waited for less than the head start. So
	// nothing starves: whatever has waited for longer than any head start comes first. It
	// counts once; a message that is delivered again has its place by the end of its lease
	// or delay. Group receives, and Consumers with Groups, ignore it. It does not go
	// together with Delay, and is at most 366 days. Needs Caps.HeadStart.
	HeadStart time.Duration
	// Expires is how long after the send the message is worth handling, cut to whole
	// milliseconds; 0 is for ever. A Consumer archives it afterwards, and its handler
	// does not see it; see Delivery.Expired. A message that is redriven or moved has as
	// long again. It travels as header HeaderExpires. Needs Caps.Headers.
	Expires time.Duration
}

// Record is a message as Peek and Archived show it: not leased, so without a
// receipt.
type Record struct {
	Message
	ID         string
	State      State
	BodySize   int // of the whole body; Body may be only its beginning
	ReadCount  int
	Attempt    int // leases that counted so far
	EnqueuedAt time.Time
	VisibleAt  time.Time // when it becomes, or became, visible
	ArchivedAt time.Time // zero if it is not archived
}

// Reason returns why the message was archived or moved, or "".
func (r *Record) Reason() string { return r.Headers[HeaderReason] }

// LastError returns why the last failed attempt failed, or "". It is kept where
// the provider has Caps.NackReasons.
func (r *Record) LastError() string { return r.Headers[HeaderError] }

// The values that users and drivers share.
type (
	// Headers are a message's attributes, a carrier for trace propagation.
	Headers = driver.Headers
	// Receipt names one lease of one message of one queue.
	Receipt = driver.Receipt
	// Settlement ends one lease, by receipt: see Queue.Settle.
	Settlement = driver.Settlement
	// Op is what a Settlement does.
	Op = driver.Op
	// Stats describe a queue at one moment.
	Stats = driver.Stats
	// QueueOptions say how EnsureQueue creates a queue.
	QueueOptions = driver.QueueOptions
	// DriverOptions are a driver's own options of a queue, in QueueOptions.
	DriverOptions = driver.DriverOptions
	// GroupBy defines how messages are grouped, and how many of a group may be
	// leased. See ByGroup, ByHeader and ByPath.
	GroupBy = driver.GroupBy
	// SQLTx is what mq needs of a transaction: *sql.Tx has it.
	SQLTx = driver.SQLTx
	// Caps are the facts about a provider: see Client.Caps.
	Caps = driver.Caps
	// Order is the order in which a provider hands out visible messages.
	Order = driver.Order
	// State is where a message is.
	State = driver.State
)

// What a Settlement does.
const (
	OpAck     = driver.OpAck
	OpNack    = driver.OpNack
	OpArchive = driver.OpArchive
	OpMove    = driver.OpMove
)

// The orders of Caps.Order.
const (
	Unordered = driver.Unordered
	OrderDue  = driver.OrderDue
	OrderID   = driver.OrderID
)

// The states of a Record.
const (
	AnyState      = driver.AnyState // in a Match: every state
	StateVisible  = driver.StateVisible
	StateLeased   = driver.StateLeased
	StateDelayed  = driver.StateDelayed
	StateArchived = driver.StateArchived
)

// The headers that mq and its providers write. Names that begin with "mq-" are
// reserved for them.
const (
	HeaderReason = driver.HeaderReason
	HeaderOrigin = driver.HeaderOrigin
	HeaderError  = driver.HeaderError
	// HeaderExpires carries Message.Expires, in milliseconds.
	HeaderExpires = "mq-expires"
)

const (
	// WhileQueued, as a DedupFor, holds the key until the message has left the queue.
	WhileQueued = driver.WhileQueued
	// AtTimeout, as the delay of a nack, leaves the message to its visibility
	// timeout.
	AtTimeout = driver.AtTimeout
	// Forever, as a Wait, waits until there is a message or ctx ends.
	Forever time.Duration = math.MaxInt64
)

// messagesOf returns messages as an interceptor sees them.
func messagesOf(msgs []driver.Message) []Message {
	out := make([]Message, len(msgs))
	for i := range msgs {
		out[i] = in(msgs[i])
	}
	return out
}

// driverMessages is the reverse of messagesOf.
func driverMessages(msgs []Message) []driver.Message {
	out := make([]driver.Message, len(msgs))
	for i := range msgs {
		out[i] = msgs[i].out()
	}
	return out
}
