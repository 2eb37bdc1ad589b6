package mqcron_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

// at sleeps until a time of the first day of a bubble.
func at(t *testing.T, clock string) {
	t.Helper()
	to, err := time.Parse("2006-01-02 15:04:05", "2000-01-01 "+clock)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(to))
}

// TestCatchUp sets a schedule at 00:00:30, lets nobody run it for a while, and then runs it
// until 00:20:30.
func TestCatchUp(t *testing.T) {
	for _, tt := range []struct {
		catchUp     mqcron.CatchUp
		spec, until string // nobody runs until then
		want        string
	}{
		{mqcron.CatchUpOne, "*/5 * * * *", "00:01:00", "00:05:00, 00:10:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpOne, "*/5 * * * *", "00:12:00", "00:05:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpOne, "*/5 * * * *", "00:05:40", "00:05:00, 00:10:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpOne, "*/5 * * * *", "00:15:30", "00:05:00, 00:15:00, 00:20:00"},
		{"", "*/5 * * * *", "00:12:00", "00:05:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpAll, "*/5 * * * *", "00:17:00", "00:05:00, 00:10:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpNone, "*/5 * * * *", "00:17:00", "00:20:00"},
		{mqcron.CatchUpNone, "*/5 * * * *", "00:15:59", "00:15:00, 00:20:00"},
		{mqcron.CatchUpNone, "*/5 * * * *", "00:06:00", "00:05:00, 00:10:00, 00:15:00, 00:20:00"},
		{mqcron.CatchUpOne, "@every 6m", "00:19:00", "00:06:00, 00:18:00"},
	} {
		t.Run(string(tt.catchUp)+" "+tt.until, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, dsn := shared(t)
				at(t, "00:00:30")
				set(t, c, schedule("s", tt.spec, "", tt.catchUp))
				at(t, tt.until)
				p := start(t, dsn)
				at(t, "00:20:30")
				p.stop(t)
				if got := fired(t, c, "out"); got != tt.want {
					t.Errorf("fired %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestRedefine replaces a schedule in several states.
func TestRedefine(t *testing.T) {
	old, other := schedule("s", "*/5 * * * *", "old", ""), schedule("s", "*/7 * * * *", "new", "")
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c *mq.Client, run func())
		want string
	}{
		{"while it waits", func(t *testing.T, c *mq.Client, run func()) {
			run()
			at(t, "00:06:00")
			set(t, c, other)
		}, "00:05:00 old, 00:07:00 new, 00:14:00 new"},
		{"what was due before belongs to the old one", func(t *testing.T, c *mq.Client, run func()) {
			at(t, "00:06:00")
			set(t, c, other)
			at(t, "00:06:30")
			run()
		}, "00:05:00 old, 00:07:00 new, 00:14:00 new"},
		{"and back", func(t *testing.T, c *mq.Client, run func()) {
			run()
			set(t, c, other)
			set(t, c, old)
		}, "00:05:00 old, 00:10:00 old, 00:15:00 old"},
		{"with the same", func(t *testing.T, c *mq.Client, run func()) {
			run()
			at(t, "00:06:00")
			set(t, c, old)
			same := old
			same.Zone, same.CatchUp, same.Message.Headers = "UTC", mqcron.CatchUpOne, mq.Headers{}
			set(t, c, same)
			if n := control(t, c); n != 1 {
				t.Errorf("there are %d control messages", n)
			}
		}, "00:05:00 old, 00:10:00 old, 00:15:00 old"},
		{"for another queue only", func(t *testing.T, c *mq.Client, run func()) {
			run()
			ensure(t, c, "out2")
			elsewhere := old
			elsewhere.Queue = "out2"
			set(t, c, elsewhere)
			at(t, "00:06:00")
			if got := fired(t, c, "out2"); got != "00:05:00 old" {
				t.Errorf("fired %s", got)
			}
		}, ""},
		{"removed", func(t *testing.T, c *mq.Client, run func()) {
			run()
			at(t, "00:06:00")
			remove(t, c, "s")
		}, "00:05:00 old"},
		{"removed while nobody runs", func(t *testing.T, c *mq.Client, run func()) {
			at(t, "00:06:00")
			remove(t, c, "s")
			run()
		}, ""},
		{"removed and set again", func(t *testing.T, c *mq.Client, run func()) {
			at(t, "00:06:00")
			remove(t, c, "s")
			set(t, c, old)
			run()
		}, "00:10:00 old, 00:15:00 old"},
		{"removed and set again while nobody runs", func(t *testing.T, c *mq.Client, run func()) {
			remove(t, c, "s")
			at(t, "00:06:00")
			set(t, c, schedule("s", "@daily", "new", mqcron.CatchUpNone))
			time.Sleep(9 * 24 * time.Hour)
			run()
			time.Sleep(time.Hour)
		}, ""},
		{"purged and set again", func(t *testing.T, c *mq.Client, run func()) {
			set(t, c, other)
			if _, err := c.Queue(mqcron.DefaultQueue).Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			set(t, c, old)
			run()
		}, "00:05:00 old, 00:10:00 old, 00:15:00 old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, dsn := shared(t)
				set(t, c, old)
				var p *process
				tt.do(t, c, func() { p = start(t, dsn); synctest.Wait() })
				at(t, "00:16:00")
				p.stop(t)
				if got := fired(t, c, "out"); got != tt.want {
					t.Errorf("fired %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func remove(t *testing.T, c *mq.Client, name string) {
	t.Helper()
	if err := mqcron.Remove(t.Context(), c, mqcron.Config{}, name); err != nil {
		t.Fatal(err)
	}
}

// TestTombstone follows a removal until nothing is left. The occurrence that was pending is
// due soon, or long after.
func TestTombstone(t *testing.T) {
	for _, spec := range []string{"@hourly", "@yearly"} {
		t.Run(spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, dsn := shared(t)
				at(t, "00:30:00")
				set(t, c, schedule("s", spec, "", ""))
				remove(t, c, "s")
				if err := mqcron.Remove(t.Context(), c, mqcron.Config{}, "s"); !errors.Is(err, mqcron.ErrNotFound) {
					t.Errorf("removed twice: %v", err)
				}
				for range 3 { // the occurrence that was pending goes first
					time.Sleep(2 * 24 * time.Hour)
					runFor(t, dsn, time.Minute)
				}
				if n := control(t, c); n == 0 {
					t.Error("the tombstone has gone within 6 days")
				}
				for range 50 {
					time.Sleep(7*24*time.Hour + 12*time.Hour)
					runFor(t, dsn, time.Minute)
				}
				if n := control(t, c); n != 0 {
					t.Errorf("there are %d control messages", n)
				}
				set(t, c, schedule("s", "@hourly", "", ""))
				runFor(t, dsn, time.Hour)
				if n := len(sent(t, c, "out")); n != 1 {
					t.Errorf("set again it has fired %d times", n)
				}
			})
		})
	}
}

// runFor runs a process for a while.
func runFor(t *testing.T, dsn string, d time.Duration) {
	t.Helper()
	p := start(t, dsn)
	time.Sleep(d)
	p.stop(t)
}

// TestEarly delivers a control message before its time, as a backend does whose clock is fast.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		ensure(t, c, "draft")
		set(t, c, schedule("s", "@hourly", "", ""))
		q := c.Queue(mqcron.DefaultQueue)
		rs, err := q.Peek(t.Context(), mq.BrowseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Send(t.Context(), &mq.Message{Body: rs[0].Body}); err != nil {
			t.Fatal(err)
		}
		p := start(t, dsn)
		at(t, "00:59:59")
		if got := fired(t, c, "out"); got != "" {
			t.Errorf("fired %s early", got)
		}
		rs, err = q.Peek(t.Context(), mq.BrowseOptions{})
		if err != nil || len(rs) != 1 || rs[0].Attempt != 0 {
			t.Errorf("%d control messages, %d attempts, %v", len(rs), rs[0].Attempt, err)
		}
		at(t, "01:00:01")
		p.stop(t)
		if got := fired(t, c, "out"); got != "01:00:00" {
			t.Errorf("fired %s", got)
		}
	})
}

// TestNoTarget lets the target queue be missing for a while.
func TestNoTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		s := schedule("s", "@hourly", "", "")
		s.Queue = "later"
		p := start(t, dsn, s)
		at(t, "01:30:00")
		ensure(t, c, "later")
		at(t, "01:32:00") // a pause is a minute, and a fifth more or less
		p.stop(t)
		if got := fired(t, c, "later"); got != "01:00:00" {
			t.Errorf("fired %s", got)
		}
	})
}

// TestForeign puts something else into the control queue.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		p := start(t, dsn, schedule("s", "@hourly", "", ""))
		synctest.Wait()
		q := c.Queue(mqcron.DefaultQueue)
		for _, body := range []string{"", "{}", "hello", `{"name":"s"}`, `{"name":"a/b","version":1}`} {
			if _, err := q.Send(t.Context(), &mq.Message{Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		at(t, "01:00:01")
		p.stop(t)
		rs, err := q.Archived(t.Context(), mq.BrowseOptions{})
		if got := fired(t, c, "out"); got != "01:00:00" || len(rs) != 5 || err != nil {
			t.Errorf("fired %s, archived %d, %v", got, len(rs), err)
		}
	})
}
