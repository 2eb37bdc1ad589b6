package mem

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// in returns the view of the provider inside tx.
func (c client) in(tx *Tx) driver.TxProvider {
	c.t.Helper()
	p, err := c.Tx(tx)
	c.must(err)
	return p
}

func (c client) sendIn(tx *Tx, queue string, msgs ...driver.Message) []string {
	c.t.Helper()
	ids, err := c.in(tx).Send(c.t.Context(), queue, msgs)
	c.must(err)
	return ids
}

func (c client) settleIn(tx *Tx, queue string, s ...driver.Settlement) {
	c.t.Helper()
	c.must(c.in(tx).Settle(c.t.Context(), queue, s))
}

func ack(d driver.Delivery) driver.Settlement {
	return driver.Settlement{Receipt: d.Receipt, Op: driver.OpAck}
}

func TestTxCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.ensure("p", "r")
		c.send("q", texts("acked", "nacked", "archived", "moved", "left")...)
		ds := c.receive("q", driver.ReceiveRequest{Max: 5, Visibility: time.Hour})

		tx := c.Begin()
		ids := c.sendIn(tx, "p", text("a"), driver.Message{Body: []byte("b"), Delay: time.Minute})
		body := []byte("c")
		ids = append(ids, c.sendIn(tx, "p", driver.Message{Body: body})...)
		body[0] = 'X'
		c.settleIn(tx, "q", ack(ds[0]), driver.Settlement{Receipt: ds[1].Receipt, Op: driver.OpNack})
		c.settleIn(tx, "q",
			driver.Settlement{Receipt: ds[2].Receipt, Op: driver.OpArchive, Reason: "bad"},
			driver.Settlement{Receipt: ds[3].Receipt, Op: driver.OpMove, To: "r", Reason: "bad"},
			driver.Settlement{Receipt: ds[4].Receipt, Op: driver.OpNack, Delay: driver.AtTimeout})
		if q, p := c.stats("q"), c.stats("p"); q.Leased != 5 || p.Total != 0 || p.TotalSent != 0 {
			t.Fatalf("before the commit: %+v %+v", q, p)
		}
		c.must(tx.Commit())

		if s := c.stats("q"); s.Total != 2 || s.Leased != 1 || s.Visible != 1 || s.Archived != 1 {
			t.Errorf("queue: %+v", s)
		}
		if s := c.stats("p"); s.Visible != 2 || s.Delayed != 1 || s.TotalSent != 3 {
			t.Errorf("target: %+v", s)
		}
		if r := c.browse("p", false); len(r) != 3 || !slices.Equal(ids, []string{r[0].ID, r[1].ID, r[2].ID}) || string(r[2].Body) != "c" {
			t.Errorf("ids %v, records %v", ids, r)
		}
		if r := c.browse("r", false); len(r) != 1 || string(r[0].Body) != "moved" || r[0].Reason() != "bad" {
			t.Errorf("moved: %v", r)
		}
		c.ack(ds[4])
	})
}

// TestTxNackAtTimeout: it leaves the lease alone, for another settlement.
func TestTxNackAtTimeout(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	d := c.one("q")
	tx := c.Begin()
	c.settleIn(tx, "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: driver.AtTimeout}, ack(d))
	c.must(tx.Commit())
	if s := c.stats("q"); s.Total != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestTxRollback(t *testing.T) {
	c := open(t)
	c.send("q", text("a"))
	d := c.one("q")
	tx := c.Begin()
	c.sendIn(tx, "q", text("b"))
	c.settleIn(tx, "q", ack(d))
	c.must(tx.Rollback())
	if s := c.stats("q"); s.Total != 1 || s.Leased != 1 || s.TotalSent != 1 {
		t.Errorf("stats: %+v", s)
	}
	if id := c.send("q", text("c"))[0]; id != "3" {
		t.Errorf("id %s, want 3: the second one is used up", id)
	}
	c.ack(d)
}

// TestTxLateCommit commits in another order than that of the sends.
func TestTxLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		start := time.Now()
		tx := c.Begin()
		c.sendIn(tx, "q", text("1"))
		time.Sleep(time.Second)
		c.send("q", text("2"))
		time.Sleep(time.Second)
		c.must(tx.Commit())
		if s := c.stats("q"); s.OldestAge != 2*time.Second || s.NewestAge != time.Second {
			t.Errorf("stats: %+v", s)
		}
		r := driver.ReceiveRequest{Max: 1, Visibility: time.Minute}
		requireBodies(t, c.receive("q", r), "2") // visible longer
		d := c.one("q")
		if d.ID != "1" || !d.EnqueuedAt.Equal(start) {
			t.Errorf("received %+v", d)
		}
		c.ack(d)
	})
}

