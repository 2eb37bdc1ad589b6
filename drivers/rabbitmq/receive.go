package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// Receive leases what the broker delivers to consumers that are there for this
// call only: one that stayed would be sent messages that nobody asked for.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	for {
		start, once := time.Now(), r
		once.Wait = min(r.Wait, consumerLife)
		ds, err := p.receive(ctx, name, once)
		if r.Wait -= time.Since(start); err != nil || len(ds) > 0 || once.Wait < consumerLife || r.Wait <= 0 {
			return ds, err
		}
	}
}

// consumerLife is how long a consumer waits before another one takes its place, on another
// channel if the queue has no lease. If a quorum queue is deleted and declared again at
// once, RabbitMQ (3.10.8) cancels no consumer: those of the old queue become the new
// one's, and what it sends them does not arrive.
const consumerLife = 10 * time.Second

func (p *Provider) receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	q := p.queue(name)
	c, err := q.open(ctx)
	if err != nil {
		return nil, err
	}
	d := &demand{c: c, ReceiveRequest: r, stop: make(chan struct{}), met: make(chan supply, 1)}
	if !p.start(d.meet) {
		return nil, driver.ErrClosed
	}
	ds, err := d.await(ctx)
	if errors.Is(err, driver.ErrQueueNotFound) {
		p.forget(name, q)
	}
	return ds, err
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
	ds    []amqp.Delivery
	fresh []amqp.Delivery // those of ds that came with this demand
	bytes int             // of ds
	err   error
}

// add adds messages, of which sizes takes note if they are fresh.
func (s *supply) add(sizes *sizes, ds []amqp.Delivery) {
	s.ds = append(s.ds, ds...)
	for i := range ds {
		n := sizeOf(&ds[i])
		s.bytes += n
		if sizes != nil {
			sizes.see(n)
		}
	}
	if sizes != nil {
		s.fresh = append(s.fresh, ds...)
	}
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

// meet gets messages and hands them over. What nobody waits for any more is
// kept for the next receiver: given back it would count as a read.
func (d *demand) meet() {
	s := supply{err: amqp.ErrClosed}
	if d.c.begin() {
		s = d.collect()
	}
	_ = d.c.giveBack(d.c.conclude(s.fresh, d.open)...) // if this fails the broker has done it
	if !d.fate.CompareAndSwap(undecided, handedOver) {
		d.c.keep(s.ds)
		d.c.handed()
		return
	}
	d.met <- s
}

// collect takes what was kept, and then asks for as much as there is. It waits
// for a first message as long as the call has, and does not believe twice that
// there is one: others may be faster.
func (d *demand) collect() (s supply) {
	s.ds = d.c.kept(d.Max)
	end := time.Now().Add(d.Wait)
	for first := true; ; first = false {
		ready := d.look(&s)
		if wait := time.Until(end); len(s.ds) == 0 && (ready == 0 || !first) && wait > 0 && s.err == nil {
			ready = d.first(&s, wait)
		}
		d.fill(&s, ready)
		if d.finished(&s, end) {
			break
		}
	}
	if len(s.ds) > 0 && d.c.over() { // the broker has given them to others
		s = supply{err: amqp.ErrClosed}
	}
	return s
}

// shortWait is what no consumer is worth. A quorum queue takes back what it
// sends to a consumer that is just being cancelled, and counts it as read. With
// many short waits that is no rare event.
const shortWait = 50 * time.Millisecond

// first waits for one message, and returns how many are ready behind it.
func (d *demand) first(s *supply, wait time.Duration) (ready int) {
	if wait > shortWait {
		d.consume(s, 1, wait)
		return d.more(s)
	}
	t := time.NewTimer(min(wait, quiet/4))
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.c.spared:
	case <-d.stop:
	}
	return d.get(s)
}

// finished reports whether a collection ends. What was ready may have gone to
// others.
func (d *demand) finished(s *supply, end time.Time) bool {
	select {
	case <-d.stop:
		return true
	default:
		s.add(nil, d.c.kept(d.Max-len(s.ds)))
		return len(s.ds) > 0 || s.err != nil || !time.Now().Before(end)
	}
}

