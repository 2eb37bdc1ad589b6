package pgmq

import (
	"context"
	"errors"
	"strconv"

	"github.com/portmq/mq/driver"
)

// Override settles by receipts without a fence. A nack of a message that has been received
// adds a microsecond to its time of sending: receipts contain that time, so those of the
// old lease are stale at once. Receipts of a message whose time is infinite do not, and
// become stale when the message is leased again.
func (p *Provider) Override(ctx context.Context, name string, ids []string, s driver.Settlement) (int64, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return 0, err
	}
	b := newBatch(q, overrides(q.name, ids, s))
	b.revokes = true
	for _, part := range b.parts { // one, or none
		if err := p.settle(ctx, b, part); err != nil {
			return 0, err
		}
	}
	n, err := b.overridden()
	if n > 0 {
		p.settled(q, b.settlements)
	}
	return n, err
}

// overrides returns a settlement for each id, once, and passes over those that are none.
func overrides(queue string, ids []string, s driver.Settlement) (all []driver.Settlement) {
	seen := make(map[int64]bool, len(ids))
	for _, id := range ids {
		n, err := parseID(id)
		if err != nil || seen[n] {
			continue
		}
		seen[n] = true
		s.Receipt = Unfenced(queue, strconv.FormatInt(n, 10))
		all = append(all, s)
	}
	return all
}

// overridden returns how many messages were there, and why others that are there could
// not be acted on.
func (b *batch) overridden() (n int64, err error) {
	n = int64(len(b.settlements))
	for _, e := range b.errs {
		if e == nil {
			continue
		}
		if n--; !errors.Is(e, driver.ErrMessageNotFound) {
			err = e
		}
	}
	if n > 0 { // another try would count from 0
		err = inPart(err)
	}
	return n, err
}

// RemoveArchived deletes messages from the archive.
func (p *Provider) RemoveArchived(ctx context.Context, name string, ids []string) (n int64, err error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return 0, err
	}
	text := statement("remove archived", q.names)
	err = p.run(ctx, q, text, []any{idArray(ids)}, func(rows row) error { return rows.Scan(&n) })
	return n, err
}
