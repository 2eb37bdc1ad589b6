package mem

import (
	"context"

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
		q.insert(m, msgs[i].Delay)
	}
	q.unlock()
	return ids(added), nil
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
