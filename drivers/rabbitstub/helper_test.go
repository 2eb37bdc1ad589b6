package rabbitstub

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// client is a provider whose calls must succeed.
type client struct {
	*Provider
	t testing.TB
}

// bubble runs f on fake time with a client that has queue q.
func bubble(t *testing.T, f func(c client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := closing(t, New())
		c.ensure("q")
		f(c)
	})
}

func closing(t testing.TB, p *Provider) client {
	t.Cleanup(func() { _ = p.Close() })
	return client{p, t}
}

// other is one more client of the broker.
func (c client) other() client { return closing(c.t, c.broker.connect()) }

func (c client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c client) ensure(queues ...string) {
	c.t.Helper()
	for _, q := range queues {
		c.must(c.EnsureQueue(c.t.Context(), q, driver.QueueOptions{}))
	}
}

func (c client) send(queue string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		_, err := c.Send(c.t.Context(), queue, []driver.Message{{Body: []byte(body)}})
		c.must(err)
	}
}

func (c client) sendLater(queue, body string, delay time.Duration) {
	c.t.Helper()
	_, err := c.Send(c.t.Context(), queue, []driver.Message{{Body: []byte(body), Delay: delay}})
	c.must(err)
}

// receive leases up to limit messages for a minute.
func (c client) receive(queue string, limit int) []driver.Delivery {
	c.t.Helper()
	ds, err := c.Receive(c.t.Context(), queue, driver.ReceiveRequest{Max: limit, Visibility: time.Minute})
	c.must(err)
	return ds
}

func (c client) one(queue string) driver.Delivery {
	c.t.Helper()
	ds := c.receive(queue, 1)
	if len(ds) != 1 {
		c.t.Fatalf("received %d messages, want 1", len(ds))
	}
	return ds[0]
}

func (c client) expect(queue string, want ...string) {
	c.t.Helper()
	var got []string
	for _, d := range c.receive(queue, 100) {
		got = append(got, string(d.Body))
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("received %q, want %q", got, want)
	}
}

func (c client) settleOne(ctx context.Context, queue string, s driver.Settlement) error {
	err := c.Settle(ctx, queue, []driver.Settlement{s})
	if batch, ok := errors.AsType[*driver.BatchError](err); ok {
		return batch.Errs[0]
	}
	return err
}

func (c client) ack(queue string, d driver.Delivery) error {
	return c.settleOne(c.t.Context(), queue, driver.Settlement{Receipt: d.Receipt, Op: driver.OpAck})
}

func (c client) counts(queue string, visible, archived int64) {
	c.t.Helper()
	s, err := c.Stats(c.t.Context(), queue)
	c.must(err)
	if s.Visible != visible || s.Archived != archived {
		c.t.Fatalf("%d messages are visible and %d archived, want %d and %d", s.Visible, s.Archived, visible, archived)
	}
}

// background starts f, lets it come to where it waits, and returns how to get
// its error.
func background(f func() error) (result func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return func() error { return <-done }
}

func requireErr(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error is %v, want %v", err, w)
		}
	}
}
