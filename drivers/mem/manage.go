package mem

import (
	"context"
	"slices"

	"github.com/portmq/mq/driver"
)

// EnsureQueue creates the queue if it is not there.
func (p *Provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	p.store.ensure(name)
	return nil
}

// DropQueue removes the queue and ends the calls that wait for its messages.
func (p *Provider) DropQueue(ctx context.Context, name string) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	if q := p.store.remove(name); q != nil {
		q.drop()
	}
	return nil
}

// ListQueues returns the names of all queues of the store.
func (p *Provider) ListQueues(ctx context.Context) ([]string, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	return p.store.names(), nil
}

// PurgeQueue removes every message but the archived ones.
func (p *Provider) PurgeQueue(ctx context.Context, name string) (int64, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return 0, err
	}
	defer q.unlock()
	return int64(q.clear()), nil
}

// Stats counts exactly.
func (p *Provider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return driver.Stats{}, err
	}
	defer q.unlock()
	return q.stats(), nil
}

// AllStats counts every queue exactly.
func (p *Provider) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	names, err := p.ListQueues(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string]driver.Stats, len(names))
	for _, name := range names {
		if s, err := p.Stats(ctx, name); err == nil { // else it is gone
			all[name] = s
		}
	}
	return all, nil
}

func (s *store) ensure(name string) {
	if s.queue(name) == nil {
		s.queues.LoadOrStore(name, &queue{store: s, name: name, incarnation: s.made.Add(1)})
	}
}

// remove takes the queue out of the store. It returns nil if there is none.
func (s *store) remove(name string) *queue {
	v, _ := s.queues.LoadAndDelete(name)
	q, _ := v.(*queue)
	return q
}

func (s *store) names() []string {
	var names []string
	for name := range s.queues.Range {
		names = append(names, name.(string))
	}
	slices.Sort(names)
	return names
}

// drop leaves nothing to those who have found the queue, or wait for it.
func (q *queue) drop() {
	q.lock()
	defer q.unlock()
	q.dropped = true
	q.clear()
	for e := q.waiters.Front(); e != nil; e = e.Next() {
		e.Value.(*waiter).signal()
	}
}
