package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// archiveSuffix is what the name of a queue's archive ends in.
const archiveSuffix = ".archive"

func archiveOf(queue string) string { return queue + archiveSuffix }

// queueArgs are what a queue is declared with. The delivery limit is one that
// no message reaches: before 4.0 a queue without one puts what is given back
// behind all others, -1 and 0 mean that it is dead at once, and since 4.0 the
// default is 20. What is rejected or expires goes to the archive.
func queueArgs(queue string) amqp.Table {
	return amqp.Table{
		"x-delivery-limit":          int64(1<<31 - 1),
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": archiveOf(queue),
		"x-dead-letter-strategy":    "at-least-once",
		"x-overflow":                "reject-publish",
	}
}

func declareQuorum(ch *amqp.Channel, name string, args amqp.Table) error {
	all := amqp.Table{"x-queue-type": "quorum"}
	maps.Copy(all, args)
	_, err := ch.QueueDeclare(name, true, false, false, false, all)
	return err
}

// EnsureQueue declares the queue and its archive. What is there already costs
// no lock, and needs no right to configure it: a user without that right cannot
// see whether it was declared otherwise.
func (p *Provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	n, err := p.exist(ctx, name, archiveOf(name))
	if err != nil {
		return err
	}
	declare := func() error { return p.declare(ctx, name, n > 0) }
	if n == 2 {
		if err = declare(); refused(err) {
			return nil
		}
	} else {
		err = p.locked(ctx, name, declare)
	}
	if refused(err) {
		return fmt.Errorf("making queue %q needs the right to configure it, %s and %s, to read it, and to write to amq.default: %w",
			name, archiveOf(name), lockPrefix+name, err)
	}
	native := (*amqp.Error)(nil)
	if errors.As(err, &native) && native.Code == amqp.PreconditionFailed {
		return fmt.Errorf("queue %q or its archive was declared with other arguments, which RabbitMQ does not change (drop it, or use it as it is without EnsureQueue): %w", name, err)
	}
	return err
}

// declare declares the archive first, since a queue should have one from the
// beginning. Where the queue is there it comes first: if somebody else has
// declared it otherwise, it is to get no archive.
func (p *Provider) declare(ctx context.Context, name string, there bool) error {
	err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		archive := func() error { return declareQuorum(ch, archiveOf(name), nil) }
		queue := func() error { return declareQuorum(ch, name, queueArgs(name)) }
		first, second := archive, queue
		if there {
			first, second = queue, archive
		}
		if err := first(); err != nil {
			return err
		}
		return second()
	})
	if err != nil {
		return err
	}
	return p.rebind(ctx, name)
}

// exist returns how many of some queues are there, up to the first that is not.
func (p *Provider) exist(ctx context.Context, names ...string) (n int, err error) {
	err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		for n < len(names) {
			if _, err := ch.QueueDeclarePassive(names[n], true, false, false, false, nil); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil && !errors.Is(err, driver.ErrQueueNotFound) {
		return 0, err
	}
	return n, nil
}

// rebind makes delayed messages find a queue that was dropped and made again,
// if there are any delays in the vhost.
func (p *Provider) rebind(ctx context.Context, name string) error {
	word, err := delayWord(name)
	if err != nil {
		return nil // it will have no delays
	}
	err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		if err := ch.ExchangeDeclarePassive(delayOut, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
			return err
		}
		return bindOut(ch, name, word)
	})
	if isMissing(err) || refused(err) { // who may not bind has no delays, and others bind when they need to
		return nil
	}
	return err
}

// DropQueue deletes queue and archive, and ends the leases that this client
// has. Those of others end at their next call.
func (p *Provider) DropQueue(ctx context.Context, name string) error {
	for _, q := range []string{name, archiveOf(name)} {
		p.forget(q, nil)
	}
	return p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		for _, q := range []string{name, archiveOf(name)} {
			if _, err := ch.QueueDelete(q, false, false, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListQueues is what AMQP cannot do.
func (p *Provider) ListQueues(ctx context.Context) ([]string, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: AMQP cannot list queues (rabbitmqctl list_queues can)", driver.ErrNotSupported)
}

// PurgeQueue removes what is visible or leased by this client. AMQP reaches
// neither what other clients have leased nor what is delayed.
func (p *Provider) PurgeQueue(ctx context.Context, name string) (n int64, err error) {
	err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		purged, err := ch.QueuePurge(name, false)
		n = int64(purged)
		return err
	})
	if err != nil {
		return 0, err
	}
	if l := p.leasing(name); l != nil {
		var acked int
		acked, err = l.ackAll(ctx)
		n += int64(acked)
	}
	return n, err
}

// Stats counts what is ready, in the queue and in its archive.
func (p *Provider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	s := driver.Stats{Total: -1, Visible: -1, Leased: -1, Delayed: -1, Archived: -1, TotalSent: -1, OldestAge: -1, NewestAge: -1, Lag: -1}
	err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		info, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		if s.Visible, s.ScrapedAt = int64(info.Messages), time.Now(); info.Messages == 0 {
			s.Lag = 0
		}
		return err
	})
	if err != nil {
		return driver.Stats{}, err
	}
	err = p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		info, err := ch.QueueDeclarePassive(archiveOf(name), true, false, false, false, nil)
		if err == nil {
			s.Archived = int64(info.Messages)
		}
		return err
	})
	if err != nil && !errors.Is(err, driver.ErrQueueNotFound) { // a queue of somebody else's has none
		return driver.Stats{}, err
	}
	return s, nil
}
