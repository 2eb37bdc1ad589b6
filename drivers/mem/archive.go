package mem

import (
	"context"
	"iter"
	"time"

	"github.com/portmq/mq/driver"
)

// archived is a message in the archive, with the reason among its headers.
type archived struct {
	content
	tally
	due int64
	at  int64
}

func (a *archived) view() view {
	return view{content: a.content, tally: a.tally, due: a.due, archived: a.at}
}

// Redrive makes new messages of archived ones, in the order of ids, or of
// their ages without ids.
func (p *Provider) Redrive(ctx context.Context, name string, ids []string, limit int) (int64, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return 0, err
	}
	defer q.unlock()
	n := 0
	for a := range q.choose(ids) {
		if n >= limit {
			break
		}
		n++
		q.archive.delete(a.id)
		q.insertCopy(a.renewed().with(driver.HeaderOrigin, q.origin(a.id)))
	}
	return int64(n), nil
}

// choose yields the archived messages with the given ids, or all of them, the
// oldest first. The loop must delete what it gets.
func (q *queue) choose(ids []string) iter.Seq[*archived] {
	return func(yield func(*archived) bool) {
		for _, text := range ids {
			id, ok := parseID(text)
			if !ok {
				continue
			}
			if a, ok := q.archive.get(id); ok && !yield(a) {
				return
			}
		}
		for len(ids) == 0 {
			if a, ok := q.archive.first(); !ok || !yield(a) {
				return
			}
		}
	}
}

// PurgeArchive deletes what was archived olderThan ago or before that.
func (p *Provider) PurgeArchive(ctx context.Context, name string, olderThan time.Duration) (int64, error) {
	q, err := p.lock(ctx, name)
	if err != nil {
		return 0, err
	}
	defer q.unlock()
	var kept table[*archived]
	for a := range q.archive.after(0) {
		if q.now-a.at < int64(olderThan) {
			kept.put(a.id, a)
		}
	}
	n := q.archive.len() - kept.len()
	q.archive = kept
	return int64(n), nil
}
