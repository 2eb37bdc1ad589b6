package pgmq

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq/driver"
)

// listen reports whether inserts into q by others are heard of: PGMQ's trigger
// is there, with a throttle, and the connection listens or is about to.
func (p *Provider) listen(ctx context.Context, q *queue) bool {
	if p.listenConfig == nil {
		return false
	}
	if !p.readTrigger(ctx, q) {
		return false
	}
	l := p.listening()
	if l == nil {
		return false
	}
	l.add(q.name, q.channels)
	return q.throttle > 0
}

// listening returns the listener, which it starts, or nil if there can be none.
func (p *Provider) listening() *listener {
	if p.listenConfig == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil && p.enter() {
		p.listener = newListener(p)
		go p.listener.run()
	}
	return p.listener
}

// readTrigger reads the interval of a queue's trigger and the channels that it
// may notify, once; concurrent callers do not wait, they poll. PGMQ's own trigger is
// silent if its row is missing, as after a crash.
func (p *Provider) readTrigger(ctx context.Context, q *queue) (known bool) {
	if !q.trigger.TryLock() {
		return false
	}
	defer q.trigger.Unlock()
	if q.known {
		return true
	}
	every, channels := time.Duration(0), []string{channel(q.name)}
	if q.names.notifies {
		err := p.within(ctx, probeLimit, sqlThrottle, []any{q.name}, func(rows row) error {
			var spelling string
			var ms int64
			err := rows.Scan(&spelling, &ms)
			every = max(every, time.Duration(ms)*time.Millisecond, time.Millisecond)
			if spelling != q.name { // PGMQ 1.13.1 notifies the spelling
				channels = append(channels, channel(spelling))
			}
			return err
		})
		if mapped := readError(err); err != nil && (ctx.Err() != nil || ended(err) != nil || errors.Is(mapped, driver.ErrBadConn)) {
			return false // which says nothing of the trigger
		}
		if err != nil {
			p.log.Info("pgmq: cannot read pgmq.notify_insert_throttle: receivers poll", "queue", q.name, "error", readError(err))
			every = 0
		}
	}
	q.throttle, q.channels, q.known = every, channels, true
	q.hub.setThrottle(every)
	return true
}
