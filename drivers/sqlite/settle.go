package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Settle ends leases. It succeeds after the visibility timeout too, until the message
// is leased again.
func (p *Provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	b, done, err := newBatch(name, s)
	if done {
		return err
	}
	errs := b.errs
	err = p.write(ctx, func(t *txn) error {
		errs, err = t.settle(b)
		return err
	})
	if err != nil {
		return err
	}
	return driver.Batch(errs)
}

// batch are settlements whose receipts were parsed.
type batch struct {
	name     string
	items    []driver.Settlement
	receipts []receipt
	errs     []error // of those that are not to be carried out
	acks     bool    // all are acks
}

// newBatch parses the receipts. done says that there is nothing to do but to return
// the error.
func newBatch(name string, s []driver.Settlement) (b batch, done bool, err error) {
	b = batch{name: name, items: s, receipts: make([]receipt, len(s)), errs: make([]error, len(s))}
	done, b.acks = true, true
	for i := range s {
		b.acks = b.acks && s[i].Op == driver.OpAck
		if b.receipts[i], b.errs[i] = parseReceipt(name, s[i].Receipt); b.errs[i] != nil {
			continue
		}
		switch {
		case s[i].Op < driver.OpAck || s[i].Op > driver.OpMove:
			b.errs[i] = driver.ErrInvalid
		case s[i].Op != driver.OpNack || s[i].Delay != driver.AtTimeout:
			done = false
		}
	}
	return b, done, driver.Batch(b.errs)
}

// state is what a settlement depends on.
type state struct {
	id, due, lease, reads, uncounted, answered, unanswered, size int64

	leased, grouped bool
}

// states returns the states of the messages that the receipts name, by id.
func (t *txn) states(q queueRow, receipts []receipt) (map[int64]*state, error) {
	ids := make([]int64, 0, len(receipts))
	for _, r := range receipts {
		if r.mark == q.mark {
			ids = append(ids, messageID(q.id, r.number))
		}
	}
	return t.statesOf(ids)
}

