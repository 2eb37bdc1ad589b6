package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/portmq/mq/driver"
)

// chunk is how many rows one transaction of a long operation changes, so that the
// others get their turn.
const chunk = 2000

// EnsureQueue creates the queue if it is not there. It does not write if it is.
func (p *Provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	_, err := p.look(ctx, name)
	if !errors.Is(err, driver.ErrQueueNotFound) {
		return err
	}
	return p.write(ctx, func(t *txn) error {
		_, err := t.exec(sqlCreate, name, newMark())
		return err
	})
}

// ListQueues returns the names of all queues in the file.
func (p *Provider) ListQueues(ctx context.Context) (names []string, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		names, err = list(ctx, run)
		return err
	})
	return names, err
}

func list(ctx context.Context, run driver.SQLTx) (names []string, err error) {
	err = query(ctx, run, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, sqlList)
	return names, err
}

// DropQueue removes the queue: its name at once, its rows in several transactions, and
// with them those of earlier queues whose removal was cut off.
func (p *Provider) DropQueue(ctx context.Context, name string) error {
	err := p.write(ctx, func(t *txn) error {
		_, err := t.exec(sqlAbandon, name)
		t.wake(name)
		return err
	})
	p.pausesChanged()
	if err != nil {
		return err
	}
	ids, err := p.abandoned(ctx)
	for _, id := range ids {
		if err == nil {
			err = p.removeRows(ctx, id)
		}
	}
	return err
}

// abandoned returns the ids of queues that were dropped.
func (p *Provider) abandoned(ctx context.Context) (ids []int64, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		ids = nil
		return query(ctx, run, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}, sqlAbandoned)
	})
	return ids, err
}

// removeRows removes a queue that was dropped.
func (p *Provider) removeRows(ctx context.Context, id int64) error {
	if _, err := p.purge(ctx, queueRow{id: id}, maxNumber); err != nil {
		return err
	}
	if _, err := p.purgeArchive(ctx, id, int64(^uint64(0)>>1)); err != nil {
		return err
	}
	return p.write(ctx, func(t *txn) error {
		for _, text := range []string{sqlForgetHidden, sqlForgetGroupings, sqlForgetKeys, sqlForgetBindings, sqlResume, sqlForgetReports, sqlForget} {
			if _, err := t.exec(text, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// PurgeQueue removes every message that there is when it begins. It needs several
// transactions for many.
func (p *Provider) PurgeQueue(ctx context.Context, name string) (int64, error) {
	var q queueRow
	var last int64
	err := p.write(ctx, func(t *txn) (err error) {
		q, last, err = t.reserve(name, 0, 0)
		t.wake(name)
		return err
	})
	if err != nil {
		return 0, err
	}
	return p.purge(ctx, q, last)
}

// purge removes the messages of a queue up to a number.
func (p *Provider) purge(ctx context.Context, q queueRow, last int64) (n int64, err error) {
	from := messageID(q.id, 0)
	for {
		var ids []int64
		err := p.write(ctx, func(t *txn) (err error) {
			ids, err = t.purge(q, from, messageID(q.id, last))
			return err
		})
		if err != nil {
			return n, err
		}
		if n += int64(len(ids)); len(ids) < chunk {
			return n, nil
		}
		from = ids[len(ids)-1]
	}
}

// purge removes the first messages behind an id, up to another.
func (t *txn) purge(q queueRow, from, to int64) (ids []int64, err error) {
	large := false
	err = t.query(func(rows *sql.Rows) error {
		var s state
		err := rows.Scan(&s.id, &s.due, &s.leased, &s.size)
		ids = append(ids, s.id)
		large = large || s.size > inlineBody
		t.hide(q.id, s.due, s.leased, -1)
		return err
	}, sqlMessages, from, to, chunk)
	if err != nil {
		return nil, err
	}
	return ids, t.remove(q, ids, large)
}
