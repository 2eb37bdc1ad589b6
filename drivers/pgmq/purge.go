package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/portmq/mq/driver"
)

// The rows of one statement. A server that ends statements early
// (statement_timeout) gets smaller ones.
const purgeBatch, minBatch = 10_000, 10

// PurgeQueue deletes row by row: unlike TRUNCATE, as in pgmq.purge_queue, that
// neither waits for readers nor takes what they still see. It removes what is
// there when it begins, in batches. With an error it returns how many it had
// removed by then.
func (p *Provider) PurgeQueue(ctx context.Context, name string) (int64, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return 0, err
	}
	n, err := p.purge(ctx, q, q.texts.purge)
	q.hub.wakeGroups()
	return n, err
}

// PurgeArchive is PurgeQueue for the archive.
func (p *Provider) PurgeArchive(ctx context.Context, name string, olderThan time.Duration) (int64, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return 0, err
	}
	if olderThan == 0 {
		return p.purge(ctx, q, q.texts.purgeArchive)
	}
	now, err := p.clock(ctx, q)
	if err != nil {
		return 0, err
	}
	return p.inBatches(ctx, math.MaxInt64, purgeBatch, func(limit int64) (found, deleted int64, err error) {
		err = p.run(ctx, q, q.texts.purgeOlder, []any{now - micros(olderThan), limit}, func(rows row) error {
			return rows.Scan(&found, &deleted)
		})
		return found, deleted, err
	})
}

// purge deletes from one id to the next, up to the highest there is at first.
func (p *Provider) purge(ctx context.Context, q *queue, text string) (int64, error) {
	after, highest := int64(math.MinInt64), any(nil)
	return p.inBatches(ctx, math.MaxInt64, purgeBatch, func(limit int64) (found, deleted int64, err error) {
		var reached, top sql.NullInt64
		err = p.run(ctx, q, text, []any{after, highest, limit}, func(rows row) error { return rows.Scan(&found, &reached, &top) })
		if err == nil && reached.Valid {
			after, highest = reached.Int64, top.Int64
		}
		return found, found, err
	})
}

// inBatches runs step until it finds less than its limit, or most are done.
// What was cut off by the server has had no effect, and is tried again with
// less.
func (p *Provider) inBatches(ctx context.Context, most, batch int64, step func(limit int64) (found, done int64, err error)) (n int64, err error) {
	for n < most {
		limit := min(batch, most-n)
		found, done, err := step(limit)
		switch n += done; {
		case err != nil && sqlState(err) == "57014" && ctx.Err() == nil && batch > minBatch:
			batch /= 10
		case errors.Is(err, driver.ErrBadConn) && n > 0: // another try would count from 0
			return n, inPart(err)
		case err != nil || found < limit || done == 0:
			return n, err
		}
	}
	return n, nil
}

// inPart is mapError for a call of which some has been applied.
func inPart(err error) error {
	var e *dbError
	if errors.As(err, &e) && e.is == driver.ErrBadConn {
		return &dbError{e.text, e.code, driver.ErrUnavailable, e.cause}
	}
	return err
}

// clock returns the server's time in microseconds since 1970.
func (p *Provider) clock(ctx context.Context, q *queue) (us int64, err error) {
	err = p.read(ctx, q, sqlClock, nil, func(rows row) error { return rows.Scan(&us) })
	return us, err
}
