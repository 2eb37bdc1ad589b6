package driver

import (
	"context"
	"time"
)

// Overrider acts on messages by their ids, whoever holds them. It is for operators, who
// have no receipts.
type Overrider interface {
	// Override applies s to the messages with the given ids, whatever their state, and
	// returns how many it has found. IDs that are not in the queue, or cannot be IDs, are
	// passed over; an ID that is given twice counts once. There is at least one and at
	// most Caps.MaxBatch. s.Receipt is "".
	//
	// A lease of such a message ends: its receipt is stale at once, or its message gone.
	// OpNack makes the message visible now, or after s.Delay, which ends a delay as well.
	// It has no Reason and is not Uncounted: the lease counts as one whose visibility
	// timeout ended. Delay is never AtTimeout. OpMove needs Caps.AtomicMove.
	Override(ctx context.Context, queue string, ids []string, s Settlement) (int64, error)
	// RemoveArchived deletes the messages with the given ids from the archive, and
	// returns how many it has found.
	RemoveArchived(ctx context.Context, queue string, ids []string) (int64, error)
}

// Pauser stores which queues are paused. mq's Consumers, in every process, fetch nothing
// from a paused queue. Nothing else changes: messages can be sent, received and settled.
type Pauser interface {
	// SetPaused pauses a queue or ends its pause. It is idempotent: pausing a paused
	// queue changes neither its Since nor its By. A missing queue is
	// ErrQueueNotFound. DropQueue ends the pause as well.
	SetPaused(ctx context.Context, queue string, paused bool, by string) error
	// Paused returns the queues that are paused, sorted by name, in one cheap read. It
	// creates nothing.
	Paused(ctx context.Context) ([]Pause, error)
	// AwaitPause returns when any process, this one included, may have paused or resumed
	// a queue, and after d at the latest. While mq runs Consumers it calls AwaitPause in a
	// loop, and Paused after each call.
	AwaitPause(ctx context.Context, d time.Duration) error
}

// Pause is a queue that is paused.
type Pause struct {
	Queue string
	By    string    // who has paused it, or why
	Since time.Time // by the backend's clock
}

// Registry stores what Consumers report about themselves, so that operators see who works
// on a queue and who holds which message.
type Registry interface {
	// Report stores a report, in place of an earlier one with the same ID, and keeps it
	// for ttl by the backend's clock. A ttl of 0 removes it. It must be cheap and need not
	// be durable. For a missing queue it may return ErrQueueNotFound or nil.
	Report(ctx context.Context, r ConsumerReport, ttl time.Duration) error
	// Consumers returns the reports for a queue, or for all queues if queue is "", sorted
	// by queue, name and ID. It creates nothing.
	Consumers(ctx context.Context, queue string) ([]ConsumerReport, error)
}

// ConsumerReport is what a Consumer reports about itself.
type ConsumerReport struct {
	ID    string `json:"id"` // of the Consumer: no two have the same
	Queue string `json:"queue"`
	Name  string `json:"name"` // of its process

	Concurrency int    `json:"concurrency"`
	Running     int    `json:"running"` // handlers
	Paused      bool   `json:"paused,omitzero"`
	Done        int64  `json:"done"`   // messages acked since it began
	Failed      int64  `json:"failed"` // messages nacked, dead-lettered or lost since it began
	LastError   string `json:"lastError,omitzero"`

	Held    int           `json:"held"`             // leases
	Longest []HeldMessage `json:"longest,omitzero"` // those held longest, the longest first, at most 100

	Age time.Duration `json:"age"` // since the Consumer began, at the time of the report
	At  time.Time     `json:"-"`   // when it was stored, by the backend's clock
}

// HeldMessage is a message that a Consumer has leased.
type HeldMessage struct {
	ID  string        `json:"id"`
	For time.Duration `json:"for"` // how long, at the time of the report
}
