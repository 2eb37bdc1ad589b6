package mqcron_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
)

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
