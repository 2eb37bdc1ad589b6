package rabbitmq

import (
	"maps"
	"slices"
	"time"
)

// A quorum queue has at most so many unanswered commands of a channel under
// way, by default (quorum_commands_soft_limit is 32). Acks above that wait in
// the broker's end of the channel, are answered all the same, and are lost if
// the channel ends before they are sent on.
const softLimit = 16

// asked runs f, which the queue itself answers, after all that the channel has
// sent it. What had to wait in the channel follows by then.
func (c *channel) asked(f func() error) error {
	c.mu.Lock()
	before := c.told
	c.mu.Unlock()
	err := c.call(f)
	if err == nil {
		c.mu.Lock()
		c.told -= before
		c.mu.Unlock()
	}
	return err
}

// flush makes sure that no ack waits in the channel, which is about to be
// closed. The one thing that a queue answers without being changed for good is
// a get.
func (c *channel) flush() {
	c.mu.Lock()
	told := c.told
	c.mu.Unlock()
	if told < softLimit || c.over() {
		return
	}
	_ = c.asked(func() error {
		m, ok, err := c.Get(c.q.name, false)
		if ok {
			err = c.Nack(m.DeliveryTag, false, true)
		}
		return err
	})
	_ = c.barrier()
}

// flush flushes the channels of all queues, and does not wait long for it.
func (p *Provider) flush() {
	p.mu.Lock()
	queues := slices.Collect(maps.Values(p.queues))
	p.mu.Unlock()
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for _, q := range queues {
			if c := q.current(); c != nil {
				c.flush()
			}
		}
	}()
	t := time.NewTimer(closeLimit)
	defer t.Stop()
	select {
	case <-flushed:
	case <-t.C:
	}
}
