package linear

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// Target is a way to a queue. Its errors are those of package driver.
type Target interface {
	Send(ctx context.Context, msgs []driver.Message) ([]string, error)
	Receive(ctx context.Context, limit int, visibility time.Duration) ([]driver.Delivery, error)
	Settle(ctx context.Context, s []driver.Settlement) error
	Extend(ctx context.Context, rs []driver.Receipt, d time.Duration) error
	Browse(ctx context.Context, archive bool) ([]driver.Record, error)
	Stats(ctx context.Context) (driver.Stats, error)
}

// Provider is the way of a provider's own methods, without package mq.
func Provider(p driver.Provider, queue string) Target { return direct{p, queue} }

type direct struct {
	driver.Provider
	queue string
}

func (d direct) Send(ctx context.Context, msgs []driver.Message) ([]string, error) {
	return d.Provider.Send(ctx, d.queue, msgs)
}

func (d direct) Receive(ctx context.Context, limit int, visibility time.Duration) ([]driver.Delivery, error) {
	return d.Provider.Receive(ctx, d.queue, driver.ReceiveRequest{Max: limit, Visibility: visibility})
}

func (d direct) Settle(ctx context.Context, s []driver.Settlement) error {
	return d.Provider.Settle(ctx, d.queue, s)
}

func (d direct) Extend(ctx context.Context, rs []driver.Receipt, v time.Duration) error {
	return d.Provider.Extend(ctx, d.queue, rs, v)
}

func (d direct) Browse(ctx context.Context, archive bool) ([]driver.Record, error) {
	b, ok := d.Provider.(driver.Browser)
	if !ok {
		return nil, driver.ErrNotSupported
	}
	return b.Browse(ctx, d.queue, driver.BrowseRequest{Archive: archive, Limit: 10 * maxMessages})
}

func (d direct) Stats(ctx context.Context) (driver.Stats, error) {
	return d.Provider.Stats(ctx, d.queue)
}

// Queue is the way through package mq, which merges, splits and repeats calls.
func Queue(q *mq.Queue) Target { return through{q} }

type through struct{ q *mq.Queue }

func (t through) Send(ctx context.Context, msgs []driver.Message) ([]string, error) {
	all := make([]*mq.Message, len(msgs))
	for i, m := range msgs {
		all[i] = &mq.Message{Body: m.Body, Delay: m.Delay}
	}
	return t.q.SendAll(ctx, all)
}

func (t through) Receive(ctx context.Context, limit int, visibility time.Duration) ([]driver.Delivery, error) {
	ds, err := t.q.Receive(ctx, mq.ReceiveOptions{Max: limit, Visibility: visibility})
	out := make([]driver.Delivery, len(ds))
	for i, d := range ds {
		out[i] = driver.Delivery{
			Message: driver.Message{Body: d.Body, Headers: d.Headers}, ID: d.ID, Receipt: d.Receipt,
			ReadCount: d.ReadCount, Attempt: d.Attempt, EnqueuedAt: d.EnqueuedAt,
		}
	}
	return out, err
}

func (t through) Settle(ctx context.Context, s []driver.Settlement) error {
	return t.q.Settle(ctx, s...)
}

func (t through) Extend(ctx context.Context, rs []driver.Receipt, d time.Duration) error {
	return t.q.Extend(ctx, d, rs...)
}

func (t through) Browse(ctx context.Context, archive bool) ([]driver.Record, error) {
	look := t.q.Peek
	if archive {
		look = t.q.Archived
	}
	rs, err := look(ctx, mq.BrowseOptions{})
	out := make([]driver.Record, len(rs))
	for i, r := range rs {
		out[i] = driver.Record{
			Message: driver.Message{Body: r.Body, Headers: r.Headers}, ID: r.ID, State: r.State,
			ReadCount: r.ReadCount, Attempt: r.Attempt, EnqueuedAt: r.EnqueuedAt,
		}
	}
	return out, err
}

func (t through) Stats(ctx context.Context) (driver.Stats, error) { return t.q.Stats(ctx) }

// ended reports whether err is the end of a context.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// errorsOf returns the errors of the n items of a batch.
func errorsOf(err error, n int) []error {
	errs := make([]error, n)
	if batch := (*driver.BatchError)(nil); errors.As(err, &batch) {
		if len(batch.Errs) != n {
			err = fmt.Errorf("%d errors for %d items: %w", len(batch.Errs), n, err)
		} else {
			return batch.Errs
		}
	}
	for i := range errs {
		errs[i] = err
	}
	return errs
}
