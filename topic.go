package mq

import (
	"context"

	"github.com/portmq/mq/driver"
)

type (
	// Binding is a pattern of topics, and the queue that is bound to it.
	Binding = driver.Binding
	// Published is what one queue has got of a Publish.
	Published = driver.Published
)

// Publish sends messages to every queue that is bound to the topic, once to each, and
// returns their IDs by queue. If no queue is bound, nothing is stored, and it returns nil. Under
// Caps.AtomicSend all queues get all messages, or none does. A message with a DedupKey
// is ErrNotSupported. More messages than Caps.MaxBatch are ErrInvalid, since they could
// not be one step. Where the provider does not tell the queues, as RabbitMQ, there is one
// Published with the Queue "" if there is any queue.
//
// Publish needs a provider with topics: see Requirements.Topics.
func (c *Client) Publish(ctx context.Context, topic string, msgs ...*Message) ([]Published, error) {
	return c.publish(ctx, topic, msgs, func(ctx context.Context, batch []driver.Message) (out []Published, err error) {
		r, err := optional[driver.Router](c.provider)
		if err != nil {
			return nil, unsupported("publishing to a topic")
		}
		err = c.look(ctx, func(ctx context.Context) error {
			out, err = r.Publish(ctx, topic, batch)
			return err
		})
		return out, err
	})
}

// PublishTx is Publish inside tx, a transaction of the caller: see Queue.Tx.
func (c *Client) PublishTx(ctx context.Context, tx SQLTx, topic string, msgs ...*Message) ([]Published, error) {
	t := (&Queue{client: c}).Tx(tx)
	return c.publish(ctx, topic, msgs, func(ctx context.Context, batch []driver.Message) (out []Published, err error) {
		if t.err != nil {
			return nil, t.err
		}
		p, ok := t.tx.(driver.TxPublisher)
		if !ok {
			return nil, unsupported("publishing to a topic in a transaction")
		}
		err = t.limited(ctx, func(ctx context.Context) error {
			out, err = p.Publish(ctx, topic, batch)
			return err
		})
		return out, theirs(err)
	})
}

// publish is what Publish and PublishTx share.
func (c *Client) publish(ctx context.Context, topic string, msgs []*Message, send func(context.Context, []driver.Message) ([]Published, error)) (out []Published, err error) {
	batch, bad := checkPublish(c.caps, topic, msgs)
	call := &Call{Op: "publish", Topic: topic, Messages: messagesOf(batch)}
	err = c.do(ctx, call, func(ctx context.Context) error {
		if bad != nil || len(batch) == 0 {
			return bad
		}
		out, err = send(ctx, driverMessages(call.Messages))
		return err
	})
	return out, err
}

func checkPublish(caps Caps, topic string, msgs []*Message) ([]driver.Message, error) {
	if bad := driver.CheckTopic(topic); bad != "" {
		return nil, invalid("topic %.100q: %s", topic, bad)
	}
	if len(msgs) > caps.BatchLimit() {
		return nil, invalid("%d messages are more than the limit of %d of one publish", len(msgs), caps.BatchLimit())
	}
	batch, err := checkMessages(caps, msgs)
	if err == nil && keyed(batch) {
		err = unsupported("a DedupKey of a message that is published")
	}
	return batch, err
}

// Bind binds the queue to a pattern of topics: it gets what is published to a topic that
// matches. In a pattern "*" stands for text without dots, mostly for one word, and "#" for
// any text: logs.* matches logs.db, logs.# matches logs.db.slow as well, and neither
// matches logs. Binding twice is the same as once.
func (q *Queue) Bind(ctx context.Context, pattern string) error {
	return q.route(ctx, "bind", pattern, driver.Router.Bind)
}

// Unbind removes a binding, and returns nil if there is none.
func (q *Queue) Unbind(ctx context.Context, pattern string) error {
	return q.route(ctx, "unbind", pattern, driver.Router.Unbind)
}

func (q *Queue) route(ctx context.Context, op, pattern string, change func(driver.Router, context.Context, string, string) error) error {
	return q.do(ctx, &Call{Op: op, Topic: pattern}, func(ctx context.Context) error {
		if bad := driver.CheckPattern(pattern); bad != "" {
			return invalid("pattern %.100q: %s", pattern, bad)
		}
		r, err := optional[driver.Router](q.client.provider)
		if err != nil {
			return unsupported("binding queues to topics")
		}
		return q.client.look(ctx, func(ctx context.Context) error { return change(r, ctx, q.name, pattern) })
	})
}

// Bindings returns the patterns that the queue is bound to, sorted.
func (q *Queue) Bindings(ctx context.Context) ([]string, error) {
	var patterns []string
	err := q.do(ctx, &Call{Op: "bindings"}, func(ctx context.Context) error {
		all, err := q.client.bindings(ctx, q.name)
		for _, b := range all {
			patterns = append(patterns, b.Pattern)
		}
		return err
	})
	return patterns, err
}

// Bindings returns all bindings, sorted by queue and pattern.
func (c *Client) Bindings(ctx context.Context) (all []Binding, err error) {
	err = c.do(ctx, &Call{Op: "bindings"}, func(ctx context.Context) error {
		all, err = c.bindings(ctx, "")
		return err
	})
	return all, err
}

func (c *Client) bindings(ctx context.Context, queue string) (all []Binding, err error) {
	r, err := optional[driver.Router](c.provider)
	if err != nil {
		return nil, unsupported("binding queues to topics")
	}
	err = c.look(ctx, func(ctx context.Context) error {
		all, err = r.Bindings(ctx, queue)
		return err
	})
	return all, err
}