// TestTxAborts has calls that fail inside a transaction.
func TestTxAborts(t *testing.T) {
	send := func(queue string) func(c client, tx *Tx, d driver.Delivery) error {
		return func(c client, tx *Tx, _ driver.Delivery) error {
			_, err := c.in(tx).Send(c.t.Context(), queue, texts("x"))
			return err
		}
	}
	settle := func(s driver.Settlement) func(c client, tx *Tx, d driver.Delivery) error {
		return func(c client, tx *Tx, d driver.Delivery) error {
			if s.Receipt == "" {
				s.Receipt = d.Receipt
			}
			return c.in(tx).Settle(c.t.Context(), "q", []driver.Settlement{s})
		}
	}
	tests := map[string]struct {
		call func(c client, tx *Tx, d driver.Delivery) error
		want error
	}{
		"missing queue":   {send("missing"), driver.ErrQueueNotFound},
		"bad receipt":     {settle(driver.Settlement{Receipt: "x", Op: driver.OpAck}), driver.ErrInvalidReceipt},
		"no operation":    {settle(driver.Settlement{}), driver.ErrInvalid},
		"missing target":  {settle(driver.Settlement{Op: driver.OpMove, To: "missing"}), driver.ErrQueueNotFound},
		"settled before":  {settle(driver.Settlement{Op: driver.OpAck}), driver.ErrMessageNotFound},
		"settled outside": {settle(driver.Settlement{Op: driver.OpAck}), driver.ErrMessageNotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			c.send("q", texts("a", "b")...)
			d, first := c.one("q"), c.one("q")
			tx := c.Begin()
			c.settleIn(tx, "q", ack(first))
			switch name {
			case "settled before":
				c.settleIn(tx, "q", ack(d))
			case "settled outside":
				c.ack(d)
			}
			requireErr(t, tt.call(c, tx, d), tt.want)
			_, err := c.in(tx).Send(t.Context(), "q", texts("x"))
			requireErr(t, err, tt.want) // aborted
			requireErr(t, tx.Commit(), tt.want)
			if s := c.stats("q"); s.TotalSent != 2 {
				t.Errorf("stats: %+v", s)
			}
			c.ack(first)
		})
	}
}

func TestTxAbortsOnEndedContext(t *testing.T) {
	c := open(t)
	tx := c.Begin()
	_, err := c.in(tx).Send(ended(), "q", texts("a"))
	requireErr(t, err, context.Canceled)
	requireErr(t, tx.Commit(), context.Canceled)
}

// TestTxCommitFails lets something happen between a call and the commit.
func TestTxCommitFails(t *testing.T) {
	tests := map[string]struct {
		act  func(c client, d driver.Delivery)
		want error
	}{
		"acked":          {func(c client, d driver.Delivery) { c.ack(d) }, driver.ErrMessageNotFound},
		"nacked":         {func(c client, d driver.Delivery) { c.nack(d, 0) }, driver.ErrStaleReceipt},
		"leased again":   {func(c client, d driver.Delivery) { time.Sleep(time.Minute); c.one("q") }, driver.ErrStaleReceipt},
		"purged":         {func(c client, d driver.Delivery) { c.purge() }, driver.ErrMessageNotFound},
		"dropped":        {func(c client, d driver.Delivery) { c.must(c.DropQueue(c.t.Context(), "q")) }, driver.ErrQueueNotFound},
		"target dropped": {func(c client, d driver.Delivery) { c.must(c.DropQueue(c.t.Context(), "r")) }, driver.ErrQueueNotFound},
		"other dropped":  {func(c client, d driver.Delivery) { c.must(c.DropQueue(c.t.Context(), "p")) }, driver.ErrQueueNotFound},
		"closed":         {func(c client, d driver.Delivery) { c.must(c.Close()) }, driver.ErrClosed},
		"timed out only": {func(c client, d driver.Delivery) { time.Sleep(time.Minute) }, nil},
		"extended": {func(c client, d driver.Delivery) {
			c.must(c.Extend(c.t.Context(), "q", []driver.Receipt{d.Receipt}, time.Hour))
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t)
				c.ensure("p", "r")
				c.send("q", text("a"))
				d := c.one("q")
				tx := c.Begin()
				c.sendIn(tx, "p", text("b"))
				c.settleIn(tx, "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpMove, To: "r"})
				tt.act(c, d)
				err := tx.Commit()
				if !errors.Is(err, tt.want) {
					t.Fatalf("error is %v, want %v", err, tt.want)
				}
				for _, queue := range []string{"p", "r"} {
					s, err := c.Stats(t.Context(), queue)
					if err == nil && s.Total != map[bool]int64{true: 1}[tt.want == nil] {
						t.Errorf("queue %s: %+v", queue, s)
					}
				}
				requireErr(t, tx.Commit(), sql.ErrTxDone)
			})
		})
	}
}

func TestTxDone(t *testing.T) {
	c := open(t)
	tx := c.Begin()
	c.must(tx.Commit())
	requireErr(t, tx.Commit(), sql.ErrTxDone)
	requireErr(t, tx.Rollback(), sql.ErrTxDone)
	_, err := c.in(tx).Send(t.Context(), "q", texts("a"))
	requireErr(t, err, sql.ErrTxDone)
	requireErr(t, c.in(tx).Settle(t.Context(), "q", nil), sql.ErrTxDone)
}

func TestTxOfOtherStore(t *testing.T) {
	c, other := open(t), open(t)
	for _, tx := range []driver.SQLTx{other.Begin(), &sql.Tx{}} {
		_, err := c.Tx(tx)
		requireErr(t, err, driver.ErrInvalid)
	}
	a, b := attached(t, "mem://tx"), attached(t, "mem://tx")
	a.ensure("q")
	tx := a.Begin()
	b.sendIn(tx, "q", text("a"))
	c.must(tx.Commit())
	requireBodies(t, []driver.Delivery{b.one("q")}, "a")
	a.must(a.Close())
	_, err := a.Tx(tx)
	requireErr(t, err, driver.ErrClosed)
}

func TestTxHasNoSQL(t *testing.T) {
	tx := New().Begin()
	_, err := tx.ExecContext(t.Context(), "select 1")
	requireErr(t, err, driver.ErrNotSupported)
	rows, err := tx.QueryContext(t.Context(), "select 1")
	requireErr(t, err, driver.ErrNotSupported)
	if rows != nil {
		requireErr(t, rows.Err(), nil)
	}
}
