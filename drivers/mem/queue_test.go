package mem

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestRoundTrip(t *testing.T) {
	tests := map[string]driver.Message{
		"text":    text("hello"),
		"binary":  text("\x00\xff\n{"),
		"headers": {Body: []byte("a"), Headers: driver.Headers{"k": "v", "": ""}},
		"group":   {Body: []byte("a"), Group: "g"},
		"all":     {Body: bytes.Repeat([]byte("a"), 1<<20), Headers: driver.Headers{"k": "v"}, Group: "g"},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			id := c.send("q", m)[0]
			d := c.one("q")
			if !reflect.DeepEqual(d.Message, m) || d.ID != id || d.ReadCount != 1 {
				t.Errorf("received %+v, want %+v", d, m)
			}
		})
	}
}

func TestEmptyMessage(t *testing.T) {
	c := open(t)
	c.send("q", driver.Message{Headers: driver.Headers{}}, driver.Message{Body: []byte{}})
	for range 2 {
		if d := c.one("q"); len(d.Body) != 0 || d.Headers != nil {
			t.Errorf("received %+v", d)
		}
	}
}

// TestOwnership changes what went in and what came out.
func TestOwnership(t *testing.T) {
	c := open(t)
	m := driver.Message{Body: []byte("a"), Headers: driver.Headers{"k": "v"}}
	c.send("q", m)
	for range 3 {
		m.Body[0], m.Headers["k"] = 'X', "X"
		d := c.one("q")
		if string(d.Body) != "a" || d.Headers["k"] != "v" {
			t.Fatalf("received %s %v", d.Body, d.Headers)
		}
		m = d.Message
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack})
	}
	r := c.browse("q", false)[0]
	r.Body[0], r.Headers["k"] = 'X', "X"
	c.settle("q", driver.Settlement{Receipt: c.one("q").Receipt, Op: driver.OpArchive, Reason: "bad"})
	r = c.browse("q", true)[0]
	if string(r.Body) != "a" || r.Headers["k"] != "v" {
		t.Fatalf("archived %s %v", r.Body, r.Headers)
	}
}

func TestIDs(t *testing.T) {
	c := open(t)
	want := []string{"1", "2", "3"}
	if got := append(c.send("q", texts("a", "b")...), c.send("q", text("c"))...); !slices.Equal(got, want) {
		t.Errorf("ids are %v, want %v", got, want)
	}
}

func TestReceiveMax(t *testing.T) {
	c := open(t)
	c.send("q", texts("a", "b", "c", "d")...)
	r := driver.ReceiveRequest{Max: 3, Visibility: time.Minute}
	requireBodies(t, c.receive("q", r), "a", "b", "c")
	requireBodies(t, c.receive("q", r), "d")
	if ds := c.receive("q", r); ds != nil {
		t.Errorf("received %v", ds)
	}
}

// TestOrder: those visible longest come first, and a batch is sorted by age.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.send("q", texts("1", "2")...)
		c.send("q", driver.Message{Body: []byte("3"), Delay: time.Second})
		c.settle("q", driver.Settlement{Receipt: c.one("q").Receipt, Op: driver.OpNack})
		c.send("q", text("4"))
		time.Sleep(time.Second)
		c.send("q", text("5"))
		// Visible since, in order: 2 1 4 3 5.
		r := driver.ReceiveRequest{Max: 2, Visibility: time.Minute}
		requireBodies(t, c.receive("q", r), "1", "2")
		requireBodies(t, c.receive("q", r), "3", "4")
		requireBodies(t, c.receive("q", r), "5")
	})
}

func TestOrderOfPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		for i, delay := range []time.Duration{3, 1, 2, 1} {
			c.send("q", driver.Message{Body: fmt.Append(nil, i), Delay: delay * time.Second})
		}
		time.Sleep(time.Minute)
		for _, want := range []string{"1", "3", "2", "0"} {
			requireBodies(t, c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: time.Hour}), want)
		}
	})
}

func TestVisibilityTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		start := time.Now()
		c.send("q", text("a"))
		time.Sleep(time.Second)
		first := c.one("q")
		if want := start.Add(time.Second + time.Minute); !first.VisibleAt.Equal(want) || !first.EnqueuedAt.Equal(start) {
			t.Errorf("visible at %v, enqueued at %v", first.VisibleAt.Sub(start), first.EnqueuedAt.Sub(start))
		}
		time.Sleep(time.Minute - 1)
		if ds := c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: time.Minute}); len(ds) > 0 {
			t.Fatalf("received %v before the timeout", ds)
		}
		time.Sleep(time.Nanosecond)
		again := c.one("q")
		if again.ID != first.ID || !again.EnqueuedAt.Equal(start) || again.ReadCount != 2 || again.Receipt == first.Receipt {
			t.Errorf("first %+v\nagain %+v", first, again)
		}
		requireStale(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: first.Receipt, Op: driver.OpAck}})))
		c.settle("q", driver.Settlement{Receipt: again.Receipt, Op: driver.OpAck})
	})
}

