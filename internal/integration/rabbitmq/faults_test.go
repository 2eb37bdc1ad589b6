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
		ids, err := missing.Send(t.Context(), &mq.Message{Delay: delay}, &mq.Message{Delay: delay})
		wantError(t, err, mq.ErrQueueNotFound)
		if strings.Join(ids, "") != "" {
			t.Errorf("ids of messages that were not stored: %q", ids)
		}
	}
	r.send("the others go on")
	r.take()
}

// TestOtherArguments: a queue that was declared otherwise is left alone, and
// works.
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
	wantError(t, d.Archive(t.Context(), "no archive"), nil)
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
		done <- r.Consume(t.Context(), mq.HandlerFunc(func(context.Context, *mq.Delivery) error { handled <- true; return nil }), mq.ConsumerConfig{})
	}()
	r.send("1")
	<-handled
	time.Sleep(100 * time.Millisecond)
	must(r.raw.QueueDelete(queueName, false, false, false))(t)
	select {
	case err := <-done:
		wantError(t, err, mq.ErrQueueNotFound)
	case <-time.After(20 * time.Second):
		t.Fatal("the Consumer goes on")
	}
	must(r.Client().EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
	r.send("2")
	r.take()
}

// TestHold: a message that is extended again and again goes back before the
// broker would close the channel, and the others stay.
func TestHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, "consumer_timeout=2s") // a lie: MaxHold is 1.6 s
	r.send("held")
	begin := time.Now()
	held := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: time.Second}))(t)[0]
	time.Sleep(800 * time.Millisecond)
	r.send("other")
	other := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: 1600 * time.Millisecond, Wait: time.Second}))(t)[0]
	var err error
	for err == nil && time.Since(begin) < 10*time.Second {
		err = held.Extend(t.Context(), time.Second)
		time.Sleep(50 * time.Millisecond)
	}
	wantError(t, err, mq.ErrStaleReceipt)
	if d := time.Since(begin); d < 1500*time.Millisecond || d > 4*time.Second {
		t.Errorf("the lease was lost after %v, want 1.6s", d)
	}
	ok(t, other.Ack(t.Context()))
	if again := r.take(); string(again.Body) != "held" || again.ReadCount != 2 {
		t.Errorf("received %q, read %d times", again.Body, again.ReadCount)
	}
}

// TestEndedContext: a call whose ctx ends while the broker is silent returns.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("leased")
	p, dsn := newProxy(t, r.dsn)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	d := r.takeFrom(q)
	must(q.Send(t.Context(), &mq.Message{Body: []byte("opens the way")}))(t)
	p.freeze(true)
	for what, call := range map[string]func(context.Context) error{
		"Send":    func(ctx context.Context) error { _, err := q.Send(ctx, &mq.Message{}); return err },
		"Receive": func(ctx context.Context) error { _, err := q.Receive(ctx, mq.ReceiveOptions{}); return err },
		"Ack":     d.Ack,
		"Ping":    c.Ping,
		"Stats":   func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		begin := time.Now()
		err := call(ctx)
		if took := time.Since(begin); err == nil || took > 3*time.Second {
			t.Errorf("%s of a broker that does not answer: %v after %v", what, err, took)
		}
		if write := what == "Send" || what == "Ack"; write != errors.Is(err, mq.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
		wantError(t, err, context.DeadlineExceeded)
		cancel()
	}
	p.freeze(false)
	p.cut()
	eventually(t, "the client goes on", func() bool { return c.Ping(t.Context()) == nil })
}

// TestAbandonedReceive: what the broker delivers to a receive that has ended in
// the meantime is given back, on a connection that stands.
func TestAbandonedReceive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, dsn := newProxy(t, r.dsn)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	must(q.Receive(t.Context(), mq.ReceiveOptions{}))(t) // opens the channel
	r.send("late")
	p.freeze(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if ds, err := q.Receive(ctx, mq.ReceiveOptions{}); len(ds) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a broker that does not answer has delivered %d messages, %v", len(ds), err)
	}
	p.freeze(false)
	if d := r.take(); string(d.Body) != "late" {
		t.Errorf("received %q", d.Body)
	}
}

// ours skips tests that need a node of the tests' own.
func ours(t *testing.T) *server.Broker {
	t.Helper()
	b := server.RabbitMQ(t)
	if !b.Ours() {
		t.Skip("the node is not ours")
	}
	return b
}

// TestOversized: the broker's own limit may be lower than ours.
func TestOversized(t *testing.T) {
	b := ours(t)
	r := newRig(t)
	// A node reads its setting when it starts, and from 3.13 on keeps a copy.
	setLimit := func(bytes int) {
		b.Ctl(t, "eval", fmt.Sprintf("application:set_env(rabbit, max_message_size, %d), persistent_term:put(max_message_size, %[1]d).", bytes))
	}
	setLimit(100_000)
	defer setLimit(16 << 20)
	c := r.open()
	q := c.Queue(queueName)
	_, err := q.Send(t.Context(), &mq.Message{Body: make([]byte, 100_001)})
	wantError(t, err, mq.ErrTooLarge)
	must(q.Send(t.Context(), &mq.Message{Body: make([]byte, 100_000)}))(t)
	if d := r.takeFrom(q); len(d.Body) != 100_000 {
		t.Errorf("received %d bytes", len(d.Body))
	}
}

