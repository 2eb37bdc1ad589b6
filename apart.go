package mq

import (
	"context"
	"errors"
	"fmt"

	"github.com/portmq/mq/driver"
)

// search finds the items for whose sake a backend refuses a batch, by halves,
// so that the others take effect: one of a thousand costs twenty flights.
type search[T any] struct {
	lane    *lane[T]
	ctx     context.Context
	items   []T
	ids     []string
	errs    []error
	taken   bool  // the backend has taken some
	refused int   // items that were refused alone
	stop    error // why nothing more is tried
}

// maxRefused is how many items may be refused alone, with none taken, before
// the fault is seen to be nobody's in particular.
const maxRefused = 16

// search settles what becomes of items that were refused together with err.
func (l *lane[T]) search(ctx context.Context, items []T, err error) ([]string, error) {
	s := &search[T]{
		lane: l, ctx: ctx, items: items,
		ids: make([]string, len(items)), errs: make([]error, len(items)),
	}
	s.halve(0, len(items), err)
	if err := driver.Batch(s.errs); err != nil {
		return s.ids, &providerError{err}
	}
	return s.ids, nil
}

// halve tries the halves of items that were refused together, in order.
func (s *search[T]) halve(from, to int, err error) {
	switch {
	case to-from == 1:
		s.refused++
		s.fail(from, to, err)
	case !s.taken && s.refused >= maxRefused:
		s.fail(from, to, err)
	default:
		middle := from + (to-from)/2
		s.try(from, middle)
		s.try(middle, to)
	}
}

func (s *search[T]) try(from, to int) {
	if s.stop != nil {
		s.fail(from, to, s.stop)
		return
	}
	ids, err := s.lane.flyOnce(s.ctx, s.items[from:to])
	copy(s.ids[from:to], ids)
	batch := (*BatchError)(nil)
	switch {
	case err == nil:
		s.taken = true
	case errors.As(err, &batch):
		s.taken = true
		copy(s.errs[from:to], batch.Errs)
	case divisible(err):
		s.halve(from, to, err)
	default:
		s.fail(from, to, err)
		s.stop = notTried(err)
	}
}

// notTried is the error of items that come after one that ended the search:
// they were refused once, and certainly not applied.
func notTried(err error) error {
	if definite(err) {
		return cause(err)
	}
	return fmt.Errorf("%w (%w)", errNotTried, ErrBadConn)
}

func (s *search[T]) fail(from, to int, err error) {
	for i := from; i < to; i++ {
		s.errs[i] = cause(err)
	}
}

// cause returns what the provider said.
func cause(err error) error {
	if p, ok := err.(*providerError); ok {
		return p.err
	}
	return err
}

// divisible reports whether parts of a rejected batch may fare better alone.
func divisible(err error) bool {
	if batch := (*BatchError)(nil); errors.As(err, &batch) {
		return false
	}
	for _, whole := range []error{ErrQueueNotFound, ErrClosed, ErrNotSupported} {
		if errors.Is(err, whole) {
			return false
		}
	}
	return definite(err)
}

// share returns one part's results out of a flight's.
func share(ids []string, err error, at, n int) ([]string, error) {
	if len(ids) >= at+n {
		ids = ids[at : at+n : at+n]
	}
	if err == nil {
		return ids, nil
	}
	batch := (*BatchError)(nil)
	if !errors.As(err, &batch) || len(batch.Errs) < at+n {
		return ids, err
	}
	if err := driver.Batch(batch.Errs[at : at+n]); err != nil {
		return ids, &providerError{err}
	}
	return ids, nil
}

// itemError returns the error of item i of a batch that failed with err.
func itemError(err error, i int) error {
	if err == nil {
		return nil
	}
	if batch := (*BatchError)(nil); errors.As(err, &batch) && i < len(batch.Errs) {
		if err := batch.Errs[i]; err != nil {
			return &providerError{err}
		}
		return nil
	}
	return err
}
