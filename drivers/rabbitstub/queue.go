package rabbitstub

import (
	"container/list"

	"github.com/portmq/mq/driver"
)

// queue is guarded by its broker's mutex.
type queue struct {
	broker   *Broker
	name     string
	fresh    fifo
	returned fifo // come before fresh
	leased   map[uint64]*message
	patterns map[string]bool // of topics
	plain    bool            // an archive: it has none of its own
	waiters  list.List       // of *waiter
	woken    bool            // it is in broker.woken
}

func (q *queue) len() int { return q.fresh.len() + q.returned.len() }

// next takes the first message out of a queue that has one.
func (q *queue) next() *message {
	if q.returned.len() > 0 {
		return q.returned.pop()
	}
	return q.fresh.pop()
}

// claim leases up to r.Max messages to p.
func (q *queue) claim(p *Provider, r driver.ReceiveRequest) []view {
	b := q.broker
	views := make([]view, 0, min(r.Max, q.len()))
	for range cap(views) {
		m := q.next()
		b.lastLease++
		m.lease, m.holder = b.lastLease, p
		m.reads++
		m.leasedAt, m.due = b.now, b.now.Add(r.Visibility)
		b.deadlines.push(m)
		p.leases[m.lease], q.leased[m.lease] = m, m
		views = append(views, view{m.content, m.tally, m.lease, m.due})
	}
	return views
}

// waiter is a receiver that waits, as a consumer does on a broker: who makes a
// message available leases it to a waiter at once.
type waiter struct {
	p     *Provider
	r     driver.ReceiveRequest
	views []view // what it was given
	err   error  // why it will not be given any
	done  chan struct{}
	place *list.Element // in queue.waiters, nil once it is done
}

// wait adds a waiter.
func (q *queue) wait(p *Provider, r driver.ReceiveRequest) *waiter {
	w := &waiter{p: p, r: r, done: make(chan struct{})}
	w.place = q.waiters.PushBack(w)
	q.broker.waiting++
	return w
}

// leave ends the waiting of w.
func (q *queue) leave(w *waiter) {
	if w.place == nil {
		return
	}
	q.waiters.Remove(w.place)
	w.place = nil
	q.broker.waiting--
	close(w.done)
}

// wake has the waiters served at the end of the operation.
func (q *queue) wake() {
	if q.waiters.Len() > 0 && !q.woken {
		q.woken = true
		q.broker.woken = append(q.broker.woken, q)
	}
}

// serve gives waiters what there is, first come, first served.
func (q *queue) serve() {
	q.woken = false
	for q.len() > 0 && q.waiters.Len() > 0 {
		w := q.waiters.Front().Value.(*waiter)
		w.views = q.claim(w.p, w.r)
		q.leave(w)
	}
}

// turnAway ends all waiting.
func (q *queue) turnAway(err error) {
	for e := q.waiters.Front(); e != nil; e = q.waiters.Front() {
		w := e.Value.(*waiter)
		w.err = err
		q.leave(w)
	}
}
