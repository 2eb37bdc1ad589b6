package rabbitmq

import (
	"context"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// Receive leases what the broker delivers to consumers that are there for this
// call only: one that stayed would be sent messages that nobody asked for.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	c, err := p.queue(name).open(ctx)
	if err != nil {
		return nil, err
	}
	d := &demand{c: c, ReceiveRequest: r, stop: make(chan struct{}), met: make(chan supply, 1)}
	if !p.start(d.meet) {
		return nil, driver.ErrClosed
	}
	return d.await(ctx)
}

// demand is a Receive under way. It runs in a goroutine of its own, since the
// calls of amqp091-go know no context.
type demand struct {
	driver.ReceiveRequest
	c    *channel
	stop chan struct{} // closed when the waiting is to end
	met  chan supply
	fate atomic.Int32
	open bool // a consumer was cancelled that could still be sent something
}

type supply struct {
	ds  []amqp.Delivery
	err error
}

// The fates of a demand: what was delivered is either handed over or, if the
// receiver has left, given back.
const (
	undecided = iota
	handedOver
	abandoned
)

// claimGrace is how long a claim may go on when its caller's ctx has ended.
const claimGrace = time.Second

// await returns what the demand gets. When ctx ends, what is delivered already
// is still returned.
func (d *demand) await(ctx context.Context) ([]driver.Delivery, error) {
	select {
	case s := <-d.met:
		return d.take(ctx, s)
	case <-d.c.q.p.done:
		return nil, driver.ErrClosed
	case <-d.c.silent:
		return d.giveUp(ctx)
	case <-ctx.Done():
	}
	close(d.stop)
	grace := time.NewTimer(claimGrace)
	defer grace.Stop()
	select {
	case s := <-d.met:
		return d.take(ctx, s)
	case <-grace.C:
	}
	if d.fate.CompareAndSwap(undecided, abandoned) {
		return nil, ctx.Err()
	}
	return d.take(ctx, <-d.met)
}

// giveUp is for a demand on a channel that was given up.
func (d *demand) giveUp(ctx context.Context) ([]driver.Delivery, error) {
	if !d.fate.CompareAndSwap(undecided, abandoned) {
		return d.take(ctx, <-d.met)
	}
	return nil, noAnswer(driver.ErrBadConn)
}

// take leases what was handed over.
func (d *demand) take(ctx context.Context, s supply) (ds []driver.Delivery, err error) {
	switch {
	case s.err != nil:
		err = d.c.q.p.readError(s.err)
	case len(s.ds) == 0:
		err = ctx.Err()
	default:
		ds = d.c.lease(s.ds, d.Visibility)
	}
	d.c.handed()
	return ds, err
}

// meet gets messages and hands them over.
func (d *demand) meet() {
	s := supply{err: amqp.ErrClosed}
	if d.c.begin() {
		s = d.collect()
	}
	_ = d.c.giveBack(d.c.conclude(s.ds, d.open)...) // if this fails the broker has done it
	if !d.fate.CompareAndSwap(undecided, handedOver) {
		for i := range s.ds {
			_ = d.c.giveBack(s.ds[i].DeliveryTag)
		}
		d.c.handed()
		return
	}
	d.met <- s
}

// collect asks each consumer for as many messages as there are. One that gets
// what it asked for can be sent nothing more, and so be cancelled in passing.
// What is on its way to any other when it is cancelled may be lost, since the
// broker confirms first, and amqp091-go then knows it no more.
func (d *demand) collect() (s supply) {
	var ready int
	if d.Wait <= 0 || d.Max == 1 {
		ready = d.get(&s)
	} else {
		ready = d.count(&s)
	}
	if d.Wait > 0 && len(s.ds) == 0 && ready == 0 && s.err == nil {
		d.consume(&s, 1, d.Wait)
		if s.err == nil && len(s.ds) > 0 && d.Max > 1 {
			ready = d.count(&s)
		}
	}
	if n := min(d.Max-len(s.ds), ready); n > 0 && s.err == nil {
		d.consume(&s, n, quiet)
	}
	if len(s.ds) > 0 && d.c.over() { // the broker has given them to others
		s = supply{err: amqp.ErrClosed}
	}
	return s
}

// get asks for one message, and returns how many are left.
func (d *demand) get(s *supply) (ready int) {
	s.err = d.c.ask(func() error {
		m, ok, err := d.c.Get(d.c.q.name, false)
		if ok {
			s.ds, ready = append(s.ds, m), int(m.MessageCount)
		}
		return err
	})
	return ready
}

// count returns how many messages are ready.
func (d *demand) count(s *supply) (ready int) {
	s.err = d.c.call(func() error {
		info, err := d.c.QueueDeclarePassive(d.c.q.name, true, false, false, false, nil)
		ready = info.Messages
		return err
	})
	return ready
}

// quiet is how long to wait for messages that should be there: others may have
// taken them.
const quiet = 20 * time.Millisecond

// consume is a consumer of n messages. It waits for the first, and shorter for
// the others.
func (d *demand) consume(s *supply, n int, wait time.Duration) {
	tag := nextConsumer()
	var ds <-chan amqp.Delivery
	s.err = d.c.ask(func() (err error) {
		if err = d.c.Qos(n, 0, false); err == nil {
			ds, err = d.c.Consume(d.c.q.name, tag, false, false, false, false, nil)
		}
		return err
	})
	if s.err != nil {
		return
	}
	got := d.wait(ds, n, wait)
	if len(got) == n {
		s.ds, s.err = append(s.ds, got...), d.c.Cancel(tag, true)
		return
	}
	d.open = true
	s.err = d.c.call(func() error { return d.c.Cancel(tag, false) })
	for m := range ds { // what came until the broker knew
		got = append(got, m)
	}
	s.ds = append(s.ds, got...)
}

// wait takes up to n messages.
func (d *demand) wait(from <-chan amqp.Delivery, n int, wait time.Duration) (ds []amqp.Delivery) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	stop := d.stop
	for len(ds) < n {
		select {
		case m, ok := <-from:
			if !ok {
				return ds
			}
			ds = append(ds, m)
			if wait = quiet; len(ds) < n {
				timer.Reset(quiet)
			}
		case <-timer.C:
			return ds
		case <-stop:
			if wait > quiet { // there is none as yet
				return ds
			}
			stop = nil
		}
	}
	return ds
}
