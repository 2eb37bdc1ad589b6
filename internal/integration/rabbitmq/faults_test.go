package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// TestRefused: what the broker says of user and vhost is told, without the
// password, and is not tried again.
func TestRefused(t *testing.T) {
	t.Parallel()
	dsn := must(url.Parse(server.RabbitMQ(t).Vhost(t)))(t)
	wrong, missing := *dsn, *dsn
	wrong.User = url.UserPassword(dsn.User.Username(), "s3cret")
	missing.Path = "/no-such-vhost"
	password, _ := dsn.User.Password()
	for u, want := range map[*url.URL]string{&wrong: "refused user or password", &missing: "vhost no-such-vhost not found"} {
		c := open(t, u.String())
		_, err := c.Queue(queueName).Send(t.Context(), &mq.Message{})
		ping := c.Ping(t.Context())
		for _, err := range []error{err, ping} {
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, mq.ErrBadConn) || errors.Is(err, mq.ErrUnavailable) {
				t.Errorf("got error %v, want %q and no sentinel", err, want)
			}
			if text := fmt.Sprint(err); strings.Contains(text, "s3cret") || strings.Contains(text, password) {
				t.Errorf("the error shows the password: %v", err)
			}
		}
		ok(t, c.Close())
	}
}

// TestHosts: a host that is down is passed over.
func TestHosts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := must(url.Parse(r.dsn))(t)
	u.Host = "127.0.0.1:1," + u.Host
	c := open(t, u.String())
	defer c.Close()
	ok(t, c.Ping(t.Context()))
}

// TestMissingQueue: a message that cannot be routed is an error, and those that
// can are stored.
func TestMissingQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	missing := r.Client().Queue("missing")
	for _, delay := range []time.Duration{0, time.Second} {
		ids, err := missing.SendAll(t.Context(), []*mq.Message{{Delay: delay}, {Delay: delay}})
		wantError(t, err, mq.ErrQueueNotFound)
		if strings.Join(ids, "") != "" {
			t.Errorf("ids of messages that were not stored: %q", ids)
		}
	}
	r.send("the others go on")
	r.take()
}

// TestOtherArguments: a queue that was declared otherwise is left alone, and
// works. It gets no archive.
func TestOtherArguments(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("leased")
	leased := r.take()
	must(r.raw.QueueDeclare("classic", true, false, false, false, nil))(t)
	_, err := r.Client().EnsureQueue(t.Context(), "classic", mq.QueueOptions{})
	if err == nil || !strings.Contains(err.Error(), "other arguments") || !strings.Contains(err.Error(), "inequivalent arg") {
		t.Errorf("EnsureQueue of a classic queue: %v", err)
	}
	q := r.Client().Queue("classic")
	must(q.Send(t.Context(), &mq.Message{Body: []byte("works")}))(t)
	d := r.takeFrom(q)
	ok(t, d.Nack(t.Context(), 0))
	if d = r.takeFrom(q); d.ReadCount != 2 {
		t.Errorf("the read count is %d, want 2", d.ReadCount)
	}
	if s := must(q.Stats(t.Context()))(t); s.Archived != -1 {
		t.Errorf("EnsureQueue has failed and left an archive of %d messages", s.Archived)
	}
	wantError(t, d.Archive(t.Context(), "no archive"), mq.ErrNotSupported)
	ok(t, d.Ack(t.Context()))
	ok(t, leased.Ack(t.Context()))
}

// TestNoArchive: without an archive nothing is lost.
func TestNoArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(r.raw.QueueDeclare("bare", true, false, false, false, nil))(t)
	q := r.Client().Queue("bare")
	must(q.Send(t.Context(), &mq.Message{}))(t)
	d := r.takeFrom(q)
	wantError(t, d.Archive(t.Context(), "no archive"), mq.ErrNotSupported)
	if s := must(q.Stats(t.Context()))(t); s.Archived != -1 {
		t.Errorf("Archived is %d", s.Archived)
	}
	ok(t, d.Ack(t.Context()))
}

// TestReserved: names that RabbitMQ or the delays use.
func TestReserved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"amq.x", "mq.delay.00", strings.Repeat("x", 250)} {
		_, err := r.Client().EnsureQueue(t.Context(), name, mq.QueueOptions{AnyName: true})
		wantError(t, err, mq.ErrInvalid)
	}
}

// TestDoubleAck: what would cost everybody's leases costs nothing.
func TestDoubleAck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("1", "2", "3")
	a, b, c := r.take(), r.take(), r.take()
	ack := func(d *mq.Delivery) error {
		return r.Settle(t.Context(), mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
	}
	ok(t, ack(a))
	for range 3 {
		wantError(t, ack(a), mq.ErrStaleReceipt)
	}
	ok(t, ack(b))
	ok(t, c.Extend(t.Context(), time.Minute))
	ok(t, ack(c))
	r.none()
}

