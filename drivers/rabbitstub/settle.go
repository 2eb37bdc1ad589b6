package rabbitstub

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// Settle ends leases. To archive a message, or to nack it with a delay, a reason
// or uncounted, takes two steps: a copy is published, and then the message is
// acked.
func (p *Provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.broker.unlock()
	errs := make([]error, len(s))
	var rs []replacement
	for i := range s {
		if leavesLease(&s[i]) {
			_, errs[i] = p.own(name, s[i].Receipt)
			continue
		}
		m, err := p.find(name, s[i].Receipt)
		if err == nil && s[i].Delay > 0 {
			err = checkDelayed(name)
		}
		switch {
		case err != nil:
			errs[i] = err
		case p.broker.copies(&s[i]):
			p.broker.hold(m)
			rs = append(rs, replacement{i, &s[i], m.lease, m, m.copy()})
		default:
			errs[i] = p.broker.settle(m, s[i].Op)
		}
	}
	p.replace(ctx, rs, errs)
	return driver.Batch(errs)
}

// leavesLease reports whether s is the nack that does nothing. It may come
// after the timeout as well.
func leavesLease(s *driver.Settlement) bool {
	return s.Op == driver.OpNack && s.Delay == driver.AtTimeout
}

// copies reports whether s takes two steps. Where publishers are blocked a nack
// without a delay does with one, and changes no headers.
func (b *Broker) copies(s *driver.Settlement) bool {
	switch {
	case s.Op != driver.OpNack:
		return s.Op == driver.OpArchive
	case s.Delay > 0:
		return true
	}
	return !b.blocked && (s.Uncounted || s.Reason != "")
}

// settle carries out what takes one step.
func (b *Broker) settle(m *message, op driver.Op) error {
	switch op {
	case driver.OpAck:
		b.release(m)
	case driver.OpNack:
		b.giveBack(m)
	default:
		return driver.ErrNotSupported
	}
	return nil
}

// replacement is item i of a batch, which publishes a copy of m.
type replacement struct {
	i     int
	s     *driver.Settlement
	lease uint64
	m     *message
	copy  *message
}

// replace carries out rs, and notes their errors.
func (p *Provider) replace(ctx context.Context, rs []replacement, errs []error) {
	if len(rs) == 0 {
		return
	}
	err := p.publish(ctx, func() error {
		for _, r := range rs {
			errs[r.i] = p.broker.putCopy(r.copy, r.s)
		}
		return nil
	})
	for _, r := range rs {
		switch {
		case p.leases[r.lease] != r.m: // lost while publishers were blocked
			errs[r.i] = cmp.Or(err, errs[r.i], driver.ErrStaleReceipt)
		case cmp.Or(err, errs[r.i]) != nil:
			p.broker.letGo(r.m)
			errs[r.i] = cmp.Or(err, errs[r.i])
		default:
			p.broker.release(r.m)
		}
	}
}

// putCopy publishes the copy that s asks for. Reads of an archived message
// begin anew.
func (b *Broker) putCopy(m *message, s *driver.Settlement) error {
	if s.Op == driver.OpNack {
		b.putNacked(m, s)
		return nil
	}
	a := b.queues[archiveOf(m.queue)]
	if a == nil {
		return errNoArchive
	}
	m.queue, m.tally = a.name, tally{}
	b.route(m.with(driver.HeaderReason, s.Reason))
	return nil
}

func (b *Broker) putNacked(m *message, s *driver.Settlement) {
	unanswered := m.unanswered()
	if m.answered, m.before = m.reads, 0; s.Uncounted {
		m.uncounted++
		m.before = unanswered
	}
	b.put(m.with(driver.HeaderError, s.Reason), s.Delay)
}

var errNoArchive = fmt.Errorf("%w: the queue has no archive (EnsureQueue makes it)", driver.ErrNotSupported)

// Extend makes leases end d from now, but no later than maxHold after they
// began.
func (p *Provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	b := p.broker
	defer b.unlock()
	errs := make([]error, len(rs))
	for i, r := range rs {
		m, err := p.find(name, r)
		if err == nil {
			m.due = earlier(b.now.Add(d), m.leasedAt.Add(maxHold))
			b.deadlines.fix(m)
		}
		errs[i] = err
	}
	return driver.Batch(errs)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
