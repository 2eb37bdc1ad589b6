package mem

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Receive leases the messages that have been visible longest.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	return p.receive(ctx, name, demand{wait: r.Wait, limit: r.Max, claim: func(q *queue, into []view) []view {
		return q.claim(into, r.Max, r.Visibility)
	}})
}

// Pop removes the messages that have been visible longest.
func (p *Provider) Pop(ctx context.Context, name string, limit int) ([]driver.Delivery, error) {
	return p.receive(ctx, name, demand{limit: limit, claim: func(q *queue, into []view) []view {
		return q.take(into, limit, q.pop)
	}})
}

// demand is what a receiver wants.
type demand struct {
	// claim appends to into, nothing if the demand cannot be met.
	claim func(q *queue, into []view) []view
	limit int
	wait  time.Duration
	eager bool // it may be met with nothing visible
}

// receive meets d, now or within d.wait.
func (p *Provider) receive(ctx context.Context, name string, d demand) ([]driver.Delivery, error) {
	into := make([]view, 0, min(d.limit, 16)) // not under the lock
	q, err := p.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	views := d.claim(q, into)
	if len(views) == 0 && d.wait > 0 {
		views, err = p.wait(ctx, q, d)
	}
	q.unlock()
	return q.deliveries(views), err
}

// claim leases up to limit messages.
func (q *queue) claim(into []view, limit int, visibility time.Duration) []view {
	due := later(q.now, visibility)
	return q.take(into, limit, func(m *message) view { return q.lease(m, due) })
}

// lease leases m until due and returns the view for its receiver.
func (q *queue) lease(m *message, due int64) view {
	q.lastLease++
	m.lease = q.lastLease
	m.reads++
	q.put(m, leased, due)
	return m.view()
}

func (q *queue) pop(m *message) view {
	m.lease = 0
	m.reads++
	q.remove(m)
	return m.view()
}

// take applies f, which must take the message away, to up to limit messages,
// those visible longest. It returns them in the order of their ages.
func (q *queue) take(into []view, limit int, f func(*message) view) []view {
	views := slices.Grow(into, max(0, min(limit, q.counts[visible])))
	for m := q.ready.first(); m != nil && len(views) < limit; m = q.ready.first() {
		views = append(views, f(m))
	}
	slices.SortFunc(views, func(a, b view) int { return cmp.Compare(a.id, b.id) })
	return views
}
