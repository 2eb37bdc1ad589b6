package mem

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/portmq/mq/driver"
)

// Browse returns one page of the queue or of its archive.
func (p *Provider) Browse(ctx context.Context, name string, r driver.BrowseRequest) ([]driver.Record, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	after, ok := parseID(r.After)
	if !ok && r.After != "" {
		return nil, fmt.Errorf("%w: BrowseRequest.After %.64q is not an ID", driver.ErrInvalid, r.After)
	}
	q, err := p.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	var views []view
	if r.Archive {
		views = page(&q.archive, r, after)
	} else {
		views = page(&q.messages, r, after)
	}
	now := q.now
	q.unlock()
	return q.records(views, r, now), nil
}

// page returns the rows of a table that r asks for.
func page[T interface{ view() view }](t *table[T], r driver.BrowseRequest, after uint64) []view {
	rows := t.after(after)
	switch {
	case len(r.IDs) > 0:
		rows = t.only(parseIDs(r.IDs, r.Newest))
	case r.Newest && r.After != "":
		rows = t.before(after)
	case r.Newest:
		rows = t.before(math.MaxUint64)
	}
	var views []view
	for row := range rows {
		if len(views) >= r.Limit {
			break
		}
		views = append(views, row.view())
	}
	return views
}

// parseIDs returns the ids among texts, each once, in order.
func parseIDs(texts []string, newest bool) []uint64 {
	var ids []uint64
	for _, text := range texts {
		if id, ok := parseID(text); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if newest {
		slices.Reverse(ids)
	}
	return ids
}

// CountReasons counts what was archived last.
func (p *Provider) CountReasons(ctx context.Context, name string, scan int) ([]driver.ReasonCount, int64, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer q.unlock()
	var looked int64
	found := make(map[string]*driver.ReasonCount)
	for a := range q.archive.before(math.MaxUint64) {
		if looked == int64(scan) {
			break
		}
		looked++
		q.countReason(found, a)
	}
	counts := make([]driver.ReasonCount, 0, len(found))
	for _, c := range found {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b driver.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return counts, looked, nil
}

// countReason adds an archived message to the counts by reason.
func (q *queue) countReason(found map[string]*driver.ReasonCount, a *archived) {
	reason, at := a.headers[driver.HeaderReason], q.store.time(a.at)
	c := found[reason]
	if c == nil {
		c = &driver.ReasonCount{Reason: reason, First: at, Last: at}
		found[reason] = c
	}
	c.Count++
	if at.Before(c.First) {
		c.First = at
	}
	if at.After(c.Last) {
		c.Last = at
	}
}
