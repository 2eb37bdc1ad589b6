package mem

import (
	"context"

	"github.com/portmq/mq/driver"
)

// Override settles messages by their ids.
func (p *Provider) Override(ctx context.Context, name string, ids []string, s driver.Settlement) (int64, error) {
	q, err := p.queue(ctx, name)
	if err != nil {
		return 0, err
	}
	locked := lockAll(append(p.store.targets([]driver.Settlement{s}), q))
	defer locked.unlock()
	to := locked.find(s.To)
	switch {
	case q.dropped, s.Op == driver.OpMove && (to == nil || to.dropped):
		return 0, driver.ErrQueueNotFound
	}
	var n int64
	for m := range q.messages.only(parseIDs(ids, false)) {
		n++
		if s.Op == driver.OpNack { // not an answer of its holder
			q.release(m, s.Delay)
			continue
		}
		q.settle(m, &s, to)
	}
	return n, nil
}

// RemoveArchived deletes archived messages by their ids.
func (p *Provider) RemoveArchived(ctx context.Context, name string, ids []string) (int64, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return 0, err
	}
	defer q.unlock()
	was := q.archive.len()
	for _, id := range parseIDs(ids, false) {
		q.archive.delete(id)
	}
	return int64(was - q.archive.len()), nil
}
