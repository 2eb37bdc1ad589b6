package rabbitmq

import (
	"context"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// queue is what a provider knows of one queue: the channel on which it leases.
type queue struct {
	p    *Provider
	name string

	mu      sync.Mutex
	channel *channel      // the last one, or nil
	opening chan struct{} // closed when the opening under way has ended, nil if there is none
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
	for {
		if err := q.p.check(ctx); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if c := q.standing(); c != nil {
			q.mu.Unlock()
			return c, nil
		}
		opening := q.opening
		if opening == nil {
			q.opening = make(chan struct{})
			q.mu.Unlock()
			return q.openNow(ctx)
		}
		q.mu.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.p.done:
			return nil, driver.ErrClosed
		}
	}
}

// openNow opens a channel while others wait for it.
func (q *queue) openNow(ctx context.Context) (*channel, error) {
	var c *channel
	s, err := q.p.consumer.get(ctx)
	if err == nil {
		opened := make(chan *channel, 1)
		err = q.p.readError(q.p.await(ctx, func() error {
			ch, err := s.Channel()
			if err == nil {
				opened <- q.newChannel(s, ch)
			}
			return err
		}))
		if err == nil {
			c = <-opened
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if c != nil {
		q.channel = c
	}
	close(q.opening)
	q.opening = nil
	return c, err
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

func (q *queue) newChannel(s *session, ch *amqp.Channel) *channel {
	c := &channel{
		Channel: ch, q: q, s: s, id: randomUint64(),
		rpc: make(chan struct{}, 1), ended: make(chan struct{}), leases: make(map[uint64]*lease), tags: newTags(),
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
	return c
}