// TestDeletedUnderConsumer: the Consumer of a queue that somebody deletes ends.
func TestDeletedUnderConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	handled := make(chan bool, 1)
	done := make(chan error, 1)
	go func() {
		done <- r.Consume(t.Context(), func(context.Context, *mq.Delivery) error { handled <- true; return nil }, mq.ConsumerConfig{})
	}()
	r.send("1")
	<-handled
	eventually(t, "the Consumer waits for more", func() bool {
		return must(r.raw.QueueDeclarePassive(queueName, true, false, false, false, nil))(t).Consumers > 0
	})
	must(r.raw.QueueDelete(queueName, false, false, false))(t)
	wantError(t, within(t, "the Consumer ends", done), mq.ErrQueueNotFound)
	must(r.Client().EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
	r.send("2")
	r.take()
}

// TestRemadeUnderReceiver: a receive that waits while its queue is deleted and declared
// again at once ends, or gets what is sent then. It does not stay deaf.
func TestRemadeUnderReceiver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	keeper := r.open()
	type answer struct {
		ds  []*mq.Delivery
		err error
	}
	for range 4 { // some of which the broker is fast enough to end
		answers := make(chan answer, 1)
		go func() {
			ds, err := r.Receive(t.Context(), mq.ReceiveOptions{Wait: mq.Forever})
			answers <- answer{ds, err}
		}()
		eventually(t, "the receiver waits", func() bool {
			return must(r.raw.QueueDeclarePassive(queueName, true, false, false, false, nil))(t).Consumers > 0
		})
		ok(t, keeper.DropQueue(t.Context(), queueName))
		must(keeper.EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
		r.send("new")
		a := within(t, "the receive ends", answers)
		if a.err != nil {
			wantError(t, a.err, mq.ErrQueueNotFound)
			a.ds = []*mq.Delivery{r.take()}
		}
		ok(t, a.ds[0].Ack(t.Context()))
	}
}

// TestHold: a message that is extended again and again goes back before the
// broker would close the channel, and the others stay.
func TestHold(t *testing.T) {
	t.Parallel()
	inTime(t, 1600*time.Millisecond, func(hold time.Duration) error { return testHold(t, hold) })
}

func testHold(t *testing.T, hold time.Duration) error {
	r := newRig(t, fmt.Sprintf("consumer_timeout=%v", hold*5/4)) // a lie: MaxHold is four fifths of it
	lease := hold * 5 / 8
	r.send("held")
	begin := time.Now()
	held := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: lease}))(t)[0]
	time.Sleep(hold / 2)
	r.send("other")
	other := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: hold, Wait: hold / 4}))(t)
	late := time.Now()
	for last := begin; held.Extend(t.Context(), lease) == nil; last = time.Now() {
		if time.Since(last) > lease {
			return errors.New("the lease ended between two extensions")
		}
		if time.Since(begin) > patience {
			t.Fatal("the lease never ends")
		}
		time.Sleep(hold / 30)
	}
	lost := time.Since(begin)
	wantError(t, held.Extend(t.Context(), lease), mq.ErrStaleReceipt)
	switch {
	case len(other) == 0:
		return errors.New("there was no time for the other message")
	case lost < hold*15/16:
		return fmt.Errorf("the lease was lost after %v, want %v", lost, hold)
	case other[0].Ack(t.Context()) != nil:
		return fmt.Errorf("the other lease was lost as well, after %v", time.Since(late))
	}
	if again := r.take(); string(again.Body) != "held" || again.ReadCount != 2 {
		t.Errorf("received %q, read %d times", again.Body, again.ReadCount)
	}
	return nil
}

// TestEndedContext: a call whose ctx ends while the broker is silent returns.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("leased")
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	d := r.takeFrom(q)
	must(q.Send(t.Context(), &mq.Message{Body: []byte("opens the way")}))(t)
	resume := p.Silence()
	for what, call := range map[string]func(context.Context) error{
		"Send":    func(ctx context.Context) error { _, err := q.Send(ctx, &mq.Message{}); return err },
		"Receive": func(ctx context.Context) error { _, err := q.Receive(ctx, mq.ReceiveOptions{}); return err },
		"Ack":     d.Ack,
		"Ping":    c.Ping,
		"Stats":   func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
	} {
		write := what == "Send" || what == "Ack"
		inTime(t, 200*time.Millisecond, func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- call(ctx) }()
			err := within(t, what+" returns", done)
			if !errors.Is(err, context.DeadlineExceeded) || write != errors.Is(err, mq.ErrUnavailable) {
				return fmt.Errorf("%s of a broker that does not answer: %w", what, err)
			}
			return nil
		})
	}
	resume()
	p.Cut()
	eventually(t, "the client goes on", func() bool { return c.Ping(t.Context()) == nil })
}

// TestAbandonedReceive: what the broker delivers to a receive that has ended in
// the meantime is given back, on a connection that stands.
func TestAbandonedReceive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	must(q.Receive(t.Context(), mq.ReceiveOptions{}))(t) // opens the channel
	r.send("late")
	resume := p.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if ds, err := q.Receive(ctx, mq.ReceiveOptions{}); len(ds) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a broker that does not answer has delivered %d messages, %v", len(ds), err)
	}
	resume()
	if d := r.take(); string(d.Body) != "late" {
		t.Errorf("received %q", d.Body)
	}
}
