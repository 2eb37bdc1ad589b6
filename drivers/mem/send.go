package mem

import (
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

// Send appends all messages or none.
func (p *Provider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	added := newMessages(msgs)
	q, err := p.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	for i, m := range added {
		q.reserve(m)
		q.insert(m, due(&msgs[i]))
	}
	q.unlock()
	return ids(added), nil
}

// due returns when a message is due, from the send on.
func due(m *driver.Message) time.Duration {
	if m.HeadStart > 0 {
		return -m.HeadStart
	}
	return m.Delay
}

// newMessages copies msgs.
func newMessages(msgs []driver.Message) []*message {
	ms := make([]*message, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		ms[i] = &message{content: content{body: string(m.Body), headers: cloneHeaders(m.Headers), group: m.Group}}
	}
	return ms
}

func ids(ms []*message) []string {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = formatID(m.id)
	}
	return ids
}
