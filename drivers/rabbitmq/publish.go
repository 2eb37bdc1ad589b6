package rabbitmq

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// Send publishes msgs, and waits until the broker has confirmed each.
func (p *Provider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	out := make([]outgoing, len(msgs))
	ids := make([]string, len(msgs))
	for i := range msgs {
		var err error
		if out[i], err = p.outgoing(name, &msgs[i]); err != nil {
			return nil, err
		}
		ids[i] = out[i].MessageId
	}
	errs, err := p.publish(ctx, name, out)
	if err != nil {
		return nil, err
	}
	for i := range errs {
		if errs[i] != nil {
			ids[i] = ""
		}
	}
	return ids, whole(errs)
}

// whole returns the error of a batch: one for all where they have the same
// fate, so that mq can tell that nothing was applied.
func whole(errs []error) error {
	for _, is := range []error{driver.ErrQueueNotFound, driver.ErrBadConn, driver.ErrUnavailable, driver.ErrTooLarge} {
		all := true
		for _, err := range errs {
			all = all && errors.Is(err, is)
		}
		if all {
			return errs[0]
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return driver.Batch(errs)
}

// publish sends messages, of which the delayed ones are for the queue name. If
// err is nil errs says of each what became of it.
func (p *Provider) publish(ctx context.Context, name string, out []outgoing) (errs []error, err error) {
	if err := p.prepareDelays(ctx, name, out); err != nil {
		return p.publishUndelayed(ctx, out, err)
	}
	return p.publishAll(ctx, out)
}

// publishUndelayed is publish where delays do not work.
func (p *Provider) publishUndelayed(ctx context.Context, out []outgoing, cause error) (errs []error, err error) {
	errs = make([]error, len(out))
	var rest []outgoing
	var items []int
	for i := range out {
		if errs[i] = cause; out[i].exchange == "" {
			rest, items = append(rest, out[i]), append(items, i)
		}
	}
	if len(rest) == 0 {
		return nil, cause
	}
	more, err := p.publishAll(ctx, rest)
	for n, i := range items {
		if errs[i] = err; err == nil {
			errs[i] = more[n]
		}
	}
	return errs, nil
}

func (p *Provider) publishAll(ctx context.Context, out []outgoing) (errs []error, err error) {
	s, err := p.publisher.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.awaitUnblocked(ctx, s); err != nil {
		return nil, err
	}
	numberTwins(out)
	f := &flight{p: p, s: s, out: out, landed: make(chan []error, 1), abandoned: make(chan struct{})}
	if !p.start(func() { f.landed <- f.fly() }) {
		return nil, driver.ErrClosed
	}
	silent := make(chan struct{})
	defer s.watch(func() { close(silent) })()
	select {
	case errs := <-f.landed:
		return errs, nil
	case <-ctx.Done():
		close(f.abandoned)
		return nil, cutOff(ctx)
	case <-silent:
		close(f.abandoned)
		return nil, noAnswer(driver.ErrUnavailable)
	}
}

// prepareDelays makes what the delayed ones among out need.
func (p *Provider) prepareDelays(ctx context.Context, name string, out []outgoing) error {
	top := -1
	for i := range out {
		if out[i].exchange != "" {
			top = max(top, topLevel(out[i].exchange))
		}
	}
	if top < 0 {
		return nil
	}
	if err := p.ladders.refusal(); err != nil {
		return err
	}
	err := p.openDelays(ctx, name, top)
	if refused(err) {
		err = &amqpError{"delays need rights that the user lacks: " + err.Error(), errDelaysRefused, err}
		p.ladders.refuse(err, p.log)
	}
	return err
}

// errDelaysRefused is that of delays that the user may neither make nor use.
var errDelaysRefused = errors.New("delays refused")

// openDelays makes the levels up to top, and binds a queue. Where they are there
// it takes no right to make them.
func (p *Provider) openDelays(ctx context.Context, name string, top int) error {
	declare := func() error {
		return p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error { return p.declareDelays(ch, name, top) })
	}
	if p.ladders.reached() <= top {
		there, err := p.findDelays(ctx, top)
		if err != nil {
			return err
		}
		if !there {
			return p.locked(ctx, delayOut, declare)
		}
	}
	return declare() // there is only a binding to make
}

// awaitUnblocked waits while the broker is known to block publishers: what is
// published now would arrive some time after the caller was told that it has
// failed.
func (p *Provider) awaitUnblocked(ctx context.Context, s *session) error {
	for {
		cleared, reason := s.blockade()
		if cleared == nil {
			return nil
		}
		select {
		case <-cleared:
		case <-p.done:
			return driver.ErrClosed
		case <-ctx.Done():
			return errors.Join(blockedError(reason, driver.ErrUnavailable), ctx.Err())
		}
	}
}

// confirmer is a channel for one flight at a time, so that what comes back on
// it belongs to that.
type confirmer struct {
	*amqp.Channel
	returns chan amqp.Return
	closed  chan *amqp.Error
}

func (s *session) confirmer(p *Provider) (*confirmer, error) {
	s.mu.Lock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if !c.IsClosed() {
			s.mu.Unlock()
			return c, nil
		}
	}
	s.mu.Unlock()
	ch, err := p.newChannel(s)
	if err != nil {
		return nil, err
	}
	c := &confirmer{
		Channel: ch,
		returns: ch.NotifyReturn(make(chan amqp.Return, maxBatch)),
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
	}
	return c, ch.Confirm(false)
}

