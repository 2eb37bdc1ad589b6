package rabbitmq

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// lockPrefix is what the names of the queues begin with that serve as locks.
const lockPrefix = "mq.lock."

// The pause before a lock is tried again, and how long that goes on.
const (
	lockPause = 20 * time.Millisecond
	lockLimit = 30 * time.Second
)

// locked runs f while no other client runs one for the same name. Two programs
// that declare one quorum queue at the same time may both make it, and what the
// first has stored by then is gone. An exclusive queue is a lock that ends with
// its connection at the latest; it does not tell two users of one connection
// apart, so that these take turns.
func (p *Provider) locked(ctx context.Context, name string, f func() error) error {
	select {
	case p.making <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.making }()
	lock := lockPrefix + name
	for end := time.Now().Add(lockLimit); ; {
		err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(lock, false, true, true, false, nil)
			return err
		})
		native := (*amqp.Error)(nil)
		if err == nil {
			break
		}
		if !errors.As(err, &native) || native.Code != amqp.ResourceLocked || time.Now().After(end) {
			return err
		}
		if err := p.sleep(ctx, lockPause); err != nil {
			return err
		}
	}
	defer p.unlock(lock)
	return f()
}

// unlock also works when the ctx of the call has ended.
func (p *Provider) unlock(lock string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		_, err := ch.QueueDelete(lock, false, false, false)
		return err
	})
	if err != nil {
		p.log.Debug("rabbitmq: a lock ends with its connection", "lock", lock, "error", err)
	}
}

func (p *Provider) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return driver.ErrClosed
	}
}
