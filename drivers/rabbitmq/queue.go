package rabbitmq

import (
	"context"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// queue is what a provider knows of one queue: the channel on which it leases.
type queue struct {
	p     *Provider
	name  string
	sizes sizes

	mu      sync.Mutex
	channel *channel // the last one, or nil
	opening *opening // the one under way, or nil
}

// opening opens a channel for all who wait for it. It goes on when they no
// longer do: the next call finds the channel, or waits for the same.
type opening struct {
	done    chan struct{} // closed when it has ended
	channel *channel
	err     error
}

func (p *Provider) queue(name string) *queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[name]
	if q == nil {
		q = &queue{p: p, name: name}
		p.queues[name] = q
	}
	return q
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
