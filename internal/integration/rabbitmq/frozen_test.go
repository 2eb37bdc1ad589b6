package rabbitmq_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// TestFrozen: every call on a connection that is silent ends by itself, without a
// deadline of its caller, and the next one finds a connection that works.
func TestFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("1", "2", "3", "4")
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	q := c.Queue(queueName)
	ds := takeNumbers(t, q, 4)
	must(q.Send(t.Context(), &mq.Message{}))(t) // opens the other connection
	ok(t, c.Ping(t.Context()))
	resume := p.Silence()
	ctx := context.Background()
	var calls sync.WaitGroup
	for what, call := range map[string]func() error{
		"Send":         func() error { _, err := q.Send(ctx, &mq.Message{}); return err },
		"Send later":   func() error { _, err := q.Send(ctx, &mq.Message{Delay: time.Second}); return err },
		"Receive":      func() error { _, err := q.Receive(ctx, mq.ReceiveOptions{}); return err },
		"Receive wait": func() error { _, err := q.Receive(ctx, mq.ReceiveOptions{Max: 10, Wait: time.Second}); return err },
		"Ack":          func() error { return ds[0].Ack(ctx) },
		"Nack":         func() error { return ds[1].Nack(ctx, 0) },
		"Nack later":   func() error { return ds[2].Nack(ctx, time.Second) },
		"Archive":      func() error { return ds[3].Archive(ctx, "why") },
		"Stats":        func() error { _, err := q.Stats(ctx); return err },
		"Purge":        func() error { _, err := q.Purge(ctx); return err },
		"EnsureQueue":  func() error { _, err := c.EnsureQueue(ctx, queueName, mq.QueueOptions{}); return err },
		"DropQueue":    func() error { return c.DropQueue(ctx, "another") },
		"Ping":         func() error { return c.Ping(ctx) },
		"Another":      func() error { _, err := c.Queue("another").Receive(ctx, mq.ReceiveOptions{}); return err },
	} {
		calls.Go(func() {
			done := make(chan error, 1)
			go func() { done <- call() }()
			select {
			case err := <-done:
				if !errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) && !errors.Is(err, mq.ErrStaleReceipt) {
					t.Errorf("%s: %v", what, err)
				}
			case <-time.After(3 * patience):
				t.Errorf("%s never returns", what)
			}
		})
	}
	calls.Wait()
	resume()
	p.Cut()
	eventually(t, "the client goes on", func() bool { _, err := q.Send(ctx, &mq.Message{}); return err == nil })
	ok(t, c.Close())
}
