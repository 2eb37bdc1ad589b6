package mem

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// reports are what consumers have reported, by their ids.
type reports struct {
	mu sync.Mutex
	by map[string]report
}

type report struct {
	driver.ConsumerReport
	until time.Time
}

// expire forgets what is too old. mu is held.
func (rs *reports) expire(now time.Time) {
	for id, r := range rs.by {
		if !now.Before(r.until) {
			delete(rs.by, id)
		}
	}
}

// Report keeps a report for ttl.
func (p *Provider) Report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	if _, err := p.queue(ctx, r.Queue); err != nil && ttl > 0 {
		return err
	}
	rs := &p.store.reports
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := time.Now()
	rs.expire(now)
	if ttl == 0 {
		delete(rs.by, r.ID)
		return nil
	}
	if rs.by == nil {
		rs.by = make(map[string]report)
	}
	r.At, r.Longest = now, slices.Clone(r.Longest)
	rs.by[r.ID] = report{r, now.Add(ttl)}
	return nil
}

// Consumers returns the reports on a queue, or on all.
func (p *Provider) Consumers(ctx context.Context, name string) ([]driver.ConsumerReport, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	rs := &p.store.reports
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.expire(time.Now())
	var all []driver.ConsumerReport
	for _, r := range rs.by {
		if name == "" || r.Queue == name {
			r.Longest = slices.Clone(r.Longest)
			all = append(all, r.ConsumerReport)
		}
	}
	slices.SortFunc(all, func(a, b driver.ConsumerReport) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}
