package pgmq

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// claim leases what there is.
type claim func(context.Context) ([]driver.Delivery, error)

// receive is await, which Close may end at any point.
func (p *Provider) receive(ctx context.Context, q *queue, wait time.Duration, group bool, claim claim) ([]driver.Delivery, error) {
	ds, err := p.await(ctx, q, wait, group, claim)
	return ds, p.orClosed(err)
}

// await claims, and waits for something to claim. In between it asks when
// the next message will be due, and waits for that or for a wake-up. The
// latter can be missed, so that it looks now and then anyway.
func (p *Provider) await(ctx context.Context, q *queue, wait time.Duration, group bool, claim claim) ([]driver.Delivery, error) {
	if wait <= 0 {
		return claim(ctx)
	}
	end := time.Now().Add(wait)
	h, w := p.join(q, group)
	defer h.leave(w)
	pace := pacing{q: q, hub: h, live: p.listen(ctx, q)}
	for {
		ds, err := claim(ctx)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		for again := false; !again; {
			left := time.Until(end)
			if left <= 0 {
				return nil, nil
			}
			if again, err = p.sleep(ctx, &pace, w, left); err != nil {
				return nil, err
			}
		}
	}
}

// sleep waits once, and reports whether to claim again.
func (p *Provider) sleep(ctx context.Context, pace *pacing, w *waiter, left time.Duration) (again bool, err error) {
	visible, due, err := p.probe(ctx, pace.q)
	if err != nil {
		return false, err
	}
	rest, timed := pace.next(visible, w.group, due)
	t := time.NewTimer(min(rest, left))
	defer t.Stop()
	select {
	case <-w.ch:
		pace.woken()
		return true, nil
	case <-t.C:
		return timed, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-p.ctx.Done():
		return false, driver.ErrClosed
	}
}

// pause reports whether ctx is still alive after d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe asks whether a message is visible, and when the next one will be: due
// is negative if there is none.
func (p *Provider) probe(ctx context.Context, q *queue) (visible bool, due time.Duration, err error) {
	var us sql.NullInt64
	ctx = context.WithValue(ctx, unpinged{}, true)
	err = p.readWithin(ctx, probeLimit, q.name, q.texts.probe, nil, func(rows row) error { return rows.Scan(&visible, &us) })
	if due = -1; us.Valid {
		due = time.Duration(min(us.Int64, int64(maxDue/time.Microsecond))) * time.Microsecond
	}
	return visible, due, err
}

const (
	maxDue = time.Hour
	// backstop is how often a receiver looks that hears of inserts: for those
	// it did not hear of, and for leases that others have given up.
	backstop = 7 * time.Second
	// A receiver that hears of nothing polls.
	minPoll, maxPoll = 50 * time.Millisecond, time.Second
	// A message that is visible but was not claimed is locked by somebody.
	lockedPoll = 5 * time.Millisecond
)

// pacing decides how long a receiver sleeps.
type pacing struct {
	q      *queue
	hub    *hub
	live   bool
	poll   time.Duration // the last pause without news
	locked time.Duration // the last pause for messages that could not be claimed
}

// next returns the pause, and whether to claim at its end or only to look.
func (c *pacing) next(visible, group bool, due time.Duration) (pause time.Duration, claim bool) {
	if visible {
		from := lockedPoll
		if group { // the groups are not free
			from = minPoll
		}
		c.locked = min(max(2*c.locked, from), maxPoll)
		return c.locked, true
	}
	c.locked = 0
	if pause = c.idle(); due >= 0 && due < pause {
		return due + time.Millisecond, true
	}
	return pause, false
}

// idle is the pause if nothing is known to come.
func (c *pacing) idle() time.Duration {
	if !c.live || !c.hub.isLive() {
		c.poll = min(max(2*c.poll, minPoll), maxPoll)
		return c.poll
	}
	if time.Now().Before(c.hub.awakeUntil()) {
		return max(c.q.throttle, minPoll)
	}
	return backstop
}

// woken notes a wake-up.
func (c *pacing) woken() {
	c.poll, c.locked = 0, 0
	c.hub.stayAwake()
}
