package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// testOversized: the broker's own limit may be lower than ours.
func testOversized(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
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

// testMemoryAlarm: a publisher that the broker blocks is told at the end of its
// ctx, consumers go on, and so does the publisher when the alarm is over.
func testMemoryAlarm(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	t.Cleanup(func() { ok(t, c.Close()) })
	r.Queue = c.Queue(queueName)
	r.sendAtOnce(p, 4) // so that there are channels on which a send need not wait for the broker
	clear := alarm(t, b)
	blocked := func() bool {
		err := r.Client().Ping(t.Context())
		return err != nil && strings.Contains(err.Error(), "blocks publishers")
	}
	eventually(t, "Ping reports that the broker blocks publishers", func() bool {
		_ = r.sendWithin(100*time.Millisecond, "to find out") // the broker tells who publishes
		return blocked()
	})
	for i := range 2 {
		inTime(t, 200*time.Millisecond, func(d time.Duration) error {
			err := r.sendWithin(d, fmt.Sprint("during ", i))
			if !errors.Is(err, mq.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("Send to a broker that blocks publishers: %w", err)
			}
			return nil
		})
	}
	ok(t, r.Settle(t.Context(), mq.Settlement{Receipt: r.take().Receipt, Op: mq.OpNack, Uncounted: true})) // which needs no publishing
	ok(t, r.take().Ack(t.Context()))
	sent := make(chan error, 1)
	go func() { _, err := r.Send(t.Context(), &mq.Message{Body: []byte("waited")}); sent <- err }()
	select {
	case err := <-sent:
		t.Errorf("Send to a broker that blocks publishers returned %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	clear()
	ok(t, within(t, "Send goes on", sent))
	eventually(t, "Ping is content", func() bool { return r.Client().Ping(t.Context()) == nil })
	seen := ""
	for !strings.Contains(seen, "waited") {
		d := r.take()
		seen += string(d.Body) + ", "
		ok(t, d.Ack(t.Context()))
	}
	if strings.Contains(seen, "during") {
		t.Errorf("received %q: what was sent to a broker known to block was published", seen)
	}
}

// alarm makes a node short of memory until clear, or the end of the test.
func alarm(t *testing.T, b *server.Broker) (clear func()) {
	t.Helper()
	limit := func(watermark string) {
		t.Helper()
		b.Ctl(t, "eval", "vm_memory_monitor:set_vm_memory_high_watermark("+watermark+").")
	}
	limit("0.000001")
	clear = func() { t.Helper(); limit(`{absolute, "1GB"}`) }
	t.Cleanup(clear)
	return clear
}

// sendAtOnce makes n sends that are under way at the same time.
func (r *rig) sendAtOnce(p *server.Proxy, n int) {
	r.Helper()
	r.send("opens the way")
	resume := p.Silence()
	sent := make(chan error, n)
	for range n {
		go func() { _, err := r.Send(r.Context(), &mq.Message{Body: []byte("before")}); sent <- err }()
	}
	time.Sleep(200 * time.Millisecond)
	resume()
	for range n {
		ok(r, within(r, "Send returns", sent))
	}
}

// sendWithin sends a message, and gives up after d.
func (r *rig) sendWithin(d time.Duration, body string) error {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	_, err := r.Send(ctx, &mq.Message{Body: []byte(body)})
	return err
}

// testConsumerTimeout: the broker closes the channel of a lease that is older
// than its limit. The receipts are stale, and the client goes on.
func testConsumerTimeout(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
	limitConsumers(t, b, 1500*time.Millisecond)
	r.send("held")
	d := r.take()
	eventually(t, "the lease is lost", func() bool { return errors.Is(d.Extend(t.Context(), time.Minute), mq.ErrStaleReceipt) })
	wantError(t, d.Ack(t.Context()), mq.ErrStaleReceipt)
	limitConsumers(t, b, 30*time.Minute) // for channels that are opened from now on
	again := r.take()
	if string(again.Body) != "held" || again.ReadCount != 2 {
		t.Errorf("received %q, read %d times", again.Body, again.ReadCount)
	}
	ok(t, again.Ack(t.Context()))
}

// testWithinConsumerTimeout: a client that knows the limit gives a message back
// before the broker closes the channel, and another lease on it lasts.
func testWithinConsumerTimeout(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	inTime(t, 1500*time.Millisecond, func(limit time.Duration) error {
		limitConsumers(t, b, limit)
		hold := limit * 4 / 5 // MaxHold
		r := newRigOn(t, b, fmt.Sprintf("consumer_timeout=%v", limit))
		r.send("1", "2")
		begin := time.Now()
		first := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: hold}))(t)[0]
		time.Sleep(time.Until(begin.Add(limit / 2)))
		second := must(r.Receive(t.Context(), mq.ReceiveOptions{Visibility: hold}))(t)
		for first.Extend(t.Context(), hold) == nil {
			time.Sleep(limit / 50)
		}
		time.Sleep(time.Until(begin.Add(limit * 6 / 5))) // the broker has looked for leases above its limit
		if len(second) == 0 {
			return errors.New("there is no second message")
		}
		return second[0].Ack(t.Context())
	})
}

// limitConsumers sets how long the node lets a consumer of a new channel keep a
// message. It looks every tenth of that.
func limitConsumers(t *testing.T, b *server.Broker, limit time.Duration) {
	t.Helper()
	set := func(limit, tick time.Duration) {
		t.Helper()
		b.Ctl(t, "eval", fmt.Sprintf("application:set_env(rabbit, consumer_timeout, %d), application:set_env(rabbit, channel_tick_interval, %d).",
			limit.Milliseconds(), tick.Milliseconds()))
	}
	set(limit, limit/10)
	t.Cleanup(func() { set(30*time.Minute, time.Minute) })
}

// testBrokerDown: calls fail while the broker is down, and work when it is
// back.
func testBrokerDown(t *testing.T) {
	b := server.OwnRabbitMQ(t)
	r := newRigOn(t, b)
	r.send("survives")
	d := r.take()
	writeDown(t, b)
	b.Stop(t, server.Crash)
	_, err := r.Send(t.Context(), &mq.Message{})
	if !errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) {
		t.Errorf("Send to a broker that is down: %v", err)
	}
	eventually(t, "the lease is lost", func() bool { return errors.Is(d.Extend(t.Context(), time.Minute), mq.ErrStaleReceipt) })
	wantError(t, d.Ack(t.Context()), mq.ErrStaleReceipt)
	b.Start(t)
	eventually(t, "the client goes on", func() bool { return r.Client().Ping(t.Context()) == nil })
	again := r.take()
	if string(again.Body) != "survives" {
		t.Errorf("received %q", again.Body)
	}
	ok(t, again.Ack(t.Context()))
}
