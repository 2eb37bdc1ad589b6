package rabbitmq

import (
	"strconv"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A quorum queue answers acks and nacks to the broker's end of the channel, and
// not to the client. While softLimit of them are unanswered that end holds back
// the next ones, sends them when the queue has answered, and loses them if the
// channel ends before. Basic.qos is answered by the channel itself, so that it
// proves that an ack has reached the queue only if nothing was held back.
//
// This is RabbitMQ's quorum_commands_soft_limit, by default.
const softLimit = 32

// commands counts the acks and nacks of a channel as its end in the broker
// does. Both figures are upper bounds: the client does not see the answers.
type commands struct {
	sent int // to the queue, and unanswered
	held int // held back
}

// add counts n more.
func (c *commands) add(n int) {
	sent := min(n, max(0, softLimit-c.sent))
	c.sent += sent
	c.held += n - sent
}

// answered notes that the queue has answered a call. before is what the count was
// when that was made. The queue answers in order: it has answered what was
// sent before the call, and what was held back by then is now sent.
func (c *commands) answered(before commands) {
	c.sent += before.held - before.sent
	c.held -= before.held
}

// write writes n acks and nacks. No call that the queue answers is counted
// between a command's being counted and its being written.
func (c *channel) write(n int, f func() error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.commands.add(n)
	return f()
}

// giveBack returns messages that are not leased, or no more.
func (c *channel) giveBack(tags ...uint64) error {
	return c.write(len(tags), func() error {
		for _, tag := range tags {
			if err := c.Nack(tag, false, true); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *channel) count() commands {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.commands
}

// asked runs f, which the queue itself answers.
func (c *channel) asked(f func() error) error {
	before := c.count()
	if err := f(); err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.commands.answered(before)
	return nil
}

// ask is asked for those who do not have the channel to themselves yet.
func (c *channel) ask(f func() error) error {
	return c.call(func() error { return c.asked(f) })
}

// barrier returns nil if the queue has the acks and nacks that were written
// before. Nothing that happens to the channel or its connection undoes them.
func (c *channel) barrier() error {
	return c.call(func() error {
		if c.count().held > 0 {
			if err := c.probe(); err != nil {
				return err
			}
		}
		return c.Qos(1, 0, false)
	})
}

// probe asks the queue something that changes nothing. The probe counts as a
// demand, so that a delivery it gets is not taken for a gap in the tags.
func (c *channel) probe() error {
	c.begin()
	ds, err := c.askNothing()
	_ = c.giveBack(c.conclude(ds, false)...) // if this fails the broker has done it
	c.keep(ds)
	c.handed()
	return err
}

// askNothing returns when the queue has answered. Up to RabbitMQ 3.13 there are
// consumers without credit, which get nothing. Since then there is only a get,
// which may get something.
func (c *channel) askNothing() (ds []amqp.Delivery, err error) {
	if c.s.version.before(4, 0) {
		return c.consumeNothing()
	}
	err = c.asked(func() error {
		m, found, err := c.Get(c.q.name, false)
		if found {
			ds = append(ds, m)
		}
		return err
	})
	return ds, err
}

var noCredit = amqp.Table{"x-credit": amqp.Table{"credit": int64(0), "drain": false}}

// consumeNothing also waits for the cancellation, so that anything delivered
// against expectation is known.
func (c *channel) consumeNothing() (ds []amqp.Delivery, err error) {
	tag := nextConsumer()
	var from <-chan amqp.Delivery
	err = c.asked(func() (err error) {
		from, err = c.Consume(c.q.name, tag, false, false, false, false, noCredit)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = c.asked(func() error { return c.Cancel(tag, false) })
	for m := range from {
		ds = append(ds, m)
	}
	return ds, err
}

// consumers numbers consumers: a tag that was used before may crash the
// channel of RabbitMQ 3.10.
var consumers atomic.Uint64

func nextConsumer() string { return "mq-" + strconv.FormatUint(consumers.Add(1), 10) }