// TestEndlessDurations: what overflows lasts for ever.
func TestEndlessDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		time.Sleep(time.Second)
		c.send("q", text("a"), driver.Message{Body: []byte("b"), Delay: math.MaxInt64})
		d := c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: math.MaxInt64})[0]
		time.Sleep(1000 * time.Hour)
		c.must(c.Extend(t.Context(), "q", []driver.Receipt{d.Receipt}, math.MaxInt64))
		if s := c.stats("q"); s.Leased != 1 || s.Delayed != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestPop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.send("q", texts("a", "b", "c")...)
		c.send("q", driver.Message{Body: []byte("later"), Delay: time.Second})
		d := c.one("q")
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack})
		ds, err := c.Pop(t.Context(), "q", 5)
		c.must(err)
		requireBodies(t, ds, "a", "b", "c")
		for i, want := range []int{2, 1, 1} {
			if d := ds[i]; d.Receipt != "" || !d.VisibleAt.IsZero() || d.ReadCount != want || d.ID != fmt.Sprint(i+1) {
				t.Errorf("popped %+v", d)
			}
		}
		if s := c.stats("q"); s.Total != 1 || s.Delayed != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		start := time.Now()
		require := func(what string, want driver.Stats) {
			t.Helper()
			want.ScrapedAt = time.Now()
			got := c.stats("q")
			if !got.ScrapedAt.Equal(want.ScrapedAt) {
				t.Errorf("%s: scraped at %v", what, got.ScrapedAt.Sub(start))
			}
			if got.ScrapedAt = want.ScrapedAt; got != want {
				t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
			}
		}
		require("empty", driver.Stats{OldestAge: -1, NewestAge: -1})
		c.send("q", texts("a", "b", "c")...)
		time.Sleep(time.Second)
		c.send("q", driver.Message{Delay: time.Minute})
		require("sent", driver.Stats{Total: 4, Visible: 3, Delayed: 1, TotalSent: 4, OldestAge: time.Second, Lag: time.Second})
		ds := c.receive("q", driver.ReceiveRequest{Max: 2, Visibility: 10 * time.Second})
		require("leased", driver.Stats{Total: 4, Visible: 1, Leased: 2, Delayed: 1, TotalSent: 4, OldestAge: time.Second, Lag: time.Second})
		c.settle("q", driver.Settlement{Receipt: ds[0].Receipt, Op: driver.OpNack, Delay: time.Minute})
		require("nacked", driver.Stats{Total: 4, Visible: 1, Leased: 1, Delayed: 2, TotalSent: 4, OldestAge: time.Second, Lag: time.Second})
		time.Sleep(10 * time.Second)
		require("timed out", driver.Stats{Total: 4, Visible: 2, Delayed: 2, TotalSent: 4, OldestAge: 11 * time.Second, NewestAge: 10 * time.Second, Lag: 11 * time.Second})
		c.settle("q", driver.Settlement{Receipt: ds[1].Receipt, Op: driver.OpArchive})
		require("archived", driver.Stats{Total: 3, Visible: 1, Delayed: 2, Archived: 1, TotalSent: 4, OldestAge: 11 * time.Second, NewestAge: 10 * time.Second, Lag: 11 * time.Second})
		time.Sleep(time.Minute)
		require("due", driver.Stats{Total: 3, Visible: 3, Archived: 1, TotalSent: 4, OldestAge: 71 * time.Second, NewestAge: 70 * time.Second, Lag: 71 * time.Second})
	})
}

// TestStatsBlocked: what is due behind an earlier message of its group that is
// hidden is blocked, and not what the lag counts.
func TestStatsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		require := func(what string, visible, blocked int64, lag time.Duration) {
			t.Helper()
			if s := c.stats("q"); s.Visible != visible || s.Blocked != blocked || s.Lag != lag || s.Total != s.Visible+s.Blocked+s.Leased+s.Delayed {
				t.Errorf("%s: %+v, want %d visible, %d blocked, lag %v", what, s, visible, blocked, lag)
			}
		}
		c.send("q", grouped("a", "1"), grouped("a", "2"))
		time.Sleep(time.Second)
		c.send("q", grouped("b", "3"), grouped("", "4"))
		time.Sleep(time.Second)
		require("all visible", 4, 0, 2*time.Second)
		d := c.heads(byGroup, 1)[0]
		require("a leased", 2, 1, time.Second)
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpNack, Delay: 5 * time.Second})
		require("a delayed", 2, 1, time.Second)
		time.Sleep(5 * time.Second)
		require("a due again", 4, 0, 7*time.Second)
		c.receive("q", driver.ReceiveRequest{Max: 3, Visibility: time.Minute})
		require("all but the last received", 1, 0, 0)
	})
}