func (s *session) release(c *confirmer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, c)
}

// flight is a batch that is published together.
type flight struct {
	p         *Provider
	s         *session
	out       []outgoing
	abandoned chan struct{} // closed when nobody waits for it any more
	landed    chan []error
}

// fly publishes, and waits for the confirms. It may be held up for long where
// the broker does not read, and does not end with a ctx.
func (f *flight) fly() []error {
	c, err := f.s.confirmer(f.p)
	if err != nil {
		return f.all(mapError(err, driver.ErrBadConn))
	}
	errs := make([]error, len(f.out))
	confirms := make([]*amqp.DeferredConfirmation, 0, len(f.out))
	for i := range f.out {
		o := &f.out[i]
		if f.left() {
			break
		}
		dc, err := c.PublishWithDeferredConfirm(o.exchange, o.key, true, false, o.Publishing)
		if err != nil {
			f.notPublished(errs, i, err)
			break
		}
		confirms = append(confirms, dc)
	}
	f.await(c, confirms)
	f.judge(errs, confirms, c)
	if !c.IsClosed() {
		f.s.release(c)
	}
	return errs
}

// left reports whether nobody waits any more.
func (f *flight) left() bool {
	select {
	case <-f.abandoned:
		return true
	default:
		return false
	}
}

// await returns when all is confirmed or the channel has ended. When nobody
// waits any more a broker has a little longer to confirm: without a majority of
// its nodes a queue never does, and each send would leave a channel behind.
func (f *flight) await(c *confirmer, confirms []*amqp.DeferredConfirmation) {
	abandoned, over := f.abandoned, (<-chan time.Time)(nil)
	for _, dc := range confirms {
		for waiting := true; waiting; {
			select {
			case <-dc.Done():
				waiting = false
			case <-abandoned:
				abandoned, over = nil, time.After(closeLimit)
			case <-over:
				_ = c.Close() // which ends all of them
				over = nil
			}
		}
	}
}

func (f *flight) all(err error) []error {
	errs := make([]error, len(f.out))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// notPublished sets the errors from message i on, whose publishing has failed.
// The library checks the connection before it writes anything, so that its
// ErrClosed tells that nothing of a message has left whole.
func (f *flight) notPublished(errs []error, i int, err error) {
	for j := i; j < len(errs); j++ {
		errs[j] = mapError(err, driver.ErrBadConn)
	}
	if !errors.Is(err, amqp.ErrClosed) {
		errs[i] = mapError(err, driver.ErrUnavailable)
	}
}

// judge sets the errors of what was published. The broker returns what it
// cannot route before it confirms it.
func (f *flight) judge(errs []error, confirms []*amqp.DeferredConfirmation, c *confirmer) {
	returned := make(map[identity]bool)
	for more := true; more; {
		select {
		case r, ok := <-c.returns:
			if more = ok; ok {
				returned[identify(r.MessageId, r.Headers)] = true
			}
		default:
			more = false
		}
	}
	var failed error
	for i, dc := range confirms {
		switch {
		case dc.Acked() && !returned[identify(f.out[i].MessageId, f.out[i].Headers)]:
		case dc.Acked():
			errs[i] = f.unroutable(i)
		default:
			if failed == nil {
				failed = f.failure(c, len(confirms))
			}
			errs[i] = failed
		}
	}
}

// unroutable is the error of a message that came back.
func (f *flight) unroutable(i int) error {
	switch f.out[i].exchange {
	case "":
		return driver.ErrQueueNotFound
	case topicExchange:
		return errNobody
	}
	f.p.ladders.forget()
	return &amqpError{"the queues for delays are gone, and will be made again", driver.ErrBadConn, errors.New("NO_ROUTE")}
}

// exchangeMissing is the error of the only message of a flight.
func (f *flight) exchangeMissing() error {
	if f.out[0].exchange != topicExchange {
		return f.unroutable(0)
	}
	return &amqpError{"the exchange " + topicExchange + " is gone, and will be made again", driver.ErrBadConn, errors.New("NOT_FOUND")}
}

// failure is the error of what was not confirmed.
func (f *flight) failure(c *confirmer, n int) error {
	if !c.IsClosed() {
		return &amqpError{"the broker did not take the message (is the queue at a length limit, or without a majority of its nodes?)", driver.ErrUnavailable, errors.New("basic.nack")}
	}
	select {
	case native, ok := <-c.closed:
		if !ok || native == nil {
			break
		}
		if native.Code == amqp.NotFound { // an exchange for delays or topics
			f.p.ladders.forget()
			f.p.topics.Store(false)
			if n == 1 {
				return f.exchangeMissing()
			}
		}
		if err := mapError(native, driver.ErrUnavailable); n == 1 || errors.Is(err, driver.ErrUnavailable) {
			return err
		}
		return &amqpError{oneLine(native.Reason), driver.ErrUnavailable, native}
	default:
	}
	return mapError(amqp.ErrClosed, driver.ErrUnavailable)
}
