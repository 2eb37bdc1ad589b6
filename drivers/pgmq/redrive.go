package pgmq

import "context"

// redriveBatch is how many messages one statement of a redrive moves.
const redriveBatch = 1000

// Redrive moves messages from the archive to the queue, in batches. Without ids
// it moves what was archived before it began: what dies again meanwhile stays in
// the archive, so that a redrive beside workers ends.
func (p *Provider) Redrive(ctx context.Context, name string, ids []string, limit int) (n int64, err error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return 0, err
	}
	defer func() {
		if n > 0 {
			q.hub.inserted(p, false)
		}
	}()
	if len(ids) > 0 {
		return p.redrive(ctx, q, idArray(ids), limit, nil)
	}
	if limit <= redriveBatch {
		return p.redrive(ctx, q, nil, limit, nil)
	}
	now, err := p.clock(ctx, q)
	if err != nil {
		return 0, err
	}
	return p.inBatches(ctx, int64(limit), redriveBatch, func(limit int64) (found, done int64, err error) {
		done, err = p.redrive(ctx, q, nil, int(limit), now)
		return done, done, err
	})
}

// redrive runs one statement. before bounds when the messages were archived,
// unless it is nil.
func (p *Provider) redrive(ctx context.Context, q *queue, which any, limit int, before any) (int64, error) {
	args := []any{which, limit, before}
	if q.names.Headers && q.names.ArchivedHeaders {
		args = append(args, q.name+"/")
	}
	return p.count(ctx, q, q.texts.redrive, args...)
}

// idArray leaves out what is no id: it is in no archive.
func idArray(ids []string) string {
	var a array
	for _, id := range ids {
		if n, err := parseID(id); err == nil {
			a.int(n)
		}
	}
	return a.String()
}
