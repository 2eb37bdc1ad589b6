package rabbitmq

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// queue is what a provider knows of one queue: the channel on which it leases.
type queue struct {
	p     *Provider
	name  string
	sizes sizes
	used  time.Time // by a receiver the last time; guarded by p.mu

	mu      sync.Mutex
	channel *channel // the last one, or nil
	opening *opening // the one under way, or nil
	gone    bool     // it was forgotten, and the next receiver has another one
}

// opening opens a channel for all who wait for it. It goes on when they no
// longer do: the next call finds the channel, or waits for the same.
type opening struct {
	done    chan struct{} // closed when it has ended
	channel *channel
	err     error
}

// queue returns what is known of a queue, for a receiver.
func (p *Provider) queue(name string) *queue {
	p.mu.Lock()
	q := p.queues[name]
	var unused []*queue
	if q == nil {
		unused = p.sweep()
		q = &queue{p: p, name: name}
		p.queues[name] = q
	}
	q.used = time.Now()
	p.mu.Unlock()
	for _, q := range unused {
		q.close()
	}
	return q
}

// leasing returns the channel on which messages of a queue are leased, or nil.
func (p *Provider) leasing(name string) *channel {
	p.mu.Lock()
	q := p.queues[name]
	p.mu.Unlock()
	if q == nil {
		return nil
	}
	return q.current()
}

// forget closes the channel of a queue and forgets it. If only is not nil it does
// so to that one.
func (p *Provider) forget(name string, only *queue) {
	p.mu.Lock()
	q := p.queues[name]
	if q == nil || only != nil && q != only {
		p.mu.Unlock()
		return
	}
	delete(p.queues, name)
	p.mu.Unlock()
	q.mu.Lock()
	q.gone = true
	q.mu.Unlock()
	q.close()
}

// A program may have a queue for each request. Those that nobody has received
// from for a while are forgotten, and looked for when there are twice as many as
// were left the last time.
const (
	unusedFor = time.Minute
	minSweep  = 32
)

// sweep removes the queues that are unused and have no lease. p.mu is held.
func (p *Provider) sweep() (unused []*queue) {
	if len(p.queues) < max(minSweep, p.sweepAt) {
		return nil
	}
	for name, q := range p.queues {
		if time.Since(q.used) > unusedFor && q.retire() {
			delete(p.queues, name)
			unused = append(unused, q)
		}
	}
	p.sweepAt = 2 * len(p.queues)
	return unused
}

// retire reports whether the queue has no channel, or one that is not in use and
// will not be.
func (q *queue) retire() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = q.opening == nil && (q.channel == nil || q.channel.retire(true))
	return q.gone
}

// current returns the channel if it stands, as far as anybody knows, or nil.
func (q *queue) current() *channel {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.standing()
}

// standing is current with q.mu held.
func (q *queue) standing() *channel {
	if q.channel == nil || q.channel.over() {
		return nil
	}
	return q.channel
}

// open returns the channel, and opens one if none stands.
func (q *queue) open(ctx context.Context) (*channel, error) {
	if err := q.p.check(ctx); err != nil {
		return nil, err
	}
	q.mu.Lock()
	if q.gone {
		q.mu.Unlock()
		return nil, q.p.readError(amqp.ErrClosed)
	}
	c, o := q.standing(), q.opening
	if c == nil && o == nil {
		o = q.begin()
	}
	q.mu.Unlock()
	if c != nil {
		return c, nil
	}
	select {
	case <-o.done:
		return o.channel, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-q.p.done:
		return nil, driver.ErrClosed
	}
}

// begin starts to open a channel. q.mu is held.
func (q *queue) begin() *opening {
	o := &opening{done: make(chan struct{}), err: driver.ErrClosed}
	open := func() {
		c, err := q.newChannel()
		q.mu.Lock()
		defer q.mu.Unlock()
		defer close(o.done)
		if err == nil && q.gone {
			q.p.start(func() { _ = c.Close() })
			c, err = nil, amqp.ErrClosed
		}
		if o.channel, o.err = c, q.p.readError(err); err == nil {
			q.channel = c
		}
		q.opening = nil
	}
	if q.p.start(open) {
		q.opening = o
	} else {
		close(o.done)
	}
	return o
}

// close ends the channel, and with it every lease. The broker gives the
// messages to others.
func (q *queue) close() {
	q.mu.Lock()
	c := q.channel
	q.mu.Unlock()
	if c != nil {
		q.discard(c)
	}
}

// discard is close, unless there is another channel by now.
func (q *queue) discard(c *channel) {
	q.forget(c)
	c.end()
	q.p.start(func() { _ = c.Close() })
}

func (q *queue) forget(c *channel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.channel == c {
		q.channel = nil
	}
}

// newChannel opens a channel.
func (q *queue) newChannel() (*channel, error) {
	s, err := q.p.consumer.get(q.p.ctx)
	if err != nil {
		return nil, err
	}
	ch, err := q.p.newChannel(s)
	if err != nil {
		return nil, err
	}
	c := &channel{
		Channel: ch, q: q, s: s, id: randomUint64(),
		rpc: make(chan struct{}, 1), ended: make(chan struct{}), silent: make(chan struct{}),
		leases: make(map[uint64]*lease), tags: newTags(), spared: make(chan struct{}, 1),
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	watch := func() {
		reason := <-closed
		c.end()
		if reason != nil && !q.p.closed() {
			q.p.log.Info("rabbitmq: the leases of a queue are lost with their channel", "queue", q.name, "reason", reason.Reason)
		}
	}
	if !q.p.start(watch) {
		c.end()
	}
	return c, nil
}
