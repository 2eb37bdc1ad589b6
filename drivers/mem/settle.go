package mem

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Settle ends leases. It succeeds after the visibility timeout too, until the
// message is leased again.
func (p *Provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	q, err := p.queue(ctx, name)
	if err != nil {
		return err
	}
	receipts := make([]receipt, len(s))
	for i := range s {
		receipts[i] = parse(name, s[i].Receipt)
	}
	locked := p.store.targets(s)
	if locked == nil { // nothing is moved: there is one queue to lock
		q.lock()
		defer q.unlock()
	} else {
		locked = lockAll(append(locked, q))
		defer locked.unlock()
	}
	if q.dropped {
		return driver.ErrQueueNotFound
	}
	var errs []error
	for i := range s {
		to := locked.find(s[i].To)
		m, err := q.check(&s[i], receipts[i], to)
		if err != nil {
			errs = fail(errs, len(s), i, err)
			continue
		}
		q.settle(m, &s[i], to)
	}
	return driver.Batch(errs)
}

// fail notes the error of item i of n.
func fail(errs []error, n, i int, err error) []error {
	if errs == nil {
		errs = make([]error, n)
	}
	errs[i] = err
	return errs
}

// check returns the message that s settles, or why s cannot take effect.
func (q *queue) check(s *driver.Settlement, r receipt, to *queue) (*message, error) {
	if s.Op < driver.OpAck || s.Op > driver.OpMove {
		return nil, driver.ErrInvalid
	}
	m, err := q.find(r)
	if err == nil && s.Op == driver.OpMove && (to == nil || to.dropped) {
		return nil, driver.ErrQueueNotFound
	}
	return m, err
}

// leavesLease reports whether s is the nack that does nothing.
func leavesLease(s *driver.Settlement) bool {
	return s.Op == driver.OpNack && s.Delay == driver.AtTimeout
}

// settle carries out a settlement that was checked.
func (q *queue) settle(m *message, s *driver.Settlement, to *queue) {
	if leavesLease(s) {
		return
	}
	switch s.Op {
	case driver.OpAck:
		q.remove(m)
	case driver.OpNack:
		m.answer(s.Uncounted)
		m.headers = m.with(driver.HeaderError, s.Reason).headers // no more than that: Send may still be reading the id
		q.release(m, s.Delay)
	case driver.OpArchive:
		q.remove(m)
		q.archive.put(m.id, &archived{
			content: m.with(driver.HeaderReason, s.Reason),
			tally:   m.tally,
			due:     m.due,
			at:      q.now,
		})
	case driver.OpMove:
		q.remove(m)
		to.insertCopy(m.renewed().with(driver.HeaderReason, s.Reason).with(driver.HeaderOrigin, q.origin(m.id)))
	}
}

// origin names a message of q for good.
func (q *queue) origin(id uint64) string { return q.name + "/" + formatID(id) }

// Extend makes leases end d from now. It is too late once they have ended.
func (p *Provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	q, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer q.unlock()
	var errs []error
	for i, r := range rs {
		m, err := q.find(parse(name, r))
		if err == nil && m.state != leased {
			err = driver.ErrStaleReceipt
		}
		if err != nil {
			errs = fail(errs, len(rs), i, err)
			continue
		}
		q.put(m, leased, later(q.now, d))
	}
	return driver.Batch(errs)
}

// targets returns the queues that messages are to be moved to, as far as they
// exist.
func (s *store) targets(settlements []driver.Settlement) queues {
	var qs queues
	for i := range settlements {
		if settlements[i].Op != driver.OpMove {
			continue
		}
		if q := s.queue(settlements[i].To); q != nil {
			qs = append(qs, q)
		}
	}
	return qs
}

// queues are locked in the order of their making, so that no two calls wait
// for each other.
type queues []*queue

// lockAll locks qs, which may repeat.
func lockAll(qs queues) queues {
	slices.SortFunc(qs, func(a, b *queue) int { return cmp.Compare(a.incarnation, b.incarnation) })
	qs = slices.Compact(qs)
	for _, q := range qs {
		q.lock()
	}
	return qs
}

func (qs queues) unlock() {
	for _, q := range qs {
		q.unlock()
	}
}

func (qs queues) find(name string) *queue {
	for _, q := range qs {
		if q.name == name {
			return q
		}
	}
	return nil
}
