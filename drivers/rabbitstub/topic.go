package rabbitstub

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/portmq/mq/driver"
)

// checkPattern refuses what drivers/rabbitmq cannot make a pattern of AMQP of: "#" beside
// dots becomes "*.#" there.
func checkPattern(pattern string) error {
	words := strings.Split(pattern, ".")
	size := len(pattern)
	for _, w := range words {
		switch {
		case len(w) > 1 && strings.ContainsAny(w, "*#"):
			return fmt.Errorf("%w: a wildcard within a word, as in %q: AMQP has them for whole words only", driver.ErrNotSupported, w)
		case w == "#" && len(words) > 1:
			size += len("*.")
		}
	}
	if size > 255 {
		return fmt.Errorf("%w: a pattern that has more than AMQP's 255 bytes once each # is *.#", driver.ErrNotSupported)
	}
	return nil
}

// Bind binds the queue to a pattern.
func (p *Provider) Bind(ctx context.Context, name, pattern string) error {
	if err := checkPattern(pattern); err != nil {
		return err
	}
	q, err := p.lockQueue(ctx, name)
	if err != nil {
		return err
	}
	defer p.broker.unlock()
	q.patterns[pattern] = true
	return nil
}

// Unbind removes a binding.
func (p *Provider) Unbind(ctx context.Context, name, pattern string) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.broker.unlock()
	if q := p.broker.queues[name]; q != nil {
		delete(q.patterns, pattern)
	}
	return nil
}

// Bindings is what AMQP cannot do.
func (p *Provider) Bindings(ctx context.Context, _ string) ([]driver.Binding, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	p.broker.unlock()
	return nil, fmt.Errorf("%w: AMQP cannot list bindings", driver.ErrNotSupported)
}

// Publish publishes messages to all queues that are bound to the topic. While the broker
// blocks publishers it does what Send does.
func (p *Provider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	if slices.ContainsFunc(msgs, func(m driver.Message) bool { return m.Delay > 0 }) {
		return nil, fmt.Errorf("%w: a delay of a message that is published (send it to a queue)", driver.ErrNotSupported)
	}
	if err := checkMessages("", msgs); err != nil {
		return nil, err
	}
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	b := p.broker
	defer b.unlock()
	sent, ids := newMessages("", msgs)
	var bound []string
	err := p.publish(ctx, func() error {
		bound = b.bound(topic)
		for _, m := range sent {
			m.enqueued = b.now
			for _, name := range bound {
				b.route(&message{content: m.content, queue: name})
			}
		}
		return nil
	})
	if err != nil || len(bound) == 0 {
		return nil, err
	}
	return []driver.Published{{IDs: ids}}, nil
}

// bound returns the queues that are bound to a topic.
func (b *Broker) bound(topic string) (names []string) {
	for name, q := range b.queues {
		for pattern := range q.patterns {
			if driver.MatchTopic(pattern, topic) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}
