package rabbitstub

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portmq/mq/driver"
)

// QueueName takes names as they are, but those that RabbitMQ or the driver
// keeps for itself.
func (p *Provider) QueueName(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: queue name is empty", driver.ErrInvalid)
	case len(name) > maxName:
		return "", fmt.Errorf("%w: queue name is longer than %d bytes", driver.ErrInvalid, maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%w: queue name %q has control characters or is not UTF-8", driver.ErrInvalid, name)
	}
	for _, reserved := range []string{"amq.", delayPrefix} {
		if strings.HasPrefix(name, reserved) && name != delayLost {
			return "", fmt.Errorf("%w: queue name %q begins with %s, which is reserved", driver.ErrInvalid, name, reserved)
		}
	}
	return name, nil
}

// EnsureQueue creates the queue and its archive if they are not there. What is
// an archive already cannot become a queue that has one, since a broker does
// not change what a queue was declared with, and the other way round.
func (p *Provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	b := p.broker
	defer b.unlock()
	q, a := b.queues[name], b.queues[archiveOf(name)]
	if q != nil && q.plain || a != nil && !a.plain {
		return fmt.Errorf("queue %q or its archive was declared with other arguments, which RabbitMQ does not change (drop it, or use it as it is without EnsureQueue)", name)
	}
	b.ensure(archiveOf(name), true)
	b.ensure(name, false)
	b.ensure(delayLost, true)
	return nil
}

// archiveOf returns the name of a queue's archive, which is a queue like any
// other.
func archiveOf(name string) string { return name + archiveSuffix }

const archiveSuffix = ".archive"

func (b *Broker) ensure(name string, plain bool) {
	if b.queues[name] == nil {
		b.queues[name] = &queue{broker: b, name: name, plain: plain, leased: make(map[uint64]*message), patterns: make(map[string]bool)}
	}
}

// The queues that the driver makes for delays have names of their own. In one
// of them is what was delayed for a queue that was dropped meanwhile.
const (
	delayPrefix = "mq.delay."
	delayLost   = delayPrefix + "lost"
)

// DropQueue removes the queue and its archive. Messages that are delayed come
// to the next queue of that name, if there is one by then, and else to the
// queue mq.delay.lost.
func (p *Provider) DropQueue(ctx context.Context, name string) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	b := p.broker
	defer b.unlock()
	for _, name := range []string{name, archiveOf(name)} {
		p.dropped[name] = b.lastLease
		if q := b.queues[name]; q != nil {
			b.drop(q)
		}
	}
	return nil
}

func (b *Broker) drop(q *queue) {
	for _, m := range q.leased {
		b.release(m)
	}
	q.turnAway(driver.ErrQueueNotFound)
	delete(b.queues, q.name)
}

// ListQueues is what AMQP cannot do.
func (p *Provider) ListQueues(ctx context.Context) ([]string, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	p.broker.unlock()
	return nil, fmt.Errorf("%w: AMQP cannot list queues", driver.ErrNotSupported)
}

// PurgeQueue removes what is visible or leased by this client. AMQP reaches
// neither what other clients have leased nor what is delayed.
func (p *Provider) PurgeQueue(ctx context.Context, name string) (int64, error) {
	q, err := p.lockQueue(ctx, name)
	if err != nil {
		return 0, err
	}
	b := p.broker
	defer b.unlock()
	n := q.len()
	q.fresh, q.returned = fifo{}, fifo{}
	for _, m := range q.leased {
		if m.holder == p && !m.settling {
			b.release(m)
			n++
		}
	}
	return int64(n), nil
}

// Stats counts what can be received, in the queue and in its archive. AMQP shows
// no more.
func (p *Provider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	q, err := p.lockQueue(ctx, name)
	if err != nil {
		return driver.Stats{}, err
	}
	defer p.broker.unlock()
	archived := int64(-1)
	if a := p.broker.queues[archiveOf(name)]; a != nil {
		archived = int64(a.len())
	}
	s := driver.Stats{
		Total:     -1,
		Visible:   int64(q.len()),
		Leased:    -1,
		Delayed:   -1,
		Archived:  archived,
		TotalSent: -1,
		OldestAge: -1,
		NewestAge: -1,
		Lag:       -1,
		ScrapedAt: p.broker.now,
	}
	if s.Visible == 0 {
		s.Lag = 0
	}
	return s, nil
}
