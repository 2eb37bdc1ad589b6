package mem

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// client is a provider whose calls must succeed.
type client struct {
	*Provider
	t testing.TB
}

// open returns a client of a private store with queue q.
func open(t testing.TB) client {
	c := client{New(), t}
	t.Cleanup(func() { _ = c.Close() })
	c.ensure("q")
	return c
}

// attached returns one more client of a shared store.
func attached(t testing.TB, dsn string) client {
	t.Helper()
	p, err := memDriver{}.Open(dsn, driver.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return client{p.(*Provider), t}
}

func (c client) ensure(queues ...string) {
	c.t.Helper()
	for _, q := range queues {
		c.must(c.EnsureQueue(c.t.Context(), q, driver.QueueOptions{}))
	}
}

func (c client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c client) send(queue string, msgs ...driver.Message) []string {
	c.t.Helper()
	ids, err := c.Send(c.t.Context(), queue, msgs)
	c.must(err)
	return ids
}

func (c client) receive(queue string, r driver.ReceiveRequest) []driver.Delivery {
	c.t.Helper()
	ds, err := c.Receive(c.t.Context(), queue, r)
	c.must(err)
	return ds
}

// one receives exactly one message for a minute.
func (c client) one(queue string) driver.Delivery {
	c.t.Helper()
	ds := c.receive(queue, driver.ReceiveRequest{Max: 1, Visibility: time.Minute})
	if len(ds) != 1 {
		c.t.Fatalf("received %d messages, want 1", len(ds))
	}
	return ds[0]
}

func (c client) settle(queue string, s driver.Settlement) {
	c.t.Helper()
	c.must(c.Settle(c.t.Context(), queue, []driver.Settlement{s}))
}

func (c client) stats(queue string) driver.Stats {
	c.t.Helper()
	s, err := c.Stats(c.t.Context(), queue)
	c.must(err)
	return s
}

// browse returns all records, page by page.
func (c client) browse(queue string, archive bool) []driver.Record {
	c.t.Helper()
	var all []driver.Record
	for {
		r := driver.BrowseRequest{Archive: archive, Limit: 7}
		if len(all) > 0 {
			r.After = all[len(all)-1].ID
		}
		page, err := c.Browse(c.t.Context(), queue, r)
		c.must(err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func text(s string) driver.Message { return driver.Message{Body: []byte(s)} }

func texts(ss ...string) []driver.Message {
	var ms []driver.Message
	for _, s := range ss {
		ms = append(ms, text(s))
	}
	return ms
}

func bodies(ds []driver.Delivery) []string {
	var ss []string
	for _, d := range ds {
		ss = append(ss, string(d.Body))
	}
	return ss
}

func requireBodies(t testing.TB, ds []driver.Delivery, want ...string) {
	t.Helper()
	if got := bodies(ds); !slices.Equal(got, want) {
		t.Fatalf("received %q, want %q", got, want)
	}
}

func requireErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// itemErr returns the error of the only item of a batch.
func itemErr(err error) error {
	if batch, ok := errors.AsType[*driver.BatchError](err); ok && len(batch.Errs) == 1 {
		return batch.Errs[0]
	}
	return err
}

// requireGone requires that err is ErrMessageNotFound, requireStale that it
// is ErrStaleReceipt and no more than that.
func requireGone(t testing.TB, err error) {
	t.Helper()
	requireErr(t, err, driver.ErrMessageNotFound)
}

func requireStale(t testing.TB, err error) {
	t.Helper()
	if requireErr(t, err, driver.ErrStaleReceipt); errors.Is(err, driver.ErrMessageNotFound) {
		t.Fatalf("error is %v, want %v", err, driver.ErrStaleReceipt)
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
