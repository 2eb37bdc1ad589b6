package mq

import (
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

// Pop receives and deletes up to limit messages in one step: at most once. A
// crash after it loses them, and they need not be settled. A limit of 0 is
// ErrInvalid.
func (q *Queue) Pop(ctx context.Context, limit int) ([]*Delivery, error) {
	call := &Call{Op: "pop"}
	err := q.do(ctx, call, func(ctx context.Context) error {
		popper, err := optional[driver.Popper](q.client.provider)
		if err != nil {
			return err
		}
		if limit, err = checkLimit(q.client.caps, "limit", limit, 0); err != nil {
			return err
		}
		if limit == 0 {
			return invalid("limit is 0: say how many messages to delete")
		}
		var ds []driver.Delivery
		err = q.client.look(ctx, func(ctx context.Context) (err error) {
			ds, err = popper.Pop(ctx, q.name, limit)
			return err
		})
		for _, d := range ds {
			out := newDelivery(d, q)
			out.lease.state = settled
			call.Deliveries = append(call.Deliveries, out)
		}
		return err
	})
	return call.Deliveries, err
}

// Purge removes every message of the queue, leased and delayed ones included,
// and returns how many. The archive is left alone.
func (q *Queue) Purge(ctx context.Context) (n int64, err error) {
	err = q.do(ctx, &Call{Op: "purge"}, func(ctx context.Context) error {
		m, err := optional[driver.QueueManager](q.client.provider)
		if err != nil {
			return err
		}
		return q.client.labour(ctx, "purge", q.name, func(ctx context.Context) (err error) {
			n, err = m.PurgeQueue(ctx, q.name)
			return err
		})
	})
	return n, err
}

// Stats counts the queue's messages. Figures the provider cannot tell are -1.
func (q *Queue) Stats(ctx context.Context) (s Stats, err error) {
	err = q.do(ctx, &Call{Op: "stats"}, func(ctx context.Context) error {
		return q.client.look(ctx, func(ctx context.Context) (err error) {
			s, err = q.client.provider.Stats(ctx, q.name)
			return err
		})
	})
	return s, err
}

// RedriveOptions choose what Redrive returns to the queue.
type RedriveOptions struct {
	// IDs are the records to redrive; nil means the oldest ones.
	IDs []string
	// Limit is the most that is redriven. Defaults to the number of IDs, or
	// to Caps.MaxBatch without any.
	Limit int
}

// Redrive moves archived messages back to the queue as new messages, visible
// at once, and returns how many.
func (q *Queue) Redrive(ctx context.Context, o RedriveOptions) (n int64, err error) {
	err = q.do(ctx, &Call{Op: "redrive"}, func(ctx context.Context) error {
		a, err := optional[driver.Archivist](q.client.provider)
		if err != nil {
			return err
		}
		limit := o.Limit
		switch {
		case limit < 0:
			return invalid("Limit %d is negative", limit)
		case limit == 0 && o.IDs != nil:
			limit = len(o.IDs)
		case limit == 0:
			limit = q.client.caps.BatchLimit()
		}
		if o.IDs != nil && len(o.IDs) == 0 {
			return nil
		}
		return q.client.labour(ctx, "redrive", q.name, func(ctx context.Context) (err error) {
			n, err = a.Redrive(ctx, q.name, o.IDs, limit)
			return err
		})
	})
	return n, err
}

// AnyAge, as the age of PurgeArchive, deletes the whole archive.
const AnyAge time.Duration = -1

// PurgeArchive deletes what has been in the archive for olderThan or longer, and
// returns how many. AnyAge deletes everything; 0 is ErrInvalid.
func (q *Queue) PurgeArchive(ctx context.Context, olderThan time.Duration) (n int64, err error) {
	err = q.do(ctx, &Call{Op: "purge archive"}, func(ctx context.Context) error {
		a, err := optional[driver.Archivist](q.client.provider)
		if err != nil {
			return err
		}
		if olderThan < 0 && olderThan != AnyAge || olderThan == 0 {
			return invalid("olderThan %v is not positive (AnyAge deletes the whole archive)", olderThan)
		}
		return q.client.labour(ctx, "purge archive", q.name, func(ctx context.Context) (err error) {
			n, err = a.PurgeArchive(ctx, q.name, max(olderThan, 0))
			return err
		})
	})
	return n, err
}
