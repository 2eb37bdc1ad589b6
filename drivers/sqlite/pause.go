package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// pausePoll is how long a pause that another process begins or ends may go unnoticed.
const pausePoll = time.Second

// SetPaused pauses a queue in every process, or ends its pause.
func (p *Provider) SetPaused(ctx context.Context, name string, paused bool, by string) error {
	err := p.write(ctx, func(t *txn) error {
		q, err := t.queue(name)
		switch {
		case err != nil:
		case paused:
			_, err = t.exec(sqlPause, q.id, t.now, by)
		default:
			_, err = t.exec(sqlResume, q.id)
		}
		return err
	})
	p.pausesChanged()
	return err
}

// pausesChanged wakes AwaitPause of the providers of this process, in vain, perhaps.
func (p *Provider) pausesChanged() {
	if p.opened.Load() {
		p.file.pausesChanged()
	}
}

// Paused is one read of a small table.
func (p *Provider) Paused(ctx context.Context) (paused []driver.Pause, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		paused = nil
		return query(ctx, run, func(rows *sql.Rows) error {
			var s driver.Pause
			var since int64
			err := rows.Scan(&s.Queue, &s.By, &since)
			s.Since = timeOf(since)
			paused = append(paused, s)
			return err
		}, sqlPaused)
	})
	return paused, err
}

// AwaitPause returns at once after a change by a provider of this process, even if that
// came before the call. For other processes it is a pause between two reads: to read once
// a second costs less than to look at every commit.
func (p *Provider) AwaitPause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(min(d, pausePoll))
	defer timer.Stop()
	select {
	case <-p.pauses:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return driver.ErrClosed
	}
	return nil
}
