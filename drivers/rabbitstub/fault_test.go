package rabbitstub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestDisconnect(t *testing.T) {
	bubble(t, func(c client) {
		other := c.other()
		c.send("q", "1", "2", "3", "4")
		first, second, third := c.one("q"), other.one("q"), c.one("q")
		c.broker.Disconnect()

		c.counts("q", 4, 0) // at once
		for _, d := range []driver.Delivery{first, third} {
			requireErr(c.t, c.ack("q", d), driver.ErrStaleReceipt)
			requireErr(c.t, c.Extend(c.t.Context(), "q", []driver.Receipt{d.Receipt}, time.Minute), driver.ErrStaleReceipt)
			atTimeout := driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: driver.AtTimeout}
			requireErr(c.t, c.settleOne(c.t.Context(), "q", atTimeout), driver.ErrStaleReceipt)
		}
		requireErr(c.t, other.ack("q", second), driver.ErrStaleReceipt)
		reads := make(map[string]int)
		for _, d := range c.receive("q", 4) {
			reads[string(d.Body)] = d.ReadCount
			c.must(c.ack("q", d))
		}
		if reads["1"] != 2 || reads["2"] != 2 || reads["3"] != 2 || reads["4"] != 1 {
			c.t.Errorf("read counts are %v, want 2 for what was leased", reads)
		}
	})
}

func TestDisconnectKeepsOrder(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "1", "2", "3", "4")
		c.receive("q", 3)
		c.broker.Disconnect()
		c.expect("q", "1", "2", "3", "4")
	})
}

func TestDisconnectWaiting(t *testing.T) {
	bubble(t, func(c client) {
		receive := background(func() error {
			_, err := c.Receive(c.t.Context(), "q", driver.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: time.Minute})
			return err
		})
		c.broker.Disconnect()
		requireErr(c.t, receive(), driver.ErrBadConn)
		c.send("q", "for the next connection")
		c.expect("q", "for the next connection")
	})
}

func TestStop(t *testing.T) {
	bubble(t, func(c client) {
		ctx := c.t.Context()
		c.send("q", "leased", "visible")
		d := c.one("q")
		c.broker.Stop()
		for what, call := range map[string]func() error{
			"Ping":        func() error { return c.Ping(ctx) },
			"EnsureQueue": func() error { return c.EnsureQueue(ctx, "r", driver.QueueOptions{}) },
			"DropQueue":   func() error { return c.DropQueue(ctx, "q") },
			"Send":        func() error { _, err := c.Send(ctx, "q", make([]driver.Message, 1)); return err },
			"Receive":     func() error { _, err := c.Receive(ctx, "q", driver.ReceiveRequest{Max: 1}); return err },
			"Stats":       func() error { _, err := c.Stats(ctx, "q"); return err },
		} {
			if err := call(); err == nil {
				c.t.Errorf("%s: no error", what)
			} else {
				requireErr(c.t, err, driver.ErrBadConn)
			}
		}
		requireErr(c.t, c.ack("q", d), driver.ErrStaleReceipt)
		c.broker.Start()
		c.must(c.Ping(ctx))
		c.expect("q", "leased", "visible")
	})
}

// send in the background, while publishers are blocked.
func (c client) sendBlocked(ctx context.Context, body string) (result func() error) {
	return background(func() error {
		_, err := c.Send(ctx, "q", []driver.Message{{Body: []byte(body)}})
		return err
	})
}

func TestBlock(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "acked", "nacked")
		acked, nacked := c.one("q"), c.one("q")
		c.broker.Block()
		requireErr(c.t, c.Ping(c.t.Context()), driver.ErrBadConn)
		send := c.sendBlocked(c.t.Context(), "sent")
		c.must(c.ack("q", acked))
		c.must(c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: nacked.Receipt, Op: driver.OpNack}))
		c.expect("q", "nacked")
		c.broker.Unblock()
		c.must(send())
		c.expect("q", "sent")
	})
}

func TestBlockAbandoned(t *testing.T) {
	bubble(t, func(c client) {
		c.broker.Block()
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		requireErr(c.t, c.sendBlocked(ctx, "stored later")(), driver.ErrUnavailable, context.DeadlineExceeded)
		c.expect("q")
		c.broker.Unblock()
		c.expect("q", "stored later")
	})
}

