package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// txn is a transaction that has the write lock: the provider's own, or a caller's. It
// is used by one goroutine at a time.
type txn struct {
	ctx    context.Context
	run    driver.SQLTx
	now    int64
	counts counts
	woken  []string // queues whose receivers are to look again
}

// begun returns a txn that nothing was done in.
func begun(ctx context.Context, run driver.SQLTx) *txn {
	return &txn{ctx: ctx, run: run, now: now(), counts: make(counts)}
}

// now returns the time in microseconds.
func now() int64 { return time.Now().UnixMicro() }

// timeOf returns the time of a column.
func timeOf(t int64) time.Time { return time.UnixMicro(t) }

// later returns t + d, rounded up to microseconds, as far as time goes.
func later(t int64, d time.Duration) int64 {
	return t + int64(d/time.Microsecond) + min(1, int64(d%time.Microsecond))
}

func (t *txn) exec(text string, args ...any) (affected int64, err error) {
	r, err := t.run.ExecContext(t.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// query calls scan for each row.
func (t *txn) query(scan func(*sql.Rows) error, text string, args ...any) error {
	return query(t.ctx, t.run, scan, text, args...)
}

// wake notes that the receivers of a queue are to look again after the commit.
func (t *txn) wake(queue string) { t.woken = append(t.woken, queue) }

func query(ctx context.Context, run driver.SQLTx, scan func(*sql.Rows) error, text string, args ...any) (err error) {
	rows, err := run.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// into scans a row into dest, and notes that there was one.
func into(found *bool, dest ...any) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		*found = true
		return rows.Scan(dest...)
	}
}

// queueRow is what every call needs to know of a queue.
type queueRow struct {
	id, mark  int64
	groupings int64
}

// queue returns the row of the queue of that name.
func (t *txn) queue(name string) (queueRow, error) { return findQueue(t.ctx, t.run, name) }

func findQueue(ctx context.Context, run driver.SQLTx, name string) (q queueRow, err error) {
	var found bool
	err = query(ctx, run, into(&found, &q.id, &q.mark, &q.groupings), sqlQueue, name)
	if err == nil && !found {
		err = driver.ErrQueueNotFound
	}
	return q, err
}
