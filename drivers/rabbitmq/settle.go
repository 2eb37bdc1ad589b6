package rabbitmq

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq/driver"
)

// Settle publishes the copies of what is archived, delayed, uncounted or has an
// error to keep, then acks and nacks, and then waits until the broker has done
// so. A crash in between leaves a message in both places.
func (p *Provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	b := &batch{p: p, name: name, settlements: s, errs: make([]error, len(s)), leases: make([]*lease, len(s)), copied: make([]bool, len(s))}
	b.claim(p.leasing(name))
	b.copy(ctx)
	b.finish(ctx)
	return driver.Batch(b.errs)
}

// Extend sets timers. The broker is not asked.
func (p *Provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	c := p.leasing(name)
	errs := make([]error, len(rs))
	for i, text := range rs {
		r, err := resolve(c, name, text)
		if err == nil {
			err = c.extend(r.tag, d)
		}
		errs[i] = err
	}
	return driver.Batch(errs)
}

// resolve returns a receipt that is of the channel.
func resolve(c *channel, name string, text driver.Receipt) (receipt, error) {
	r, err := parseReceipt(name, text)
	if err == nil && (c == nil || c.id != r.channel) {
		err = driver.ErrStaleReceipt
	}
	return r, err
}

// batch is a Settle under way.
type batch struct {
	p           *Provider
	name        string
	c           *channel
	settlements []driver.Settlement
	leases      []*lease // nil where there is nothing to do, or nothing any more
	copied      []bool   // a copy was published, so that the message is acked
	errs        []error
}

// claim claims the leases, and fails what needs no broker to fail.
func (b *batch) claim(c *channel) {
	b.c = c
	for i := range b.settlements {
		s := &b.settlements[i]
		r, err := resolve(c, b.name, s.Receipt)
		if err != nil || s.Op == driver.OpNack && s.Delay == driver.AtTimeout {
			b.errs[i] = err
			continue
		}
		switch s.Op {
		case driver.OpAck, driver.OpNack, driver.OpArchive:
			b.leases[i], b.errs[i] = c.claim(r.tag)
		default:
			b.errs[i] = driver.ErrNotSupported
		}
	}
}

// copy publishes the copies.
func (b *batch) copy(ctx context.Context) {
	var out []outgoing
	var items []int
	blocked := b.p.publisher.blocked() != nil
	for i, l := range b.leases {
		if l == nil || !takesCopy(&b.settlements[i], blocked) {
			continue
		}
		o, err := l.copyFor(b.name, &b.settlements[i])
		if err != nil {
			b.notCopied(i, err)
			continue
		}
		out, items = append(out, o), append(items, i)
	}
	if len(out) == 0 {
		return
	}
	errs, err := b.p.publish(ctx, b.name, out)
	for n, i := range items {
		err := err
		if err == nil {
			err = errs[n]
		}
		if b.copied[i] = err == nil; err != nil {
			b.notCopied(i, err)
		}
	}
}

// takesCopy reports whether a settlement takes a copy: AMQP changes no headers
// of a message that is given back. Where publishers are blocked a nack without
// a delay takes none: it would hold up the message, and a Consumer that stops.
func takesCopy(s *driver.Settlement, blocked bool) bool {
	switch {
	case s.Op != driver.OpNack:
		return s.Op == driver.OpArchive
	case s.Delay > 0:
		return true
	}
	return !blocked && (s.Uncounted || s.Reason != "")
}

// notCopied is the end of item i, whose copy was not published. A nack whose copy
// cannot be waits in this process, or is given back as it is if it has no delay.
func (b *batch) notCopied(i int, err error) {
	s := &b.settlements[i]
	tooLarge := errors.Is(err, driver.ErrTooLarge)
	switch {
	case s.Op == driver.OpNack && s.Delay > 0 && (tooLarge || errors.Is(err, errDelaysRefused)):
		b.c.postpone(b.leases[i], s.Delay)
		b.leases[i] = nil
	case s.Op == driver.OpNack && s.Delay <= 0 && (tooLarge || refused(err)):
		b.p.unnoted.Do(func() {
			b.p.log.Warn("rabbitmq: a nack counts as an attempt and keeps no error, since a copy of the message cannot be published", "error", err)
		})
	default:
		b.fail(i, b.copyError(i, err))
	}
}

// copyError tells a missing archive from a missing queue.
func (b *batch) copyError(i int, err error) error {
	if b.settlements[i].Op == driver.OpArchive && errors.Is(err, driver.ErrQueueNotFound) {
		return errNoArchive
	}
	return err
}

var errNoArchive = &amqpError{"the queue has no archive (EnsureQueue makes it; for a queue that was declared otherwise declare one named {queue}.archive)", driver.ErrNotSupported, errors.New("NO_ROUTE")}

// fail gives up the claim of item i.
func (b *batch) fail(i int, err error) {
	b.c.unclaim(b.leases[i])
	b.leases[i], b.errs[i] = nil, err
}

// finish acks and nacks what is left.
func (b *batch) finish(ctx context.Context) {
	var acks, nacks []*lease
	for i, l := range b.leases {
		switch {
		case l == nil:
		case b.settlements[i].Op == driver.OpAck || b.copied[i]:
			acks = append(acks, l)
		default:
			nacks = append(nacks, l)
		}
	}
	if len(acks)+len(nacks) == 0 {
		return
	}
	if err := b.c.finish(ctx, acks, nacks); err != nil {
		for i, l := range b.leases {
			if l != nil {
				b.errs[i] = err
			}
		}
	}
}

// finish acks and nacks claimed leases.
func (c *channel) finish(ctx context.Context, acks, nacks []*lease) error {
	if len(acks)+len(nacks) == 0 {
		return nil
	}
	if !c.settle(acks, nacks) {
		return driver.ErrStaleReceipt
	}
	sent := make(chan error, 1) // what is claimed is sent, whatever happens to ctx
	if !c.q.p.start(func() { sent <- c.send(acks, nacks); c.settled() }) {
		return driver.ErrClosed
	}
	select {
	case err := <-sent:
		return mapError(err, driver.ErrUnavailable)
	case <-c.silent:
		return noAnswer(driver.ErrUnavailable)
	case <-ctx.Done():
		return cutOff(ctx)
	}
}

// send returns nil when the queue has the acks. A nack that the broker's end of
// the channel holds back is carried out when that ends, if not before: nacks
// alone are worth no probe, which on RabbitMQ 4 may get one of them.
func (c *channel) send(acks, nacks []*lease) error {
	err := c.write(len(acks), func() error {
		for _, l := range acks {
			if err := c.Ack(l.tag, false); err != nil {
				return err
			}
		}
		return nil
	})
	tags := make([]uint64, len(nacks))
	for i, l := range nacks {
		tags[i] = l.tag
	}
	if err == nil {
		err = c.giveBack(tags...)
	}
	if err != nil {
		return err
	}
	if len(acks) == 0 {
		return c.call(func() error { return c.Qos(1, 0, false) })
	}
	return c.barrier()
}
