package mem

import (
	"context"
	"fmt"
	"iter"

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
		views = page(q.archive.after(after), r.Limit)
	} else {
		views = page(q.messages.after(after), r.Limit)
	}
	q.unlock()
	return q.records(views, r.Archive), nil
}

func page[T interface{ view() view }](items iter.Seq[T], limit int) []view {
	var views []view
	for item := range items {
		if len(views) >= limit {
			break
		}
		views = append(views, item.view())
	}
	return views
}
