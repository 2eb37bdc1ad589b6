package mem

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestEnsureQueueKeepsMessages(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	c.ensure("q")
	requireBodies(t, []driver.Delivery{c.one("q")}, "a")
}

func TestListQueues(t *testing.T) {
	c := client{New(), t}
	list := func(want ...string) {
		t.Helper()
		got, err := c.ListQueues(t.Context())
		c.must(err)
		if !slices.Equal(got, want) {
			t.Errorf("queues are %v, want %v", got, want)
		}
	}
	list()
	c.ensure("b", "a", "c")
	list("a", "b", "c")
	c.must(c.DropQueue(t.Context(), "b"))
	c.must(c.DropQueue(t.Context(), "b"))
	list("a", "c")
}

func TestDropQueue(t *testing.T) {
	c := open(t)
	c.archiveAll("q", "a")
	c.send("q", texts("a", "b")...)
	c.must(c.DropQueue(t.Context(), "q"))
	c.ensure("q")
	if s := c.stats("q"); s.Total != 0 || s.Archived != 0 || s.TotalSent != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestDroppedQueueIsEmpty looks at what a waiter would find that wakes up
// after the drop.
func TestDroppedQueueIsEmpty(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	q := c.store.queue("q")
	c.must(c.DropQueue(t.Context(), "q"))
	q.lock()
	defer q.unlock()
	if views := q.claim(nil, 1, time.Minute); len(views) > 0 {
		t.Errorf("claimed %d messages", len(views))
	}
}

func TestPurgeQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.archiveAll("q", "a")
		c.send("q", driver.Message{Group: "g"}, text("a"), driver.Message{Delay: time.Second})
		d := c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: 2 * time.Second})[0]
		if n, err := c.PurgeQueue(t.Context(), "q"); n != 3 || err != nil {
			t.Errorf("purged %d, %v, want 3", n, err)
		}
		requireGone(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}})))
		requireGone(t, itemErr(c.Extend(t.Context(), "q", []driver.Receipt{d.Receipt}, time.Hour)))
		time.Sleep(time.Hour)
		if s := c.stats("q"); s.Total != 0 || s.Visible != 0 || s.Archived != 1 || s.TotalSent != 4 {
			t.Errorf("stats: %+v", s)
		}
		if id := c.send("q", text("b"))[0]; id != "5" {
			t.Errorf("id %s after the purge, want 5", id)
		}
		requireBodies(t, []driver.Delivery{c.one("q")}, "b")
	})
}
