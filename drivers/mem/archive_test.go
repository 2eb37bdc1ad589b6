package mem

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// archiveAll sends and archives bodies, each with itself as the reason.
func (c client) archiveAll(queue string, bodies ...string) {
	c.t.Helper()
	for _, b := range bodies {
		c.send(queue, text(b))
		c.settle(queue, driver.Settlement{Receipt: c.one(queue).Receipt, Op: driver.OpArchive, Reason: b})
	}
}

func (c client) redrive(queue string, ids []string, limit int) int64 {
	c.t.Helper()
	n, err := c.Redrive(c.t.Context(), queue, ids, limit)
	c.must(err)
	return n
}

func TestArchiveLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		start := time.Now()
		m := driver.Message{Body: []byte("a"), Headers: driver.Headers{"k": "v"}, Group: "g"}
		c.send("q", m)
		time.Sleep(time.Second)
		c.one("q")
		time.Sleep(time.Minute)
		d := c.one("q")
		time.Sleep(time.Second)
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive, Reason: "bad"})

		got := c.browse("q", true)
		if len(got) != 1 {
			t.Fatalf("%d records, want 1", len(got))
		}
		r := got[0]
		if !r.EnqueuedAt.Equal(start) || !r.VisibleAt.Equal(d.VisibleAt) || !r.ArchivedAt.Equal(time.Now()) {
			t.Errorf("times: %+v", r)
		}
		r.EnqueuedAt, r.VisibleAt, r.ArchivedAt = time.Time{}, time.Time{}, time.Time{}
		m.Headers[driver.HeaderReason] = "bad"
		if want := (driver.Record{Message: m, ID: d.ID, State: driver.StateArchived, BodySize: len(m.Body), ReadCount: 2, Attempt: 2}); !reflect.DeepEqual(r, want) {
			t.Errorf("record:\n got %+v\nwant %+v", r, want)
		}
	})
}

// TestArchivedAtOnce archives at the very beginning of the store's time.
func TestArchivedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.archiveAll("q", "a")
		if r := c.browse("q", true)[0]; !r.ArchivedAt.Equal(time.Now()) {
			t.Errorf("archived at %v", r.ArchivedAt)
		}
	})
}

func TestArchiveWithoutReason(t *testing.T) {
	c := open(t)
	c.archiveAll("q", "")
	if r := c.browse("q", true)[0]; r.Headers != nil || r.Reason() != "" {
		t.Errorf("headers: %v", r.Headers)
	}
}

func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		c.send("q", driver.Message{Body: []byte("a"), Headers: driver.Headers{"k": "v"}, Group: "g"})
		old := c.one("q")
		c.settle("q", driver.Settlement{Receipt: old.Receipt, Op: driver.OpArchive, Reason: "bad"})
		time.Sleep(time.Second)
		if n := c.redrive("q", nil, 10); n != 1 {
			t.Fatalf("%d redriven, want 1", n)
		}
		d := c.one("q")
		want := driver.Headers{"k": "v", driver.HeaderOrigin: "q/1"}
		if d.ID != "2" || d.ReadCount != 1 || !reflect.DeepEqual(d.Headers, want) || d.Group != "g" || !d.EnqueuedAt.Equal(time.Now()) {
			t.Errorf("redriven: %+v", d)
		}
		requireGone(t, itemErr(c.Settle(t.Context(), "q", []driver.Settlement{{Receipt: old.Receipt, Op: driver.OpAck}})))
		if s := c.stats("q"); s.Archived != 0 || s.TotalSent != 2 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestRedriveChooses(t *testing.T) {
	tests := []struct {
		ids   []string
		limit int
		want  []string
	}{
		{nil, 0, nil},
		{nil, 2, []string{"a", "b"}},
		{[]string{}, 9, []string{"a", "b", "c"}},
		{[]string{"3", "1"}, 9, []string{"c", "a"}},
		{[]string{"3", "1"}, 1, []string{"c"}},
		{[]string{"2", "2", "7", "x", "03", "+1", ""}, 9, []string{"b"}},
		{[]string{"18446744073709551616", "-1"}, 9, nil},
	}
	for _, tt := range tests {
		c := open(t)
		c.archiveAll("q", "a", "b", "c")
		if n := c.redrive("q", tt.ids, tt.limit); n != int64(len(tt.want)) {
			t.Errorf("%v, limit %d: %d redriven, want %d", tt.ids, tt.limit, n, len(tt.want))
		}
		requireBodies(t, c.receive("q", driver.ReceiveRequest{Max: 9, Visibility: time.Minute}), tt.want...)
		if s := c.stats("q"); s.Archived != int64(3-len(tt.want)) {
			t.Errorf("%v, limit %d: %d still archived", tt.ids, tt.limit, s.Archived)
		}
	}
}

// TestArchiveIsSorted archives in another order than that of the ids.
func TestArchiveIsSorted(t *testing.T) {
	c := open(t)
	const n = 300
	for i := range n {
		c.send("q", text(fmt.Sprint(i)))
	}
	ds := c.receive("q", driver.ReceiveRequest{Max: n, Visibility: time.Minute})
	for i := range n {
		d := ds[i*77%n]
		c.settle("q", driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive})
	}
	records := c.browse("q", true)
	if len(records) != n {
		t.Fatalf("%d records, want %d", len(records), n)
	}
	for i, r := range records {
		if r.ID != fmt.Sprint(i+1) || string(r.Body) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s with body %s", i, r.ID, r.Body)
		}
	}
}

func TestPurgeArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		purge := func(olderThan time.Duration, want int64) {
			t.Helper()
			n, err := c.PurgeArchive(t.Context(), "q", olderThan)
			c.must(err)
			if n != want {
				t.Errorf("purged %d, want %d", n, want)
			}
		}
		c.send("q", text("queued"))
		held := c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: time.Hour})
		c.archiveAll("q", "a", "b")
		time.Sleep(time.Second)
		c.archiveAll("q", "c")
		purge(2*time.Second, 0)
		purge(time.Second, 2)
		if r := c.browse("q", true); len(r) != 1 || string(r[0].Body) != "c" {
			t.Errorf("left: %v", r)
		}
		purge(0, 1)
		c.settle("q", driver.Settlement{Receipt: held[0].Receipt, Op: driver.OpAck})
	})
}
