package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

func TestPeek(t *testing.T) {
	d := newDesk(t, "mem")
	var msgs []mq.Message
	for i := range 1000 {
		msgs = append(msgs, text(fmt.Sprint(i+1)))
	}
	d.send(msgs...)
	d.prints(`
ID  STATE  READ  SENT  VISIBLE  GROUP  BODY
1  visible  0  AGE  AGE  -  1
2  visible  0  AGE  AGE  -  2
`, "peek", "w", "-n", "2")
	d.prints(`{"queue":"w","id":"1000","state":"visible","read_count":0,"enqueued_at":"TIME","visible_at":"TIME","body":1000}
`, "peek", "w", "-n", "2", "-after", "999", "-o", "json")
	if got := d.must("peek", "w", "-n", "5000"); strings.Count(got, "\n") != 1001 {
		t.Errorf("peeked %d lines", strings.Count(got, "\n"))
	}
}

func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"), text("3"))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			d.send(text("4"))
			time.Sleep(10 * time.Second) // longer than late messages are looked for
			d.send(text("5"))
			time.Sleep(time.Second)
			cancel()
		}()
		code, stdout, stderr := d.runIn(ctx, "tail", "w", "-n", "2", "-o", "json")
		if code != exitOK || stderr != "" {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		var got []string
		for line := range strings.Lines(stdout) {
			_, body, _ := strings.Cut(line, `"body":`)
			got = append(got, strings.TrimSuffix(body, "}\n"))
		}
		if want := []string{"2", "3", "4", "5"}; !slices.Equal(got, want) {
			t.Errorf("tail shows %q, want %q", got, want)
		}
	})
}

// TestFollowLate: an id below the newest one, committed later, is seen.
func TestFollowLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &hiding{Provider: mem.New(), hidden: map[string]bool{"2": true}}
		c := mq.New(p, mq.Config{})
		defer func() { _ = c.Close() }()
		q, err := c.EnsureQueue(t.Context(), "w", mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{queue: q}
		var got []string
		look := func() {
			if err := f.look(t.Context(), func(r mq.Record) error { got = append(got, r.ID); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := q.SendAll(t.Context(), []*mq.Message{{}, {}, {}, {}}); err != nil {
			t.Fatal(err)
		}
		look()
		time.Sleep(late - time.Second)
		delete(p.hidden, "2")
		look()
		time.Sleep(2 * late)
		look()
		if want := []string{"1", "3", "4", "2"}; !slices.Equal(got, want) {
			t.Errorf("saw %q, want %q", got, want)
		}
		if f.after == "" || len(f.seen) > 1 {
			t.Errorf("still looks behind %q, at %v", f.after, f.seen)
		}
	})
}

// hiding does not show messages whose transaction has not committed.
type hiding struct {
	*mem.Provider
	hidden map[string]bool
}

func (h *hiding) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	rs, err := h.Provider.Browse(ctx, queue, r)
	return slices.DeleteFunc(rs, func(r driver.Record) bool { return h.hidden[r.ID] }), err
}

// TestTailAway: a tail outlives a backend that is gone for a while or hangs, and shows
// what has come meanwhile, each message once.
func TestTailAway(t *testing.T) {
	for name, fault := range map[string]mqtest.Fault{
		"gone":  {Op: "browse", When: func(n int) bool { return n > 10 && n < 20 }, Err: driver.ErrBadConn},
		"hangs": {Op: "browse", When: mqtest.Nth(12), Delay: mq.Forever},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, "mem")
				d.send(text("1"))
				d.suffer(fault)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				go func() {
					time.Sleep(10 * time.Second)
					d.send(text("2"))
				}()
				code, stdout, stderr := d.runIn(ctx, "tail", "w", "-o", "json")
				if code != exitOK || strings.Count(stdout, "\n") != 2 || strings.Count(stderr, "\n") != 2 ||
					!strings.Contains(stderr, "answers again after") {
					t.Errorf("exit code %d, %s and\n%s", code, stderr, stdout)
				}
			})
		})
	}
}
