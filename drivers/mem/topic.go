package mem

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Bind binds the queue to a pattern. The pattern is the queue's own, so that it goes with
// the queue.
func (p *Provider) Bind(ctx context.Context, name, pattern string) error {
	return p.route(ctx, name, func(patterns []string) []string {
		i, found := slices.BinarySearch(patterns, pattern)
		if found {
			return patterns
		}
		return slices.Insert(slices.Clone(patterns), i, pattern)
	})
}

// Unbind removes a pattern of the queue. A queue that is not there has none.
func (p *Provider) Unbind(ctx context.Context, name, pattern string) error {
	err := p.route(ctx, name, func(patterns []string) []string {
		i, found := slices.BinarySearch(patterns, pattern)
		if !found {
			return patterns
		}
		return slices.Delete(slices.Clone(patterns), i, i+1)
	})
	if errors.Is(err, driver.ErrQueueNotFound) {
		return nil
	}
	return err
}

// route replaces the patterns of a queue: Publish reads them without its lock.
func (p *Provider) route(ctx context.Context, name string, change func(patterns []string) []string) error {
	q, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer q.unlock()
	patterns := change(q.bound())
	q.patterns.Store(&patterns)
	return nil
}

// bound returns the patterns of the queue, sorted.
func (q *queue) bound() []string {
	if patterns := q.patterns.Load(); patterns != nil {
		return *patterns
	}
	return nil
}

// Bindings returns the bindings of one queue, or of all.
func (p *Provider) Bindings(ctx context.Context, name string) ([]driver.Binding, error) {
	names := []string{name}
	if name == "" {
		names = p.store.names()
	} else if _, err := p.queue(ctx, name); err != nil {
		return nil, err
	}
	var all []driver.Binding
	for _, name := range names {
		q := p.store.queue(name)
		if q == nil { // dropped meanwhile
			continue
		}
		for _, pattern := range q.bound() {
			all = append(all, driver.Binding{Queue: name, Pattern: pattern})
		}
	}
	return all, p.check(ctx)
}

// Publish appends all messages to all queues whose patterns match.
func (p *Provider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	return p.store.publish(topic, msgs, (*queue).insert), nil
}

// publish calls add for each message of each queue, which is locked then.
func (s *store) publish(topic string, msgs []driver.Message, add func(*queue, *message, time.Duration)) (out []driver.Published) {
	locked := lockAll(s.matched(topic))
	defer locked.unlock()
	for _, q := range locked {
		if q.dropped {
			continue
		}
		added := newMessages(msgs)
		for i, m := range added {
			q.reserve(m)
			add(q, m, due(&msgs[i]))
		}
		out = append(out, driver.Published{Queue: q.name, IDs: ids(added)})
	}
	slices.SortFunc(out, func(a, b driver.Published) int { return cmp.Compare(a.Queue, b.Queue) })
	return out
}

// matched returns the queues that have a pattern that matches.
func (s *store) matched(topic string) (qs queues) {
	for _, v := range s.queues.Range {
		q := v.(*queue)
		if slices.ContainsFunc(q.bound(), func(pattern string) bool { return driver.MatchTopic(pattern, topic) }) {
			qs = append(qs, q)
		}
	}
	return qs
}

// Publish stores into the queues that are bound now, when the transaction commits.
func (t txProvider) Publish(ctx context.Context, topic string, msgs []driver.Message) (out []driver.Published, err error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.tx.err = t.p.check(ctx); t.tx.err != nil {
		return nil, t.tx.err
	}
	return t.p.store.publish(topic, msgs, func(q *queue, m *message, delay time.Duration) {
		t.tx.steps = append(t.tx.steps, step{queue: q, m: m, delay: delay})
	}), nil
}
