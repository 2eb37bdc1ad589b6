package pgmq

import (
	"fmt"
	"math"
	"time"

	"github.com/portmq/mq/driver"
)

// QueueOptions are the options of EnsureQueue that this driver alone has. They go
// into mq.QueueOptions.Drivers.
type QueueOptions struct {
	// NotifyInterval is how often, at most, messages that other programs insert
	// wake receivers that wait, to the millisecond. 0 means
	// DefaultNotifyInterval for a new queue, and leaves an existing one as it is.
	// Any other value is set on an existing queue as well, which takes its owner
	// and a moment in which nobody uses the table; other clients notice within
	// minutes. NoNotify makes receivers poll.
	NotifyInterval time.Duration
	// GroupIndexes are the groupings that receivers will use. Each gets the
	// indexes that it lacks, on an existing queue as well. With a Limit above 1 the
	// second of the two indexes is a different one, the same for every such limit.
	GroupIndexes []driver.GroupBy
	// Unlogged creates an unlogged table, for faster sends. A crash of the server
	// deletes its messages, and no standby has them: Caps.Durable does not hold for it.
	// The archive is an ordinary table. An existing queue must be unlogged.
	Unlogged bool
	// Partitioned creates a partitioned queue. It needs pg_partman beside PGMQ. An
	// existing queue must be partitioned; its intervals are not compared.
	Partitioned *Partitioning
}

// Partitioning is what pgmq.create_partitioned takes: numbers of messages, such as
// "10000", or intervals, such as "1 day". pg_partman's maintenance drops partitions
// that are older than Retention with all that is in them, leased messages included.
type Partitioning struct {
	Interval  string // of one partition; "" means "10000"
	Retention string // "" means "100000"
}

const (
	// DefaultNotifyInterval is that of PGMQ.
	DefaultNotifyInterval = 250 * time.Millisecond
	// NoNotify, as QueueOptions.NotifyInterval, makes a queue that notifies nobody of
	// other programs' messages: receivers poll for them.
	NoNotify time.Duration = -1
)

// DriverName returns "pgmq".
func (QueueOptions) DriverName() string { return "pgmq" }

// ownOptions returns the options that are for this driver.
func ownOptions(o driver.QueueOptions) (own QueueOptions, err error) {
	own, err = driver.OptionsOf[QueueOptions](o)
	switch {
	case err != nil:
		return own, err
	case own.NotifyInterval < 0 && own.NotifyInterval != NoNotify || own.NotifyInterval.Milliseconds() > math.MaxInt32:
		return own, fmt.Errorf("%w: NotifyInterval %v is neither positive nor NoNotify, or too long", driver.ErrInvalid, own.NotifyInterval)
	case own.Unlogged && own.Partitioned != nil:
		return own, fmt.Errorf("%w: a queue cannot be both unlogged and partitioned", driver.ErrInvalid)
	}
	return own, nil
}

// millis returns the interval of the trigger in milliseconds, 0 if there is to be
// none. An interval of 0 would make senders wait for each other.
func (o QueueOptions) millis() int64 {
	switch o.NotifyInterval {
	case NoNotify:
		return 0
	case 0:
		return DefaultNotifyInterval.Milliseconds()
	}
	return max(1, o.NotifyInterval.Milliseconds())
}

// possible returns an error for options that a new queue cannot have in this
// database.
func (o QueueOptions) possible(has installed) error {
	switch {
	case o.NotifyInterval > 0 && !has.mayNotify():
		return fmt.Errorf("%w: NotifyInterval needs PGMQ 1.8, and a role that may create functions in schema pgmq and insert into pgmq.notify_insert_throttle", driver.ErrNotSupported)
	case o.Unlogged && has.create && !has.unlogged:
		return fmt.Errorf("%w: this PGMQ has no pgmq.create_unlogged (upgrade it)", driver.ErrNotSupported)
	case o.Partitioned != nil && !has.partitioned:
		return fmt.Errorf("%w: partitioned queues need PGMQ and the extension pg_partman (CREATE EXTENSION pg_partman)", driver.ErrNotSupported)
	}
	return nil
}

// conflict returns an error if an existing queue is of another kind than o asks
// for: EnsureQueue does not rewrite tables.
func (o QueueOptions) conflict(queue string, s shape, c condition) error {
	switch {
	case o.Unlogged && !c.unlogged:
		return fmt.Errorf("%w: queue %q exists and is not unlogged (drop it, or ALTER TABLE ... SET UNLOGGED)", driver.ErrNotSupported, queue)
	case o.Partitioned != nil && !s.partitioned:
		return fmt.Errorf("%w: queue %q exists and is not partitioned (move its messages into another queue)", driver.ErrNotSupported, queue)
	}
	return nil
}
