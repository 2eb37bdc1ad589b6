package rabbitmq

import (
	"context"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// channel is an AMQP channel on which messages of one queue are leased. The
// broker ties deliveries to it; when it ends, all of its leases do.
type channel struct {
	*amqp.Channel
	q      *queue
	s      *session
	id     uint64
	rpc    chan struct{} // one slot: answers carry no correlation id, so only one call may wait at a time
	ended  chan struct{} // closed when the channel is over
	silent chan struct{} // closed when the broker did not answer a call in time
	once   sync.Once     // closes silent

	mu     sync.Mutex
	leases map[uint64]*lease // by tag; nil when the channel is over
	tags   tags
	spare  spare
	spared chan struct{} // holds one: there is something in spare

	postponed int // messages that are given back after a delay

	writing  sync.Mutex // held while acks and nacks are written
	commands commands
}

// lease is a message that the broker has delivered and that is not settled. It
// is guarded by its channel's mutex, but for what never changes.
type lease struct {
	c         *channel
	tag       uint64
	native    *amqp.Delivery
	id        string
	reads     int
	uncounted int // reads that were no attempts
	answered  int // reads when it was last nacked
	before    int // attempts that nobody had answered before an uncounted nack
	enqueued  time.Time

	deadline time.Time // when the message is given back
	limit    time.Time // the latest that the deadline may become
	timer    *time.Timer
	settling bool // somebody is about to settle it
}

// over reports whether the channel has ended, even if nobody was told yet.
func (c *channel) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return c.IsClosed() || c.s.IsClosed()
	}
}

// end forgets the leases.
func (c *channel) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return
	default:
	}
	close(c.ended)
	for _, l := range c.leases {
		l.timer.Stop()
	}
	c.leases, c.spare.ds = nil, nil
}

// call runs f while nobody else waits for an answer on the channel. If the
// broker does not answer, it answers nothing else there either, so that the
// channel is given up. What f does then ends with the connection at the latest.
func (c *channel) call(f func() error) error {
	select {
	case c.rpc <- struct{}{}:
	case <-c.ended:
		return amqp.ErrClosed
	}
	defer func() { <-c.rpc }()
	defer c.s.watch(func() {
		c.once.Do(func() { close(c.silent) })
		c.q.discard(c)
	})()
	return f()
}

// lease takes note of messages that were delivered.
func (c *channel) lease(ds []amqp.Delivery, visibility time.Duration) []driver.Delivery {
	p := c.q.p
	now := time.Now()
	limit := now.Add(p.options.maxHold())
	out := make([]driver.Delivery, len(ds))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		d := &ds[i]
		l := &lease{
			c: c, tag: d.DeliveryTag, native: d, id: p.idOf(d), enqueued: enqueuedAt(d),
			reads: readCount(d, c.s.version), uncounted: int(noted(d, headerUncounted)), answered: int(noted(d, headerAnswered)), before: int(noted(d, headerUnanswered)),
			deadline: now.Add(visibility), limit: limit,
		}
		if c.leases != nil {
			c.leases[l.tag] = l
			l.timer = time.AfterFunc(visibility, l.expire)
		}
		out[i] = l.delivery()
	}
	return out
}

// unanswered returns how many attempts nobody has answered, not counting this lease.
func (l *lease) unanswered() int {
	return min(l.before+max(0, l.reads-1-l.answered), max(0, l.reads-1))
}

// delivery returns what the receiver gets, who may change it.
func (l *lease) delivery() driver.Delivery {
	native := *l.native
	d := driver.Delivery{
		ID:         l.id,
		Receipt:    receipt{l.c.id, l.tag}.encode(l.c.q.name),
		ReadCount:  l.reads,
		Attempt:    max(1, l.reads-l.uncounted),
		Unanswered: l.unanswered(),
		EnqueuedAt: l.enqueued,
		VisibleAt:  l.deadline,
		Native:     &native,
	}
	native.Body = append([]byte(nil), native.Body...)
	d.Body, d.Headers = native.Body, decodeHeaders(l.native)
	return d
}

// expire gives the message back when its time is over.
func (l *lease) expire() {
	c := l.c
	c.mu.Lock()
	now := time.Now()
	switch {
	case c.leases[l.tag] != l || l.settling:
		c.mu.Unlock()
		return
	case now.Before(l.deadline): // it was extended meanwhile
		l.timer.Reset(l.deadline.Sub(now))
		c.mu.Unlock()
		return
	}
	delete(c.leases, l.tag)
	c.mu.Unlock()
	_ = c.giveBack(l.tag) // if this fails the broker has given it back
}

// claim returns the lease for somebody who settles it, which nobody else then
// does.
func (c *channel) claim(tag uint64) (*lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[tag]
	if l == nil || l.settling || !time.Now().Before(l.deadline) {
		return nil, driver.ErrStaleReceipt
	}
	l.settling = true
	l.timer.Stop()
	return l, nil
}

// unclaim takes back a claim whose settlement has failed.
func (c *channel) unclaim(l *lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases[l.tag] == l {
		l.settling = false
		l.timer.Reset(max(0, time.Until(l.deadline)))
	}
}

// settle removes claimed leases, which are about to be settled. It reports
// whether the channel stands.
func (c *channel) settle(acks, nacks []*lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases == nil {
		return false
	}
	for _, l := range slices.Concat(acks, nacks) {
		delete(c.leases, l.tag)
	}
	c.tags.settling++
	return true
}

// settled notes that what settle has removed is settled.
func (c *channel) settled() {
	c.mu.Lock()
	c.tags.settling--
	c.mu.Unlock()
	c.refresh()
}

// postpone ends a claimed lease and gives the message back after a delay, which
// ends with the channel. It is for users without rights to the broker's delays.
func (c *channel) postpone(l *lease, delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leases, l.tag)
	c.postponed++
	time.AfterFunc(min(delay, time.Until(l.limit)), func() {
		_ = c.giveBack(l.tag) // if this fails the broker has given it back
		c.mu.Lock()
		c.postponed--
		c.mu.Unlock()
		c.refresh()
	})
}

// extend makes a lease end d from now, or at its limit.
func (c *channel) extend(tag uint64, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	l := c.leases[tag]
	if l == nil || l.settling || !now.Before(l.deadline) {
		return driver.ErrStaleReceipt
	}
	l.deadline = now.Add(d)
	if l.deadline.After(l.limit) {
		l.deadline = l.limit
	}
	l.timer.Reset(l.deadline.Sub(now))
	return nil
}

// ackAll acks every lease that nobody is settling, and returns how many.
func (c *channel) ackAll(ctx context.Context) (int, error) {
	c.mu.Lock()
	var ls []*lease
	for _, l := range c.leases {
		if !l.settling {
			l.settling = true
			l.timer.Stop()
			ls = append(ls, l)
		}
	}
	c.mu.Unlock()
	return len(ls), c.finish(ctx, ls, nil)
}
