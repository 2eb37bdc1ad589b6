package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// topicExchange is where messages are published by topics, and what queues are bound to.
const topicExchange = "mq.topic"

// topicKey returns the pattern of AMQP that matches the same topics. There "#" stands for
// no words as well, and wildcards are whole words.
func topicKey(pattern string) (string, error) {
	words := strings.Split(pattern, ".")
	for i, w := range words {
		switch {
		case len(w) > 1 && strings.ContainsAny(w, "*#"):
			return "", fmt.Errorf("%w: a wildcard within a word, as in %q: AMQP has them for whole words only", driver.ErrNotSupported, w)
		case w == "#" && len(words) > 1:
			words[i] = "*.#"
		}
	}
	key := strings.Join(words, ".")
	if len(key) > 255 {
		return "", fmt.Errorf("%w: a pattern that has more than AMQP's 255 bytes once each # is *.#", driver.ErrNotSupported)
	}
	return key, nil
}

// Bind binds the queue to the exchange for topics, which it declares if it is missing.
func (p *Provider) Bind(ctx context.Context, name, pattern string) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	key, err := topicKey(pattern)
	if err != nil {
		return err
	}
	for range 2 {
		if err = p.ensureTopics(ctx); err != nil {
			return err
		}
		err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error { return ch.QueueBind(name, key, topicExchange, false, nil) })
		if !isMissing(err) || errors.Is(err, driver.ErrQueueNotFound) {
			break
		}
		p.topics.Store(false) // somebody has deleted it
	}
	return err
}

// Unbind removes a binding. Where queue or exchange are missing there is none.
func (p *Provider) Unbind(ctx context.Context, name, pattern string) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	key, err := topicKey(pattern)
	if err != nil {
		return nil // Bind has refused it
	}
	err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error { return ch.QueueUnbind(name, key, topicExchange, nil) })
	if isMissing(err) {
		return nil
	}
	return err
}

// Bindings is what AMQP cannot do.
func (p *Provider) Bindings(ctx context.Context, _ string) ([]driver.Binding, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: AMQP cannot list bindings (rabbitmqctl list_bindings can)", driver.ErrNotSupported)
}

// Publish publishes msgs to the exchange for topics, and waits until the broker has
// confirmed each. It comes back if no queue is bound. The copies in several queues share
// an id.
func (p *Provider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	out, ids := make([]outgoing, len(msgs)), make([]string, len(msgs))
	for i := range msgs {
		if msgs[i].Delay > 0 {
			return nil, fmt.Errorf("%w: a delay of a message that is published (send it to a queue)", driver.ErrNotSupported)
		}
		var err error
		if out[i], err = p.outgoing(topic, &msgs[i]); err != nil {
			return nil, err
		}
		out[i].exchange, ids[i] = topicExchange, out[i].MessageId
	}
	if err := p.ensureTopics(ctx); err != nil {
		return nil, err
	}
	errs, err := p.publishAll(ctx, out)
	if err != nil {
		return nil, err
	}
	return published(ids, errs)
}

// errNobody is that of a message that no queue is bound for.
var errNobody = errors.New("no queue is bound to the topic")

// published returns what has become of messages with these ids. It is nil if no queue is
// bound for any of them.
func published(ids []string, errs []error) ([]driver.Published, error) {
	wanted := slices.ContainsFunc(errs, func(err error) bool { return err != errNobody })
	if !wanted {
		return nil, nil
	}
	for i, err := range errs {
		switch err {
		case nil:
		case errNobody:
			errs[i] = nil
		default:
			ids[i] = ""
		}
	}
	return []driver.Published{{IDs: ids}}, whole(errs)
}

// ensureTopics declares the exchange, unless it is there: then it takes no right to.
func (p *Provider) ensureTopics(ctx context.Context) error {
	if p.topics.Load() {
		return nil
	}
	err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(topicExchange, amqp.ExchangeTopic, true, false, false, false, nil)
	})
	if isMissing(err) {
		err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
			return declareExchange(ch, topicExchange, amqp.ExchangeTopic, nil)
		})
	}
	p.topics.Store(err == nil)
	return err
}
