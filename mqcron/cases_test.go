package mqcron_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/rabbitstub"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
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
				for range 50 {
					time.Sleep(7*24*time.Hour + 12*time.Hour)
					runFor(t, dsn, time.Minute)
					if n := control(t, c); n == 0 && time.Now().YearDay() < 9 && time.Now().Year() == 2000 {
						t.Error("the tombstone has gone within 8 days")
					}
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

// TestCrash kills the process that fires an occurrence before and after each step, in both
// ways, and lets another one go on.
func TestCrash(t *testing.T) {
	for _, step := range []struct {
		op   string
		call int
	}{{"receive", 1}, {"browse", 1}, {"browse", 2}, {"send unique", 1}, {"send unique", 2}, {"settle", 1}} {
		for _, applied := range []bool{false, true} {
			for _, hang := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					c, dsn := shared(t)
					set(t, c, schedule("s", "* * * * *", "", ""))
					p := start(t, dsn)
					synctest.Wait()
					p.dieAtNth(step.op, step.call, applied, hang)
					at(t, "00:00:30")
					q := start(t, dsn)
					at(t, "00:03:30")
					p.stop(t)
					q.stop(t)
					if !p.dead.Load() {
						t.Errorf("%v: the process is alive", step)
					}
					if got, want := fired(t, c, "out"), "00:01:00, 00:02:00, 00:03:00"; got != want {
						t.Errorf("%v, applied: %v, hanging: %v: fired %s, want %s", step, applied, hang, got, want)
					}
					if n := control(t, c); n != 1 {
						t.Errorf("%v: there are %d control messages", step, n)
					}
				})
			}
		}
	}
}

// TestZombie holds a process up between its steps for longer than its lease, while others go
// on for minutes. What it does then has been done.
func TestZombie(t *testing.T) {
	for _, op := range []string{"browse", "send unique", "settle"} {
		for call := 1; call <= 2; call++ {
			synctest.Test(t, func(t *testing.T) {
				c, dsn := shared(t)
				set(t, c, schedule("s", "* * * * *", "", ""))
				p := start(t, dsn)
				synctest.Wait()
				p.faulty.Plan(
					mqtest.Fault{Op: op, When: mqtest.Nth(call), Delay: 25 * time.Second, Applied: op == "browse"},
					mqtest.Fault{Op: "extend", Err: driver.ErrBadConn},
				)
				at(t, "00:00:30")
				q := start(t, dsn)
				at(t, "00:05:30")
				p.stop(t)
				q.stop(t)
				if got, want := fired(t, c, "out"), "00:01:00, 00:02:00, 00:03:00, 00:04:00, 00:05:00"; got != want {
					t.Errorf("%s %d: fired %s, want %s", op, call, got, want)
				}
				if n := control(t, c); n != 1 {
					t.Errorf("%s %d: there are %d control messages", op, call, n)
				}
			})
		}
	}
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

// TestStale delivers a control message of long ago again. No key of it is held any more.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		set(t, c, schedule("s", "@daily", "", mqcron.CatchUpAll))
		q := c.Queue(mqcron.DefaultQueue)
		rs, err := q.Peek(t.Context(), mq.BrowseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, dsn)
		time.Sleep(10*24*time.Hour + time.Hour)
		if _, err := q.Send(t.Context(), &mq.Message{Body: rs[0].Body}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p.stop(t)
		if n := len(sent(t, c, "out")); n != 10 {
			t.Errorf("%d were fired in 10 days", n)
		}
		if n := control(t, c); n != 1 {
			t.Errorf("there are %d control messages", n)
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

// TestBadInput requires errors before any I/O.
func TestBadInput(t *testing.T) {
	p := mqtest.Faulty(openStore(t, "mem://").Provider())
	c := mq.New(p, quiet)
	defer c.Close()
	good := schedule("s", "@hourly", "", "")
	bad := func(change func(*mqcron.Schedule)) mqcron.Schedule {
		s := good
		change(&s)
		return s
	}
	unencoded := mqcron.Every("s", "@hourly", nil, mq.Of[func()](c.Queue("out")), nil)
	for _, tt := range []struct {
		want string
		s    []mqcron.Schedule
	}{
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = "" })}},
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = "a b" })}},
		{"a name has", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Name = strings.Repeat("x", 129) })}},
		{"never comes", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Spec = "0 0 30 2 *" })}},
		{"5 fields", []mqcron.Schedule{good, bad(func(s *mqcron.Schedule) { s.Name, s.Spec = "t", "* *" })}},
		{"IANA", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Zone = "Local" })}},
		{"queue name is empty", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Queue = "" })}},
		{"CatchUp", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.CatchUp = "two" })}},
		{"no Delay", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Delay = 1 })}},
		{"no Delay", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.DedupKey = "x" })}},
		{"Expires", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Expires = 1 })}},
		{"NUL", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Group = "\x00" })}},
		{"NUL", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Headers = mq.Headers{"a": "\xff"} })}},
		{"limit is", []mqcron.Schedule{bad(func(s *mqcron.Schedule) { s.Message.Body = make([]byte, 13<<20) })}},
		{"twice", []mqcron.Schedule{good, good}},
		{"does not encode", []mqcron.Schedule{unencoded}},
	} {
		err := mqcron.Run(t.Context(), c, mqcron.Config{}, tt.s...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, mq.ErrInvalid) && tt.want != "does not encode" {
			t.Errorf("Run: %v, want %q", err, tt.want)
		}
	}
	_, err := mqcron.RunNow(t.Context(), c, mqcron.Config{}, "a b")
	for _, err := range []error{
		err, mqcron.Remove(t.Context(), c, mqcron.Config{}, ""),
		mqcron.Set(t.Context(), c, mqcron.Config{Queue: "\x00"}, good),
	} {
		if !errors.Is(err, mq.ErrInvalid) {
			t.Errorf("%v, want ErrInvalid", err)
		}
	}
	for _, op := range ops {
		if n := p.Calls(op); n > 0 {
			t.Errorf("%d calls of %s", n, op)
		}
	}
}

// noDelay is a provider that has everything else.
type noDelay struct{ *mem.Provider }

func (p noDelay) Caps() driver.Caps {
	caps := p.Provider.Caps()
	caps.Delay = false
	return caps
}

// TestNotSupported requires the same of a provider that lacks something.
func TestNotSupported(t *testing.T) {
	c, other := mq.New(rabbitstub.New(), quiet), mq.New(noDelay{mem.New()}, quiet)
	defer c.Close()
	defer other.Close()
	if err := mqcron.Run(t.Context(), other, mqcron.Config{}); !errors.Is(err, mq.ErrNotSupported) {
		t.Errorf("without delays: %v", err)
	}
	_, err := mqcron.List(t.Context(), c, mqcron.Config{})
	for _, err := range []error{
		err, mqcron.Run(t.Context(), c, mqcron.Config{}),
		mqcron.Set(t.Context(), c, mqcron.Config{}, schedule("s", "@hourly", "", "")),
		mqcron.Remove(t.Context(), c, mqcron.Config{}, "s"),
	} {
		if !errors.Is(err, mq.ErrNotSupported) || !strings.Contains(err.Error(), "use mem, sqlite or pgmq") {
			t.Errorf("%v, want ErrNotSupported", err)
		}
	}
}
