package mq

import (
	"log/slog"
	"math"
	"time"

	"github.com/portmq/mq/driver"
)

// The values that users and drivers share. Each is documented in package
// driver.
type (
	// Message is what is sent: Body, Headers, Group, Delay.
	Message = driver.Message
	// Headers are a message's attributes, a carrier for trace propagation.
	Headers = driver.Headers
	// Receipt names one lease of one message of one queue.
	Receipt = driver.Receipt
	// Settlement ends one lease, by receipt: see Queue.Settle.
	Settlement = driver.Settlement
	// Record is a message that was looked at, not leased.
	Record = driver.Record
	// Stats describe a queue at one moment.
	Stats = driver.Stats
	// QueueOptions say how EnsureQueue makes a queue.
	QueueOptions = driver.QueueOptions
	// DriverOptions are a driver's own options of a queue, in QueueOptions.
	DriverOptions = driver.DriverOptions
	// GroupBy says what makes two messages one FIFO group.
	GroupBy = driver.GroupBy
	// SQLTx is what mq needs of a transaction: *sql.Tx has it.
	SQLTx = driver.SQLTx
)

// What a Settlement does.
const (
	OpAck     = driver.OpAck
	OpNack    = driver.OpNack
	OpArchive = driver.OpArchive
	OpMove    = driver.OpMove
)

const (
	// AtTimeout, as the delay of a nack, leaves the message to its visibility
	// timeout.
	AtTimeout = driver.AtTimeout
	// Forever, as a Wait, waits until there is a message or ctx ends.
	Forever time.Duration = math.MaxInt64
)

// Delivery is a message that was leased by a receive. Until its visibility
// timeout ends nobody else gets it; then it is delivered again. Settle it with
// Ack, Nack, Archive, Move or AckTx.
//
// A Delivery settles once: when a settlement has succeeded the next one
// answers ErrStaleReceipt without any I/O. One that failed may be repeated.
// The methods are safe for concurrent use; the fields belong to the receiver.
type Delivery struct {
	driver.Delivery

	queue *Queue
	lease lease
}

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

// Queue returns the queue the delivery came from.
func (d *Delivery) Queue() *Queue { return d.queue }