// TestMemoryAlarm: a publisher that the broker blocks is told at the end of its
// ctx, consumers go on, and so does the publisher when the alarm is over.
func TestMemoryAlarm(t *testing.T) {
	b := ours(t)
	r := newRig(t)
	r.send("before")
	b.Ctl(t, "set_vm_memory_high_watermark", "0.000001")
	cleared := false
	clear := func() { b.Ctl(t, "set_vm_memory_high_watermark", "absolute", "1GB"); cleared = true }
	defer func() {
		if !cleared {
			clear()
		}
	}()
	for i := range 3 { // the broker tells that it blocks when somebody publishes
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		begin := time.Now()
		_, err := r.Send(ctx, &mq.Message{Body: fmt.Append(nil, "during ", i)})
		wantError(t, err, mq.ErrUnavailable)
		wantError(t, err, context.DeadlineExceeded)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("Send returned after %v", took)
		}
		cancel()
	}
	if err := r.Client().Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "blocks publishers") {
		t.Errorf("Ping of a broker that blocks publishers: %v", err)
	}
	ok(t, r.take().Ack(t.Context()))
	sent := make(chan error, 1)
	go func() { _, err := r.Send(t.Context(), &mq.Message{Body: []byte("waited")}); sent <- err }()
	time.Sleep(200 * time.Millisecond)
	clear()
	ok(t, <-sent)
	eventually(t, "Ping is content", func() bool { return r.Client().Ping(t.Context()) == nil })
	seen := ""
	for !strings.Contains(seen, "waited") {
		d := r.take()
		seen += string(d.Body) + " "
		ok(t, d.Ack(t.Context()))
	}
	if strings.Contains(seen, "during 1") || strings.Contains(seen, "during 2") {
		t.Errorf("received %q: what was sent to a broker known to block was published", seen)
	}
}

// TestConsumerTimeout: the broker closes the channel of a lease that is older
// than its limit. The receipts are stale, and the client goes on.
func TestConsumerTimeout(t *testing.T) {
	b := ours(t)
	r := newRig(t)
	set := func(timeout, tick int) {
		b.Ctl(t, "eval", fmt.Sprintf("application:set_env(rabbit, consumer_timeout, %d), application:set_env(rabbit, channel_tick_interval, %d).", timeout, tick))
	}
	set(1500, 500)
	defer set(1800000, 60000)
	c := r.open()
	q := c.Queue(queueName)
	must(q.Send(t.Context(), &mq.Message{Body: []byte("held")}))(t)
	d := r.takeFrom(q)
	eventually(t, "the lease is lost", func() bool { return errors.Is(d.Extend(t.Context(), time.Minute), mq.ErrStaleReceipt) })
	wantError(t, d.Ack(t.Context()), mq.ErrStaleReceipt)
	again := r.takeFrom(q)
	if string(again.Body) != "held" || again.ReadCount != 2 {
		t.Errorf("received %q, read %d times", again.Body, again.ReadCount)
	}
	ok(t, again.Ack(t.Context()))

	within := r.open("consumer_timeout=1500ms") // MaxHold is 1.2 s
	q = within.Queue(queueName)
	must(q.Send(t.Context(), &mq.Message{Body: []byte("1")}, &mq.Message{Body: []byte("2")}))(t)
	first := must(q.Receive(t.Context(), mq.ReceiveOptions{Visibility: time.Second}))(t)[0]
	for first.Extend(t.Context(), time.Second) == nil {
		time.Sleep(20 * time.Millisecond)
	}
	second := must(q.Receive(t.Context(), mq.ReceiveOptions{Visibility: time.Second, Wait: time.Second}))(t)[0]
	time.Sleep(700 * time.Millisecond)
	ok(t, second.Ack(t.Context())) // its channel stands
}

// TestBrokerDown: calls fail while the broker is down, and work when it is
// back.
func TestBrokerDown(t *testing.T) {
	b := ours(t)
	r := newRig(t)
	r.send("survives")
	d := r.take()
	time.Sleep(settled)
	b.Stop(t, server.Crash)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := r.Send(ctx, &mq.Message{})
	if !errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) {
		t.Errorf("Send to a broker that is down: %v", err)
	}
	wantError(t, d.Ack(ctx), mq.ErrStaleReceipt)
	b.Start(t)
	eventually(t, "the client goes on", func() bool { return r.Client().Ping(t.Context()) == nil })
	again := r.take()
	if string(again.Body) != "survives" {
		t.Errorf("received %q", again.Body)
	}
	ok(t, again.Ack(t.Context()))
}

// settled is how long RabbitMQ 3.10 may keep to itself that a quorum queue was
// declared: one that is younger when the broker is killed stays without a
// leader for ever.
const settled = 4 * time.Second
