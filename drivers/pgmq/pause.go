package pgmq

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// pauseChannel is notified when a pause begins or ends.
const pauseChannel = "pgmq.mq_paused"

// SetPaused writes the table pgmq.mq_paused, which it makes for the first pause.
func (p *Provider) SetPaused(ctx context.Context, name string, paused bool, by string) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	text, args := "resume", []any{name, pauseChannel}
	if paused {
		text, args = "pause", append(args, by)
		if err := p.ensureTable(ctx, p.pool, &p.paused); err != nil {
			return err
		}
	} else if there, err := p.paused.exists(ctx, p.pool); err != nil || !there {
		return p.lookUp(ctx, name, err)
	}
	var exists bool
	var changed int
	err := p.within(ctx, callLimit, statement(text, nil), args, func(rows row) error { return rows.Scan(&exists, &changed) })
	switch {
	case err != nil:
		return p.paused.failed(ctx, err)
	case !exists:
		return driver.ErrQueueNotFound
	}
	p.pauses.wake()
	return nil
}

// lookUp returns err, or ErrQueueNotFound if there is no such queue now.
func (p *Provider) lookUp(ctx context.Context, name string, err error) error {
	if err == nil {
		short, cancel := bounded(ctx, probeLimit)
		defer cancel()
		_, _, err = readShape(short, p.pool, name)
	}
	return readErrorOf(ctx, err)
}

// Paused reads the table, if it is there.
func (p *Provider) Paused(ctx context.Context) ([]driver.Pause, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	if there, err := p.paused.exists(ctx, p.pool); err != nil || !there {
		return nil, readErrorOf(ctx, err)
	}
	var all []driver.Pause
	err := p.within(ctx, probeLimit, statement("paused", nil), nil, func(rows row) error {
		var x driver.Pause
		var since *time.Time
		err := rows.Scan(&x.Queue, &x.By, &since)
		x.Since = timeOf(since)
		all = append(all, x)
		return err
	})
	switch {
	case sqlState(err) == "42P01":
		_ = p.paused.failed(ctx, err)
		return nil, nil
	case err != nil:
		return nil, p.paused.failed(ctx, err)
	}
	return all, nil
}

// AwaitPause waits for a notification, where the provider can listen. What was notified
// between two calls ends the second one at once.
func (p *Provider) AwaitPause(ctx context.Context, d time.Duration) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	if l := p.listening(); l != nil {
		l.addPauses()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.pauses.ch:
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return driver.ErrClosed
	}
}

// dropPause ends the pause of a queue that is dropped, if the role may. Without its queue a
// pause is not shown.
func dropPause(ctx context.Context, tx *sql.Tx, name string) error {
	var may bool
	err := query(ctx, tx, statement("may resume", nil), nil, func(rows row) error { return rows.Scan(&may) })
	if err == nil && may {
		err = exec(ctx, tx, statement("resume", nil), name, pauseChannel)
	}
	return err
}
