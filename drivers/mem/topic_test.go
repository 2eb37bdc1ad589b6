package mem

import (
	"context"
	"reflect"
	"testing"

	"github.com/portmq/mq/driver"
)

// publish publishes texts.
func (c client) publish(topic string, bodies ...string) []driver.Published {
	c.t.Helper()
	out, err := c.Publish(c.t.Context(), topic, texts(bodies...))
	c.must(err)
	return out
}

func (c client) bind(queue string, patterns ...string) {
	c.t.Helper()
	for _, p := range patterns {
		c.must(c.Bind(c.t.Context(), queue, p))
	}
}

func (c client) publishIn(tx *Tx, topic string, bodies ...string) []driver.Published {
	c.t.Helper()
	out, err := c.in(tx).(driver.TxPublisher).Publish(c.t.Context(), topic, texts(bodies...))
	c.must(err)
	return out
}

func requirePublished(t testing.TB, got []driver.Published, want ...driver.Published) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

func TestPublish(t *testing.T) {
	c := open(t)
	c.ensure("p", "r")
	c.bind("q", "a.*", "a.#")
	c.bind("p", "a.b")
	c.send("p", text("first"))
	requirePublished(t, c.publish("a.b", "x", "y"), driver.Published{Queue: "p", IDs: []string{"2", "3"}}, driver.Published{Queue: "q", IDs: []string{"1", "2"}})
	requirePublished(t, c.publish("b", "z"))
	if s := c.stats("r"); s.Total != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestTxPublishBinds: the queues are those that are bound at the Publish.
func TestTxPublishBinds(t *testing.T) {
	c := open(t)
	c.ensure("p")
	c.bind("q", "a")
	tx := c.Begin()
	requirePublished(t, c.publishIn(tx, "a", "x"), driver.Published{Queue: "q", IDs: []string{"1"}})
	c.bind("p", "a")
	c.must(c.Unbind(t.Context(), "q", "a"))
	c.must(tx.Commit())
	requireBodies(t, []driver.Delivery{c.one("q")}, "x")
	if s := c.stats("p"); s.Total != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestTxPublishDropped: what cannot be stored in one queue is stored in none.
func TestTxPublishDropped(t *testing.T) {
	c := open(t)
	c.ensure("p")
	c.bind("q", "a")
	c.bind("p", "a")
	tx := c.Begin()
	c.publishIn(tx, "a", "x")
	c.must(c.DropQueue(t.Context(), "p"))
	requireErr(t, tx.Commit(), driver.ErrQueueNotFound)
	if s := c.stats("q"); s.Total != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestTxPublishAborts(t *testing.T) {
	c := open(t)
	c.bind("q", "a")
	tx := c.Begin()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.in(tx).(driver.TxPublisher).Publish(ctx, "a", texts("x"))
	requireErr(t, err, context.Canceled)
	requireErr(t, tx.Commit(), context.Canceled)
}

// TestPublishToDropped publishes and drops at once: a queue that is gone is passed over.
func TestPublishToDropped(t *testing.T) {
	c := open(t)
	c.bind("q", "a")
	q := c.store.queue("q")
	q.lock()
	done := make(chan []driver.Published)
	go func() {
		out, _ := c.Publish(context.Background(), "a", texts("x"))
		done <- out
	}()
	q.dropped = true
	q.unlock()
	requirePublished(t, <-done)
}
