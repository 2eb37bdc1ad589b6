package drivertest

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

// A case must not fail because a machine is slow. What it waits for may take
// minutes. But some checks need a machine that is fast enough: that a lease
// still holds, say, or that a message came soon. Where it was not, the try is
// void: it proves nothing, and the case begins anew, with a client and queues
// of its own, and with times twice as long. In a bubble there is one try, since
// calls take no time there.

// try is one run of a case. It is the testing.TB of its tester: what fails in
// the background of a try that is void does not count.
type try struct {
	testing.TB
	n    int  // from 1
	last bool // there is none after it
	void atomic.Bool
}

// times is how much longer the times of this try are than those of the first.
func (y *try) times() time.Duration { return 1 << (y.n - 1) }

// A case that is void again and again is tried mostTries times, or for tryFor,
// but leastTries times at least.
const (
	leastTries, mostTries = 3, 8
	tryFor                = 3 * time.Minute
)

// void is what a tester panics with to end a try, and why.
type void string

// execute runs a case on tb, and names the rule if it fails.
func execute(tb testing.TB, h Harness, c testCase) {
	tb.Helper()
	defer func() {
		if tb.Failed() {
			tb.Logf("rule: %s", c.rule)
		}
	}()
	begin := time.Now()
	for n := 1; ; n++ {
		last := h.Bubble || n >= mostTries || n >= leastTries && time.Since(begin) > tryFor
		if !attempt(&try{TB: tb, n: n, last: last}, h, c) {
			return
		}
	}
}

// attempt tries a case and reports whether the try was void.
func attempt(y *try, h Harness, c testCase) (again bool) {
	y.Helper()
	defer func() {
		switch v := recover().(type) {
		case nil:
			if y.void.Load() {
				y.TB.Error("a void try was ended by t.Fatal: it cannot be repeated")
			}
		case void:
			y.Logf("try %d is void: %s", y.n, v)
			again = !y.Failed()
		default:
			y.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	t := newTester(y, h, c)
	defer t.limit.stop()
	c.run(t)
	return false
}

// tooLate fails the case because something came late, if it does so in every
// try. It must be called by the case's own goroutine.
func (t *tester) tooLate(format string, args ...any) {
	t.Helper()
	t.unlessLast(fmt.Sprintf(format, args...))
	t.Errorf(format+"%s", append(args, t.try)...)
}

// unlessLast makes the try void, but for the last one.
func (t *tester) unlessLast(why string) {
	if !t.try.last {
		t.try.void.Store(true)
		panic(void(why))
	}
}

func (y *try) Errorf(format string, args ...any) {
	y.Helper()
	if !y.void.Load() {
		y.TB.Errorf(format, args...)
	}
}

func (y *try) Error(args ...any) {
	y.Helper()
	if !y.void.Load() {
		y.TB.Error(args...)
	}
}

func (y *try) Fatalf(format string, args ...any) {
	y.Helper()
	if y.void.Load() {
		runtime.Goexit()
	}
	y.TB.Fatalf(format, args...)
}

func (y *try) Fatal(args ...any) {
	y.Helper()
	if y.void.Load() {
		runtime.Goexit()
	}
	y.TB.Fatal(args...)
}

// String says in how many tries something failed, for the end of a line.
func (y *try) String() string {
	if y.n == 1 {
		return ""
	}
	return fmt.Sprintf(" (in each of %d tries, the last one with times %d times as long)", y.n, y.times())
}

// before runs f, whose checks prove something only if they are made before end:
// after that the try is void. The tester of f must not leave the goroutine.
func (t *tester) before(end time.Time, f func(t *tester)) {
	t.Helper()
	y := &timely{TB: t.TB, t: t, end: end.Add(-early)}
	within := *t
	within.TB = y
	f(&within)
	if late := y.late(); late != "" {
		t.Fatalf("the machine is too slow: %s", late)
	}
}

// timely is a testing.TB whose failures count until end.
type timely struct {
	testing.TB
	t   *tester
	end time.Time
}

// late returns "" before the end. After it the try is void, or if it is the
// last one the answer is how late it is.
func (y *timely) late() string {
	over := time.Since(y.end)
	if over <= 0 {
		return ""
	}
	why := fmt.Sprintf("checks came %v too late to count", over)
	y.t.unlessLast(why)
	return why + y.t.try.String()
}

// text returns what a failure says.
func (y *timely) text(text string) string {
	if late := y.late(); late != "" {
		return text + ", but " + late
	}
	return text
}

func (y *timely) Error(args ...any) {
	y.Helper()
	y.TB.Error(y.text(fmt.Sprint(args...)))
}

func (y *timely) Errorf(format string, args ...any) {
	y.Helper()
	y.TB.Error(y.text(fmt.Sprintf(format, args...)))
}

func (y *timely) Fatal(args ...any) {
	y.Helper()
	y.TB.Fatal(y.text(fmt.Sprint(args...)))
}

func (y *timely) Fatalf(format string, args ...any) {
	y.Helper()
	y.TB.Fatal(y.text(fmt.Sprintf(format, args...)))
}
