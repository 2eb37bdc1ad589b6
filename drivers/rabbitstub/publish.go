package rabbitstub

import (
	"context"
	"fmt"

	"github.com/portmq/mq/driver"
)

// publication is what a client wants to publish while the broker blocks
// publishers.
type publication struct {
	p       *Provider
	publish func() error
	err     error
	done    chan struct{} // closed when it is over
	over    bool
}

func (x *publication) end(err error) {
	x.err, x.over = err, true
	close(x.done)
}

// publish calls f once the broker takes messages. The lock is held before and
// after, and while f runs, but not while it waits.
//
// When ctx ends meanwhile, what was to be published is on its way to the broker
// all the same, which takes it in the end unless the connection is lost before.
func (p *Provider) publish(ctx context.Context, f func() error) error {
	b := p.broker
	if !b.blocked {
		return f()
	}
	x := &publication{p: p, publish: f, done: make(chan struct{})}
	b.spool = append(b.spool, x)
	b.unlock()
	select {
	case <-x.done:
	case <-ctx.Done():
	}
	b.lock()
	if x.over {
		return x.err
	}
	return fmt.Errorf("%w (the broker blocks publishers): %w", driver.ErrUnavailable, ctx.Err())
}