func TestBlockLost(t *testing.T) {
	for what, lose := range map[string]func(client){
		"Disconnect": func(c client) { c.broker.Disconnect() },
		"Stop":       func(c client) { c.broker.Stop() },
		"Close":      func(c client) { c.must(c.Close()) },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(c client) {
				other := c.other()
				c.broker.Block()
				send := c.sendBlocked(c.t.Context(), "lost")
				lose(c)
				requireErr(c.t, send(), driver.ErrUnavailable)
				c.broker.Start()
				c.broker.Unblock()
				other.expect("q")
			})
		})
	}
}

func TestBlockMissingQueue(t *testing.T) {
	bubble(t, func(c client) {
		c.broker.Block()
		send := c.sendBlocked(c.t.Context(), "returned")
		c.must(c.DropQueue(c.t.Context(), "q"))
		c.broker.Unblock()
		requireErr(c.t, send(), driver.ErrQueueNotFound)
	})
}

// An archive is a copy and an ack. What is cut off in between is in both places.
// TestBlockNack: a nack without a delay does without a copy, and so notes nothing.
func TestBlockNack(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "given back")
		c.broker.Block()
		c.must(c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: c.one("q").Receipt, Op: driver.OpNack, Uncounted: true, Reason: "EOF"}))
		d := c.one("q")
		if d.Attempt != 2 || d.Unanswered != 1 || d.Headers != nil {
			c.t.Errorf("received %+v", d)
		}
		c.broker.Unblock()
		c.must(c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Uncounted: true, Reason: "EOF"}))
		if d = c.one("q"); d.Attempt != 2 || d.Unanswered != 1 || d.Headers[driver.HeaderError] != "EOF" {
			c.t.Errorf("received %+v", d)
		}
	})
}

func TestBlockArchive(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "in both places")
		d := c.one("q")
		archive := driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive}
		c.broker.Block()
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		cut := background(func() error { return c.settleOne(ctx, "q", archive) })
		requireErr(c.t, c.ack("q", d), driver.ErrStaleReceipt) // it is being settled
		requireErr(c.t, cut(), driver.ErrUnavailable)

		again := background(func() error { return c.settleOne(c.t.Context(), "q", archive) })
		c.broker.Unblock()
		c.must(again())
		c.counts("q", 0, 2)
		requireErr(c.t, c.ack("q", d), driver.ErrStaleReceipt)
	})
}

// While it is settled a lease does not end, but for the connection.
func TestBlockArchiveLong(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "archived", "lost")
		archived, lost := c.one("q"), c.one("q")
		archive := func(ctx context.Context, d driver.Delivery) (result func() error) {
			return background(func() error {
				return c.settleOne(ctx, "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive, Reason: "why"})
			})
		}
		c.broker.Block()
		first := archive(c.t.Context(), archived)
		time.Sleep(2 * time.Minute)
		c.expect("q", "lost")
		c.broker.Unblock()
		c.must(first())
		c.counts("q", 0, 1)

		requireErr(c.t, c.ack("q", lost), driver.ErrStaleReceipt)
		time.Sleep(2 * time.Minute)
		lost = c.one("q")
		c.broker.Block()
		second := archive(c.t.Context(), lost)
		c.broker.Disconnect()
		requireErr(c.t, second(), driver.ErrUnavailable)
		c.broker.Unblock()
		c.counts("q", 1, 1)
		lost = c.one("q")

		c.broker.Block()
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute) // longer than the lease
		defer cancel()
		requireErr(c.t, archive(ctx, lost)(), driver.ErrUnavailable)
		c.broker.Unblock()
		c.counts("q", 1, 2)
		if d := c.one("q"); d.ReadCount != 5 || len(d.Headers) > 0 {
			c.t.Errorf("read %d times, headers %q: only the copy in the archive has the reason", d.ReadCount, d.Headers)
		}
	})
}

func TestBlockDelayedNack(t *testing.T) {
	bubble(t, func(c client) {
		c.send("q", "nacked")
		d := c.one("q")
		c.broker.Block()
		nack := background(func() error {
			return c.settleOne(c.t.Context(), "q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: time.Second})
		})
		c.broker.Unblock()
		c.must(nack())
		c.expect("q")
		time.Sleep(time.Second)
		if again := c.one("q"); again.ReadCount != 2 || again.ID != d.ID || !again.EnqueuedAt.Equal(d.EnqueuedAt) {
			c.t.Errorf("after a nack with a delay: %+v, want %+v once more", again, d)
		}
	})
}

func TestUnblockedOnce(t *testing.T) {
	bubble(t, func(c client) {
		c.broker.Unblock()
		c.send("q", "1")
		c.broker.Block()
		c.broker.Unblock()
		c.broker.Unblock()
		synctest.Wait()
		c.expect("q", "1")
	})
}
