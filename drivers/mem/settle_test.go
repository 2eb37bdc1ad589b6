package mem

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestNack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.send("q", text("a"))
		d := c.one("q")
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: time.Second})
		requireStale(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpAck}})))
		if s := c.stats("q"); s.Delayed != 1 || s.Leased != 0 {
			t.Errorf("stats: %+v", s)
		}
		time.Sleep(time.Second)
		d = c.one("q")
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack})
		if d = c.one("q"); d.ReadCount != 3 {
			t.Errorf("read count is %d, want 3", d.ReadCount)
		}
	})
}

// TestNackAtTimeout: it leaves the lease alone, but needs one.
func TestNackAtTimeout(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	d := c.one("q")
	nack := func(r driver.Receipt) error {
		s := driver.Settlement{Receipt: r, Op: driver.OpNack, Delay: driver.AtTimeout}
		return itemErr(c.Settle(t.Context(), "q", []driver.Settlement{s}))
	}
	c.must(nack(d.Receipt))
	c.must(nack(d.Receipt))
	if s := c.stats("q"); s.Leased != 1 {
		t.Errorf("stats: %+v", s)
	}
	c.ack(d)
	requireGone(t, nack(d.Receipt))
	requireInvalid(t, nack("x"))
}

func TestLateSettle(t *testing.T) {
	for _, op := range []driver.Op{driver.OpAck, driver.OpNack, driver.OpArchive, driver.OpMove} {
		synctest.Test(t, func(t *testing.T) {
			c := open(t)
			c.ensure("p")
			c.send("q", text("a"))
			d := c.one("q")
			time.Sleep(time.Hour)
			c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: op, To: "p"})
			err := c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: d.Receipt, Op: op, To: "p"}})
			requireErr(t, itemErr(err), driver.ErrStaleReceipt)
		})
	}
}

// TestSettleBatch: the first of two with one receipt wins, and failures do
// not hold up the rest.
func TestSettleBatch(t *testing.T) {
	c := open(t)
	c.ensure("p")
	c.send("q", texts("a", "b", "c", "d", "e")...)
	ds := c.receive("q", driver.ReceiveRequest{Max: 5, Visibility: time.Minute})
	batch := []driver.Settlement{
		{Receipt: ds[0].Receipt, Op: driver.OpAck},
		{Receipt: ds[0].Receipt, Op: driver.OpNack},
		{Receipt: ds[1].Receipt, Op: driver.OpNack, Delay: time.Hour},
		{Receipt: ds[1].Receipt, Op: driver.OpAck},
		{Receipt: "x", Op: driver.OpAck},
		{Receipt: ds[2].Receipt},
		{Receipt: ds[2].Receipt, Op: driver.OpMove + 1},
		{Receipt: ds[2].Receipt, Op: driver.OpMove, To: "missing"},
		{Receipt: ds[3].Receipt, Op: driver.OpMove, To: "p"},
		{Receipt: ds[4].Receipt, Op: driver.OpArchive},
	}
	want := []error{
		nil, driver.ErrMessageNotFound, nil, driver.ErrStaleReceipt, driver.ErrInvalidReceipt,
		driver.ErrInvalid, driver.ErrInvalid, driver.ErrQueueNotFound, nil, nil,
	}
	err, ok := errors.AsType[*driver.BatchError](c.Settle(t.Context(), "q", batch))
	if !ok || len(err.Errs) != len(want) {
		t.Fatalf("error is %v", err)
	}
	for i := range want {
		if !errors.Is(err.Errs[i], want[i]) || (err.Errs[i] == nil) != (want[i] == nil) {
			t.Errorf("item %d: %v, want %v", i, err.Errs[i], want[i])
		}
	}
	if s := c.stats("q"); s.Total != 2 || s.Leased != 1 || s.Delayed != 1 || s.Archived != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.ensure("p")
		c.send("q", text("first"), driver.Message{Body: []byte("a"), Headers: driver.Headers{"k": "v"}, Group: "g"})
		d := c.receive("q", driver.ReceiveRequest{Max: 2, Visibility: time.Minute})[1]
		time.Sleep(time.Second)
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpMove, To: "p", Reason: "bad"})
		if s := c.stats("q"); s.Total != 1 {
			t.Errorf("%d messages in the old queue, want 1", s.Total)
		}
		got := c.one("p")
		want := driver.Headers{"k": "v", driver.HeaderReason: "bad", driver.HeaderOrigin: "q/2"}
		if got.ID != "1" || got.ReadCount != 1 || fmt.Sprint(got.Headers) != fmt.Sprint(want) || got.Group != "g" || !got.EnqueuedAt.Equal(time.Now()) {
			t.Errorf("moved: %+v", got)
		}
	})
}

func TestMoveWithinQueue(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	c.settle("q", driver.Settlement{Receipt: c.one("q").Receipt, Op: driver.OpMove, To: "q"})
	d := c.one("q")
	if d.ID != "2" || d.ReadCount != 1 || len(d.Headers) != 1 || d.Headers[driver.HeaderOrigin] != "q/1" {
		t.Errorf("moved: %+v", d)
	}
}

func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.send("q", texts("a", "b")...)
		ds := c.receive("q", driver.ReceiveRequest{Max: 2, Visibility: time.Minute})
		extend := func(d driver.Delivery, by time.Duration) error {
			return itemErr(c.Extend(t.Context(), "q", []driver.Receipt{d.Receipt}, by))
		}
		time.Sleep(30 * time.Second)
		c.must(extend(ds[0], time.Minute))
		c.must(extend(ds[1], time.Second)) // shorter
		time.Sleep(time.Second)
		requireStale(t, extend(ds[1], time.Minute))
		if s := c.stats("q"); s.Visible != 1 || s.Leased != 1 {
			t.Errorf("stats: %+v", s)
		}
		time.Sleep(59*time.Second - 1)
		if s := c.stats("q"); s.Leased != 1 {
			t.Errorf("stats: %+v", s)
		}
		time.Sleep(time.Nanosecond)
		requireStale(t, extend(ds[0], time.Minute))
		if s := c.stats("q"); s.Visible != 2 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestExtendBatch(t *testing.T) {
	c := open(t)
	c.send("q", texts("a", "b")...)
	ds := c.receive("q", driver.ReceiveRequest{Max: 2, Visibility: time.Minute})
	c.settle("q", driver.Settlement{Receipt: ds[0].Receipt, Op: driver.OpAck})
	err, ok := errors.AsType[*driver.BatchError](c.Extend(t.Context(), "q", []driver.Receipt{ds[0].Receipt, ds[1].Receipt, "x"}, time.Hour))
	if !ok {
		t.Fatal("no *BatchError")
	}
	requireGone(t, err.Errs[0])
	requireErr(t, err.Errs[1], nil)
	requireErr(t, err.Errs[2], driver.ErrInvalidReceipt)
	if r := c.browse("q", false)[0]; time.Until(r.VisibleAt) < 50*time.Minute {
		t.Errorf("visible in %v", time.Until(r.VisibleAt))
	}
}