// statesOf returns the states of those of ids that are in the queue.
func (t *txn) statesOf(ids []int64) (map[int64]*state, error) {
	found := make(map[int64]*state, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	err := t.query(func(rows *sql.Rows) error {
		s := new(state)
		err := rows.Scan(&s.id, &s.due, &s.lease, &s.reads, &s.uncounted, &s.answered, &s.unanswered, &s.size, &s.grouped)
		found[s.id] = s
		return err
	}, sqlStates, idList(ids))
	return found, err
}

// check returns the state of the message that r has leased, or why there is no lease.
func check(q queueRow, states map[int64]*state, r receipt) (*state, error) {
	if r.mark != q.mark {
		return nil, driver.ErrStaleReceipt // of a queue of that name that was dropped
	}
	s := states[messageID(q.id, r.number)]
	switch {
	case s == nil:
		return nil, driver.ErrMessageNotFound
	case s.lease != r.lease || s.reads != r.reads:
		return nil, driver.ErrStaleReceipt
	}
	return s, nil
}

// settlement is a batch under way: of receipts, or of ids, whose messages may have no lease.
type settlement struct {
	*txn
	q      queueRow
	name   string
	states map[int64]*state
	acked  []int64
	moved  []int64 // their bodies live on in the archive or under another id
	large  bool    // one that is acked has its body in a row of its own
}

// settle carries out a batch and returns the errors of its items.
func (t *txn) settle(b batch) ([]error, error) {
	q, err := t.queue(b.name)
	if err != nil {
		return nil, err
	}
	errs := slices.Clone(b.errs)
	var todo []int
	for i := range errs {
		if errs[i] == nil {
			todo = append(todo, i)
		}
	}
	if b.acks {
		if todo, err = t.ack(q, b, todo); err != nil {
			return nil, err
		}
	}
	if len(todo) == 0 {
		return errs, nil
	}
	return errs, t.settleEach(q, b, todo, errs)
}

// How a receipt is put into one number.
const (
	readBits  = 12
	leaseBits = 11
)

// ack acks items whose leases are in order in one statement, and returns the others.
func (t *txn) ack(q queueRow, b batch, items []int) (rest []int, err error) {
	at := make(map[int64]int, len(items))
	var values []int64
	for _, i := range items {
		r := b.receipts[i]
		id := messageID(q.id, r.number)
		if _, again := at[id]; again || r.mark != q.mark || r.reads >= 1<<readBits || r.lease >= 1<<leaseBits {
			continue
		}
		at[id] = i
		values = append(values, (r.number<<readBits|r.reads)<<leaseBits|r.lease)
	}
	var large []int64
	done := make(map[int]bool, len(items))
	err = t.query(func(rows *sql.Rows) error {
		var id, due, size int64
		err := rows.Scan(&id, &due, &size)
		t.hide(q.id, due, true, -1)
		done[at[id]] = true
		if size > inlineBody {
			large = append(large, id)
		}
		return err
	}, sqlAck, idList(values), messageID(q.id, 0))
	if err == nil && len(large) > 0 {
		_, err = t.exec(sqlDeleteBodies, idList(large))
	}
	t.counts.of(q.id).total -= int64(len(done))
	t.freed(b.name, q)
	return slices.DeleteFunc(items, func(i int) bool { return done[i] }), err
}

// settleEach carries out items one by one.
func (t *txn) settleEach(q queueRow, b batch, items []int, errs []error) error {
	states, err := t.states(q, b.receipts)
	if err != nil {
		return err
	}
	s := &settlement{txn: t, q: q, name: b.name, states: states}
	for _, i := range items {
		m, err := check(q, states, b.receipts[i])
		if err == nil {
			err = s.one(m, &b.items[i])
		}
		if err != nil && !ours(err) {
			return err
		}
		errs[i] = err
	}
	return s.removeSettled()
}

// removeSettled removes the messages that were acked, archived or moved.
func (s *settlement) removeSettled() error {
	if err := s.remove(s.q, s.acked, s.large); err != nil {
		return err
	}
	return s.remove(s.q, s.moved, false)
}

// one carries out one settlement. The acked are removed together in the end.
func (s *settlement) one(m *state, item *driver.Settlement) error {
	if item.Op == driver.OpNack && item.Delay == driver.AtTimeout {
		return nil
	}
	s.freed(s.name, s.q)
	switch item.Op {
	case driver.OpAck:
		s.acked = append(s.acked, m.id)
		s.large = s.large || m.size > inlineBody
	case driver.OpNack:
		return s.nack(m, item)
	case driver.OpArchive:
		if _, err := s.exec(sqlArchive, m.id, s.now, item.Reason); err != nil {
			return err
		}
		s.counts.of(s.q.id).archived++
		s.moved = append(s.moved, m.id)
	case driver.OpMove:
		if err := s.move(m, item); err != nil {
			return err
		}
		s.moved = append(s.moved, m.id)
	}
	s.hide(s.q.id, m.due, m.lease != 0, -1)
	delete(s.states, m.id)
	return nil
}

func (s *settlement) nack(m *state, item *driver.Settlement) error {
	before := int64(0)
	if item.Uncounted {
		before = unanswered(m.unanswered, m.reads, m.answered)
		m.uncounted++
	}
	due := later(s.now, item.Delay)
	if _, err := s.exec(sqlNack, m.id, due, m.uncounted, before, item.Reason); err != nil {
		return err
	}
	s.hide(s.q.id, m.due, true, -1)
	s.hide(s.q.id, due, false, 1)
	m.lease = 0
	s.wake(s.name)
	return nil
}

// move makes a new message in another queue.
func (s *settlement) move(m *state, item *driver.Settlement) error {
	grouped := 0
	if m.grouped {
		grouped = 1
	}
	to, number, err := s.reserve(item.To, 1, grouped)
	if err != nil {
		return err
	}
	id := messageID(to.id, number)
	origin := s.name + "/" + formatID(m.id)
	if _, err := s.exec(sqlMove, m.id, id, to.id, s.now, origin, item.Reason); err != nil {
		return err
	}
	if m.size > inlineBody {
		if _, err := s.exec(sqlMoveBody, m.id, id); err != nil {
			return err
		}
	}
	s.wake(item.To)
	return s.enter(to, number, number)
}

// Extend makes leases end d from now. It is too late once they have ended.
func (p *Provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	receipts, errs := make([]receipt, len(rs)), make([]error, len(rs))
	valid := false
	for i, r := range rs {
		receipts[i], errs[i] = parseReceipt(name, r)
		valid = valid || errs[i] == nil
	}
	if !valid {
		return driver.Batch(errs)
	}
	var result []error
	err := p.write(ctx, func(t *txn) (err error) {
		result, err = t.extend(name, receipts, errs, d)
		return err
	})
	if err != nil {
		return err
	}
	return driver.Batch(result)
}

func (t *txn) extend(name string, receipts []receipt, invalid []error, d time.Duration) ([]error, error) {
	q, err := t.queue(name)
	if err != nil {
		return nil, err
	}
	states, err := t.states(q, receipts)
	if err != nil {
		return nil, err
	}
	due := later(t.now, d)
	var ids []int64
	errs := make([]error, len(receipts))
	for i, r := range receipts {
		if errs[i] = invalid[i]; errs[i] != nil {
			continue
		}
		m, err := check(q, states, r)
		if err == nil && m.due <= t.now {
			err = driver.ErrStaleReceipt
		}
		if errs[i] = err; err == nil {
			t.hide(q.id, m.due, true, -1)
			t.hide(q.id, due, true, 1)
			m.due = due
			ids = append(ids, m.id)
		}
	}
	if len(ids) == 0 {
		return errs, nil
	}
	t.wake(name) // it may end earlier
	_, err = t.exec(sqlExtend, idList(ids), due)
	return errs, err
}
