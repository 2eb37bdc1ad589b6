package rabbitstub

import (
	"cmp"
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

// Receive leases messages, those first that were given back.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	q, err := p.lockQueue(ctx, name)
	if err != nil {
		return nil, err
	}
	views := q.claim(p, r)
	if len(views) == 0 && r.Wait > 0 {
		views, err = p.wait(ctx, q, r)
	}
	p.broker.unlock()
	return p.deliveries(name, views), err
}

// wait waits for messages. The lock is held before and after, but not meanwhile.
func (p *Provider) wait(ctx context.Context, q *queue, r driver.ReceiveRequest) ([]view, error) {
	w := q.wait(p, r)
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	p.broker.unlock()
	var err error
	select {
	case <-w.done:
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	case <-p.done:
		err = driver.ErrClosed
	}
	p.broker.lock()
	q.leave(w)
	if len(w.views) > 0 {
		return w.views, nil
	}
	return nil, cmp.Or(w.err, err)
}