// look returns how many messages are ready. It gets one if that is all that is
// asked for, or where it must not wait, or if it is not known how large the
// messages of the queue are.
func (d *demand) look(s *supply) (ready int) {
	switch {
	case len(s.ds) >= d.Max:
		return 0
	case len(s.ds) == 0 && (d.Wait <= 0 || d.Max == 1 || d.c.q.sizes.unknown()):
		return d.get(s)
	}
	return d.count(s)
}

// more is look for those who have a message.
func (d *demand) more(s *supply) (ready int) {
	if s.err != nil || len(s.ds) == 0 || d.Max <= 1 {
		return 0
	}
	return d.count(s)
}

// get asks for one message, and returns how many are left.
func (d *demand) get(s *supply) (ready int) {
	s.err = d.c.ask(func() error {
		m, ok, err := d.c.Get(d.c.q.name, false)
		if ok {
			ready = int(m.MessageCount)
			s.add(&d.c.q.sizes, []amqp.Delivery{m})
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

// firstFill is how many messages are asked for before their size is seen. Each
// further consumer of a call may have twice as many.
const firstFill = 128

// fill asks one consumer after the other for what is ready, as far as the
// claim may grow in messages and in bytes.
func (d *demand) fill(s *supply, ready int) {
	for most := firstFill; s.err == nil; most *= 2 {
		n := min(d.Max-len(s.ds), ready, most, d.c.q.sizes.fit(s.bytes))
		if n <= 0 {
			return
		}
		had := len(s.ds)
		if n <= few {
			d.get(s)
			n = 1
		} else {
			d.consume(s, n, quiet)
		}
		if len(s.ds) < had+n { // others have taken the rest
			return
		}
		ready -= n
	}
}

// few is how many messages are got one by one. That takes no longer than a
// consumer, and there is nothing to cancel.
const few = 2

// quiet is how long to wait for messages that should be there: others may have
// taken them.
const quiet = 20 * time.Millisecond

// consume is a consumer of n messages. It waits for the first, and shorter for
// the others. One that gets what it asked for can be sent nothing more, and so
// be cancelled in passing.
func (d *demand) consume(s *supply, n int, wait time.Duration) {
	tag := nextConsumer()
	var from <-chan amqp.Delivery
	s.err = d.c.ask(func() (err error) {
		if err = d.c.Qos(n, 0, false); err == nil {
			from, err = d.c.Consume(d.c.q.name, tag, false, false, false, false, nil)
		}
		return err
	})
	if s.err != nil {
		return
	}
	got := d.wait(from, n, wait)
	for more := len(got) < n; more && s.err == nil; {
		s.err = d.c.catchUp()
		late := d.wait(from, n-len(got), quiet)
		got, more = append(got, late...), len(late) > 0 && len(got)+len(late) < n
	}
	s.add(&d.c.q.sizes, d.cancel(s, tag, from, got, n))
}

// cancel cancels a consumer of n messages that has got some, and returns those
// and what else came until the broker knew.
func (d *demand) cancel(s *supply, tag string, from <-chan amqp.Delivery, got []amqp.Delivery, n int) []amqp.Delivery {
	if len(got) == n {
		s.err = cmp.Or(s.err, d.c.Cancel(tag, true))
		return got
	}
	d.open = true
	err := d.c.call(func() error { return d.c.Cancel(tag, false) })
	s.err = cmp.Or(s.err, err)
	for m := range from {
		got = append(got, m)
	}
	return got
}

// catchUp returns when the broker has sent all that the queue had for the
// consumers of the channel when it was called. Bodies that are read from disk,
// or pass through a slow line, may take seconds. The broker takes back what
// comes for a consumer that was cancelled, and counts it as read.
func (c *channel) catchUp() error {
	return c.call(func() error {
		if _, err := c.QueueDeclarePassive(c.q.name, true, false, false, false, nil); err != nil { // which the queue answers
			return err
		}
		return c.Qos(1, 0, false) // which comes behind what the queue has sent before
	})
}

// wait takes up to n messages.
func (d *demand) wait(from <-chan amqp.Delivery, n int, wait time.Duration) (ds []amqp.Delivery) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	stop, spared := d.stop, d.c.spared
	for len(ds) < n {
		select {
		case m, ok := <-from:
			if !ok {
				return ds
			}
			ds = append(ds, m)
			if wait, spared = quiet, nil; len(ds) < n {
				timer.Reset(quiet)
			}
		case <-timer.C:
			return ds
		case <-spared:
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
