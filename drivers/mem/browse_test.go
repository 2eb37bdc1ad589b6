package mem

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// TestBrowse shows messages in every state, and leaves them there.
func TestBrowse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		start := time.Now()
		c.send("q", texts("leased", "late")...)
		c.send("q", driver.Message{Body: []byte("delayed"), Delay: time.Hour, Group: "g"}, text("visible"))
		c.one("q")
		c.receive("q", driver.ReceiveRequest{Max: 1, Visibility: time.Second})
		time.Sleep(time.Second)

		before := c.stats("q")
		want := []struct {
			body  string
			reads int
			due   time.Duration
		}{{"leased", 1, time.Minute}, {"late", 1, time.Second}, {"delayed", 0, time.Hour}, {"visible", 0, 0}}
		records := c.browse("q", false)
		if len(records) != len(want) {
			t.Fatalf("%d records, want %d", len(records), len(want))
		}
		for i, w := range want {
			r := records[i]
			if string(r.Body) != w.body || r.ReadCount != w.reads || !r.VisibleAt.Equal(start.Add(w.due)) ||
				!r.EnqueuedAt.Equal(start) || !r.ArchivedAt.IsZero() {
				t.Errorf("record %d: %+v", i, r)
			}
		}
		if after := c.stats("q"); after != before {
			t.Errorf("before %+v\nafter  %+v", before, after)
		}
	})
}

func TestBrowsePages(t *testing.T) {
	c := open(t)
	c.send("q", texts("a", "b", "c", "d")...)
	ds, err := c.Pop(t.Context(), "q", 2)
	c.must(err)
	tests := []struct {
		after string
		limit int
		want  []string
	}{
		{"", 1, []string{"c"}},
		{"", 9, []string{"c", "d"}},
		{ds[0].ID, 9, []string{"c", "d"}},
		{"3", 1, []string{"d"}},
		{"4", 9, nil},
		{"9", 9, nil},
	}
	for _, tt := range tests {
		records, err := c.Browse(t.Context(), "q", driver.BrowseRequest{After: tt.after, Limit: tt.limit})
		c.must(err)
		var got []string
		for _, r := range records {
			got = append(got, string(r.Body))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("after %q, limit %d: %q, want %q", tt.after, tt.limit, got, tt.want)
		}
	}
}

func TestBrowseAfterNoID(t *testing.T) {
	c := open(t)
	for _, after := range []string{"x", "-1", "01", "1 "} {
		_, err := c.Browse(t.Context(), "q", driver.BrowseRequest{After: after, Limit: 1})
		requireErr(t, err, driver.ErrInvalid)
	}
}
