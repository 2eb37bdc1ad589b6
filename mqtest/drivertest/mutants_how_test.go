package drivertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// How mutants are made.

var errMutant = errors.New("something is wrong")

// perItem settles or extends one by one.
func perItem(n int, f func(i int) error) error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = itemOf(f(i), 0)
	}
	return driver.Batch(errs)
}

// replaced is err with from replaced by to, item by item.
func replaced(err, from, to error) error {
	if batch := (*driver.BatchError)(nil); errors.As(err, &batch) {
		return perItem(len(batch.Errs), func(i int) error { return replaced(batch.Errs[i], from, to) })
	}
	if errors.Is(err, from) {
		return to
	}
	return err
}

// answering makes the mutant answer to instead of from to settlements and
// extensions.
func answering(from, to error) func(*mutant) {
	return func(m *mutant) {
		m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
			return replaced(m.Provider.Settle(ctx, queue, s), from, to)
		}
		m.extend = func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
			return replaced(m.Provider.Extend(ctx, queue, rs, d), from, to)
		}
	}
}

// showing changes deliveries on their way out.
func showing(change func(*driver.Delivery)) func(*mutant) {
	return func(m *mutant) {
		m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			ds, err := m.Provider.Receive(ctx, queue, r)
			for i := range ds {
				change(&ds[i])
			}
			return ds, err
		}
	}
}

// asking changes what is asked for on the way in.
func asking(change func(*driver.ReceiveRequest)) func(*mutant) {
	return func(m *mutant) {
		m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			change(&r)
			return m.Provider.Receive(ctx, queue, r)
		}
	}
}

// settling changes settlements on their way in.
func settling(change func(*mutant, *driver.Settlement)) func(*mutant) {
	return func(m *mutant) {
		m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
			s = slices.Clone(s)
			for i := range s {
				change(m, &s[i])
			}
			return m.Provider.Settle(ctx, queue, s)
		}
	}
}

// storing changes messages on their way in.
func storing(change func(*driver.Message)) func(*mutant) {
	return func(m *mutant) {
		m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
			msgs = slices.Clone(msgs)
			for i := range msgs {
				change(&msgs[i])
			}
			return m.Provider.Send(ctx, queue, msgs)
		}
	}
}

// archiving changes archived records on their way out.
func archiving(change func(*driver.Record)) func(*mutant) {
	return func(m *mutant) {
		m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
			rs, err := m.Provider.Browse(ctx, queue, r)
			for i := range rs {
				if r.Archive {
					change(&rs[i])
				}
			}
			return rs, err
		}
	}
}
