package rabbitstub

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/portmq/mq/driver"
)

// Send publishes messages. While the broker blocks publishers it waits, and
// may publish what it was given even after ctx has ended.
func (p *Provider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	if err := checkMessages(name, msgs); err != nil {
		return nil, err
	}
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	b := p.broker
	defer b.unlock()
	sent, ids := newMessages(name, msgs)
	err := p.publish(ctx, func() error {
		if b.queues[name] == nil {
			return driver.ErrQueueNotFound
		}
		for i, m := range sent {
			m.enqueued = b.now
			b.put(m, msgs[i].Delay)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// put brings a message on its way.
func (b *Broker) put(m *message, delay time.Duration) {
	if delay > 0 {
		b.delay(m, delay)
		return
	}
	b.route(m)
}

// newMessages copies msgs.
func newMessages(queue string, msgs []driver.Message) (ms []*message, ids []string) {
	ms, ids = make([]*message, len(msgs)), make([]string, len(msgs))
	for i, m := range msgs {
		ids[i] = rand.Text()
		ms[i] = &message{queue: queue, content: &content{id: ids[i], body: string(m.Body), headers: cloneHeaders(m.Headers)}}
	}
	return ms, ids
}
