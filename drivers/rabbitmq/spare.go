package rabbitmq

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// spare are messages that the broker has delivered and no receiver was handed:
// it had left, or a probe got one. A message that is given back counts as read,
// so they wait for the next receiver first.
type spare struct {
	ds    []amqp.Delivery
	timer *time.Timer // gives them back
}

// spareLimit is how long the next receiver may take to come. Until then other
// clients do not get the messages.
const spareLimit = 2 * time.Second

// keep keeps messages.
func (c *channel) keep(ds []amqp.Delivery) {
	if len(ds) == 0 {
		return
	}
	c.mu.Lock()
	c.spare.ds = append(c.spare.ds, ds...)
	if c.spare.timer == nil {
		c.spare.timer = time.AfterFunc(spareLimit, c.returnSpare)
	}
	c.spare.timer.Reset(spareLimit)
	c.mu.Unlock()
	select {
	case c.spared <- struct{}{}: // for a receiver that waits
	default:
	}
}

// kept takes up to n messages of those.
func (c *channel) kept(n int) []amqp.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.spare.ds))
	ds := c.spare.ds[:n:n]
	c.spare.ds = c.spare.ds[n:]
	if len(c.spare.ds) == 0 {
		c.spare.ds = nil
	}
	return ds
}

// returnSpare gives back what nobody has taken.
func (c *channel) returnSpare() {
	for ds := c.kept(maxBatch); len(ds) > 0; ds = c.kept(maxBatch) {
		for i := range ds {
			_ = c.giveBack(ds[i].DeliveryTag) // if this fails the broker has done it
		}
	}
	c.refresh()
}
