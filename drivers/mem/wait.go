package mem

import (
	"container/list"
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

// waiter is a receiver that waits. Whoever makes a message available leases it
// to a waiter at once, so that no wake-up is lost or in vain.
//
// The first waiter also watches the clock for all of them: its timer is set to
// the next deadline. The others only wait for the end of their own time.
type waiter struct {
	claim func() []view
	views []view        // what it was given
	wake  chan struct{} // holds one
	place *list.Element // in queue.waiters, nil once it was served
	until int64
	eager bool
}

// wait waits until d is met or its time is over. q is locked before and after,
// but not meanwhile.
func (p *Provider) wait(ctx context.Context, q *queue, d demand) ([]view, error) {
	w := &waiter{wake: make(chan struct{}, 1), until: later(q.now, d.wait), eager: d.eager}
	w.claim = func() []view {
		if p.check(ctx) != nil {
			return nil // it is about to leave
		}
		return d.claim(q, nil)
	}
	q.join(w)
	defer q.leave(w)
	for {
		timer := time.NewTimer(q.sleep(w))
		q.unlock()
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
		case <-p.done:
		}
		timer.Stop()
		q.lock()
		q.serve()
		if len(w.views) > 0 {
			return w.views, nil
		}
		if err := p.check(ctx); err != nil {
			return nil, err
		}
		if q.dropped {
			return nil, driver.ErrQueueNotFound
		}
		if q.now >= w.until {
			return nil, nil
		}
	}
}

// sleep returns how long w may sleep.
func (q *queue) sleep(w *waiter) time.Duration {
	t := w.until
	if q.waiters.Front() == w.place {
		q.armed = q.nextDue()
		t = min(t, q.armed)
	}
	return time.Duration(t - q.now)
}

// serve gives waiters what there is, first come, first served.
func (q *queue) serve() {
	for e := q.waiters.Front(); e != nil && q.counts[visible]+q.eager > 0; {
		w := e.Value.(*waiter)
		e = e.Next()
		if w.views = w.claim(); len(w.views) > 0 {
			q.leave(w)
			w.signal()
		}
	}
}

// alarm tells the first waiter of a deadline before the one it knows.
func (q *queue) alarm() {
	if e := q.waiters.Front(); e != nil && q.nextDue() < q.armed {
		e.Value.(*waiter).signal()
	}
}

func (q *queue) join(w *waiter) {
	w.place = q.waiters.PushBack(w)
	if w.eager {
		q.eager++
	}
}

// leave ends the waiting of w. If it was the first one, alarm wakes its
// successor.
func (q *queue) leave(w *waiter) {
	if w.place == nil {
		return
	}
	if q.waiters.Front() == w.place {
		q.armed = never
	}
	q.waiters.Remove(w.place)
	w.place = nil
	if w.eager {
		q.eager--
	}
}

func (w *waiter) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}
