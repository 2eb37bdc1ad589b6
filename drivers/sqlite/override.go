package sqlite

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Override acts on messages in one transaction, in the order of their ids.
func (p *Provider) Override(ctx context.Context, name string, ids []string, s driver.Settlement) (n int64, err error) {
	if s.Op < driver.OpAck || s.Op > driver.OpMove {
		return 0, driver.ErrInvalid
	}
	numbers := parseIDs(ids)
	err = p.write(ctx, func(t *txn) error {
		n, err = t.override(name, numbers, &s)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (t *txn) override(name string, numbers []int64, item *driver.Settlement) (int64, error) {
	q, err := t.queue(name)
	if err != nil {
		return 0, err
	}
	states, err := t.statesOf(idsOf(q.id, numbers))
	if err != nil {
		return 0, err
	}
	s := &settlement{txn: t, q: q, name: name, states: states}
	ids := slices.Sorted(maps.Keys(states))
	for _, id := range ids {
		if item.Op == driver.OpNack {
			err = s.release(states[id], item.Delay)
		} else {
			err = s.one(states[id], item)
		}
		if err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), s.removeSettled()
}

// release makes a message visible, or delays it. The lease counts as an attempt that
// nobody has answered. A message that is visible already keeps its place.
func (s *settlement) release(m *state, delay time.Duration) error {
	due := min(m.due, s.now)
	if delay > 0 {
		due = later(s.now, delay)
	}
	if _, err := s.exec(sqlRelease, m.id, due); err != nil {
		return err
	}
	s.hide(s.q.id, m.due, m.lease != 0, -1)
	s.hide(s.q.id, due, false, 1)
	s.wake(s.name)
	return nil
}

// RemoveArchived deletes rows of the archive in one transaction.
func (p *Provider) RemoveArchived(ctx context.Context, name string, ids []string) (n int64, err error) {
	numbers := parseIDs(ids)
	err = p.write(ctx, func(t *txn) error {
		q, err := t.queue(name)
		if err != nil {
			return err
		}
		n, err = t.removeListed(q.id, idsOf(q.id, numbers))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (t *txn) removeListed(queue int64, ids []int64) (int64, error) {
	rows, err := t.archived(sqlArchived, idList(ids))
	if err != nil {
		return 0, err
	}
	var found []int64
	large := false
	for _, a := range rows {
		found = append(found, a.id)
		large = large || a.size > inlineBody
	}
	return int64(len(found)), t.removeArchived(queue, found, large)
}
