// Package ledger keeps what the processes of a chaos run have done, in append-only
// files: one line for each event, written by one write(2), so that a process that is
// killed loses at most the event that it was about to write.
//
// The events of one call are two: one before it begins, one after it has ended. A call
// without an end was cut off by a kill, and may have been applied or not. All times are
// CLOCK_MONOTONIC, which the processes of a machine share.
package ledger

import "time"

// Kind is what an event is.
type Kind string

// The events of a worker. Those of a call that has ended have the time of its start in
// From.
const (
	SendBegin   Kind = "sb" // For is the delay
	Sent        Kind = "so" // Op is Duplicate if the key was held
	SendFailed  Kind = "sf" // certainly not stored
	SendUnknown Kind = "su"

	ReceiveBegin Kind = "rb" // Receipt names the call
	ReceiveEnd   Kind = "re" // Op is Doubt if messages may have been leased without a word
	Received     Kind = "rv" // one message of a receive; For is the visibility timeout

	SettleBegin   Kind = "cb" // Op is what the settlement does; For a nack's delay
	Settled       Kind = "co"
	SettleStale   Kind = "cs" // the backend says that the lease is over
	SettleFailed  Kind = "cf" // certainly not applied
	SettleUnknown Kind = "cu"

	ExtendBegin   Kind = "xb"
	Extended      Kind = "xo" // For is the new length of the lease
	ExtendStale   Kind = "xs"
	ExtendUnknown Kind = "xu"

	HandleBegin Kind = "hb"
	HandleEnd   Kind = "he"
	LeaseLost   Kind = "ll" // a Consumer has said so
	Corrupt     Kind = "bc" // a body is not what was sent

	Start Kind = "ws"
	End   Kind = "we" // of a worker that was told to end
	Leak  Kind = "lk" // Note is what a worker or a backend has left
	Stuck Kind = "st" // Key is a worker that did not go on when all faults were over
)

// The events of the controller, and what is there at the end.
const (
	FaultBegin Kind = "fb" // Key names the fault, Receipt numbers it
	Healed     Kind = "fh" // For is how long its effects may last
	DropBegin  Kind = "db"
	Dropped    Kind = "do"
	Queued     Kind = "iq" // a message that is in the queue at the end
	Archived   Kind = "ia" // a message that is in the archive at the end
)

// Values of Op.
const (
	Ack       = "ack"
	Nack      = "nack"
	Uncounted = "uncounted" // a nack that does not count as an attempt
	Archive   = "archive"
	Duplicate = "duplicate"
	Doubt     = "doubt"
)

// InTx is the Note of SettleBegin in a transaction of the caller.
const InTx = "tx"

// Record is one event. Fields that an event does not have are zero.
type Record struct {
	At     int64 // when it was written
	From   int64 // when the call began
	Kind   Kind
	Worker string // that has written it; the reader knows it from the file
	Queue  string
	// Key names the message, or rather the intention to send one: a message that was
	// stored twice has one key and two IDs.
	Key        string
	ID         string
	Group      string
	Seq        int // of the message in its group
	Read       int
	Attempt    int
	Unanswered int
	Receipt    string // a digest of the receipt, which names the lease
	For        time.Duration
	Until      int64 // when a lease ends, as the backend says
	Op         string
	Note       string
}
