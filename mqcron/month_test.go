package mqcron_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	_ "time/tzdata"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

// raced says that the race detector is on, under which a month takes eight minutes. It
// passes as well without it, as in make cover.
var raced bool

// TestMonth runs 30 processes for a month in which the clocks change, starts and kills
// them at random, and requires each occurrence once.
func TestMonth(t *testing.T) {
	length, processes := 31*24*time.Hour, 30
	if testing.Short() || raced {
		length, processes = 36*time.Hour, 10
	}
	synctest.Test(t, func(t *testing.T) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		c, dsn := shared(t)
		begin := time.Date(2000, 3, 26, 0, 0, 30, 0, time.UTC)
		time.Sleep(time.Until(begin))
		end := begin.Add(length)
		want := expected(begin, end, berlin)
		var schedules []mqcron.Schedule
		for name, spec := range map[string]string{
			"seconds": "@every 90s", "minutes": "*/10 * * * *", "hours": "0 * * * *", "nights": "30 2 * * *", "weeks": "0 9 * * MON", "months": "0 0 1 * *",
		} {
			ensure(t, c, name)
			q := mq.Of[string](c.Queue(name))
			schedules = append(schedules, mqcron.Every(name, spec, berlin, q, name, mqcron.CatchUpAll))
		}
		f := &fleet{T: t, dsn: dsn, schedules: schedules}
		f.run(processes, end)
		for name := range want {
			got := make(map[time.Time]int)
			for _, d := range sent(t, c, name) {
				due, _ := time.Parse(time.RFC3339Nano, d.Headers[mqcron.HeaderDue])
				if due.Before(end) {
					got[due.UTC()]++
				}
				if d.EnqueuedAt.Before(due) {
					t.Errorf("%s: %v was sent early, at %v", name, due, d.EnqueuedAt)
				}
			}
			compare(t, name, got, want[name])
		}
		t.Logf("%d processes were killed in %v", f.killed, length)
	})
}

// expected returns when each schedule is due, found without the parser.
func expected(begin, end time.Time, berlin *time.Location) map[string]map[time.Time]int {
	want := make(map[string]map[time.Time]int)
	add := func(name string, at time.Time, due bool) {
		if want[name] == nil {
			want[name] = make(map[time.Time]int)
		}
		if due {
			want[name][at.UTC()] = 1
		}
	}
	for at := begin.Truncate(30 * time.Second).Add(30 * time.Second); at.Before(end); at = at.Add(30 * time.Second) {
		local := at.In(berlin)
		minute, midnight := at.Second() == 0, local.Hour() == 0 && local.Minute() == 0
		moved := local.Format("01-02") == "03-26" // 02:30 does not exist
		add("seconds", at, at.Sub(at.Truncate(90*time.Second)) == 0)
		add("minutes", at, minute && at.Minute()%10 == 0)
		add("hours", at, minute && at.Minute() == 0)
		add("nights", at, minute && local.Minute() == 30 && (!moved && local.Hour() == 2 || moved && local.Hour() == 3))
		add("weeks", at, minute && local.Weekday() == time.Monday && local.Hour() == 9 && local.Minute() == 0)
		add("months", at, minute && local.Day() == 1 && midnight)
	}
	return want
}

func compare(t *testing.T, name string, got, want map[time.Time]int) {
	t.Helper()
	for at := range want {
		if got[at] != 1 {
			t.Errorf("%s: %v was fired %d times", name, at, got[at])
		}
	}
	for at, n := range got {
		if want[at] == 0 {
			t.Errorf("%s: %v was fired %d times, and is not due", name, at, n)
		}
	}
	if len(want) == 0 && name != "months" {
		t.Errorf("%s: nothing was due", name)
	}
}

// fleet is a number of processes of which some are killed all the time.
type fleet struct {
	*testing.T
	dsn       string
	schedules []mqcron.Schedule
	processes []*process
	killed    int
}

// run keeps n processes until end.
func (f *fleet) run(n int, end time.Time) {
	for range n {
		f.processes = append(f.processes, launch(f.T, f.dsn, f.schedules))
	}
	for time.Until(end) > 0 {
		time.Sleep(min(rand.N(time.Minute), time.Until(end)))
		f.replace()
		if rand.IntN(30) == 0 {
			f.kill()
		}
	}
	time.Sleep(2 * time.Minute)
	for _, p := range f.processes {
		p.stop(f.T)
	}
}

// replace starts a process for each that has died.
func (f *fleet) replace() {
	for i, p := range f.processes {
		if p.dead.Load() {
			p.stop(f.T)
			f.processes[i] = launch(f.T, f.dsn, f.schedules)
			f.killed++
		}
	}
}

// kill makes some processes die at the next of their steps of a kind, before or after it.
func (f *fleet) kill() {
	for range 1 + rand.IntN(len(f.processes)/3) {
		p := f.processes[rand.IntN(len(f.processes))]
		at := []string{"browse", "send unique", "settle", "receive"}
		p.dieAt(at[rand.IntN(len(at))], rand.IntN(2) == 0, rand.IntN(2) == 0)
	}
}
