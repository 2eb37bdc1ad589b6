package pgmq

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// CountReasons counts in the server.
func (p *Provider) CountReasons(ctx context.Context, name string, scan int) (counts []driver.ReasonCount, looked int64, err error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, 0, err
	}
	counts, err = p.reasons(ctx, q, min(scan, math.MaxInt32))
	if p.wantsWary(ctx, err) && ended(err) == nil {
		counts, err = p.reasonsWarily(ctx, q, scan)
	}
	if err != nil {
		return nil, 0, receiveError(err)
	}
	for _, c := range counts {
		looked += c.Count
	}
	slices.SortFunc(counts, func(a, b driver.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return counts, looked, nil
}

func (p *Provider) reasons(ctx context.Context, q *queue, scan int) (counts []driver.ReasonCount, err error) {
	text := statement("reasons", q.names.archived())
	err = p.read(ctx, q, text, []any{scan}, func(rows row) error {
		var c driver.ReasonCount
		var first, last *time.Time
		err := rows.Scan(&c.Reason, &c.Count, &first, &last)
		c.First, c.Last = timeOf(first), timeOf(last)
		counts = append(counts, c)
		return err
	})
	return counts, err
}

// reasonsWarily counts where a message cannot be read, which has no reason then.
func (p *Provider) reasonsWarily(ctx context.Context, q *queue, scan int) ([]driver.ReasonCount, error) {
	by := make(map[string]*driver.ReasonCount)
	s := search{p: p, q: q, after: math.MaxInt64, r: driver.SearchRequest{
		BrowseRequest: driver.BrowseRequest{Archive: true, Newest: true, Limit: scan}, Scan: scan,
	}}
	for s.goesOn() {
		if err := s.lookWarily(ctx); err != nil {
			return nil, err
		}
		for i := range s.found.Records {
			countReason(by, &s.found.Records[i])
		}
		s.found.Records = nil
	}
	var counts []driver.ReasonCount
	for _, c := range by {
		counts = append(counts, *c)
	}
	return counts, nil
}

func countReason(by map[string]*driver.ReasonCount, r *driver.Record) {
	c := by[r.Reason()]
	if c == nil {
		c = &driver.ReasonCount{Reason: r.Reason()}
		by[c.Reason] = c
	}
	c.Count++
	c.First, c.Last = earlier(c.First, r.ArchivedAt), later(c.Last, r.ArchivedAt)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
