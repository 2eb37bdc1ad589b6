package drivertest

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// tryCase runs a case as on real time, but on a bubble's.
func tryCase(t *testing.T, h Harness, run func(*tester)) (failures []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		failures = runCaseOn(t.Context(), h, testCase{name: "test/tries", rule: "none", run: run})
	})
	return failures
}

// TestTries: a try that is void does not count, and a case whose tries are all
// void fails.
func TestTries(t *testing.T) {
	errTest := errors.New("wrong")
	for name, tt := range map[string]struct {
		run  func(t *tester)
		want string // in the only failure, "" for none
	}{
		"late once": {func(t *tester) {
			if t.try.n == 1 {
				t.tooLate("late")
			}
		}, ""},
		"always late": {func(t *tester) { t.tooLate("late by %d", 7) }, "late by 7 (in each of 8 tries, the last one with times 128 times as long)"},
		"slow for a while": {func(t *tester) {
			t.before(time.Now().Add(t.unit), func(t *tester) { t.sleep(3 * minUnit) })
		}, ""},
		"always slow": {func(t *tester) {
			t.before(time.Now().Add(t.unit), func(t *tester) { t.sleep(2 * t.unit) })
		}, "the machine is too slow"},
		"wrong in time": {func(t *tester) {
			t.before(time.Now().Add(t.unit), func(t *tester) { t.ok(errTest, "a check") })
		}, "a check: wrong"},
		"wrong when it is late": {func(t *tester) {
			t.before(time.Now().Add(t.unit), func(t *tester) {
				if t.sleep(3 * minUnit); t.unit < 3*minUnit {
					t.ok(errTest, "a check")
				}
			})
		}, ""},
		"wrong and always slow": {func(t *tester) {
			t.before(time.Now().Add(t.unit), func(t *tester) {
				t.sleep(2 * t.unit)
				t.ok(errTest, "a check")
			})
		}, "a check: wrong, but checks came"},
		"wrong before it is late": {func(t *tester) {
			t.Error(errTest)
			t.tooLate("late")
		}, "wrong"},
		"in the background of a void try": {func(t *tester) {
			if t.try.n > 1 {
				return
			}
			t.background(func() {
				<-t.ctx.Done()
				t.Error("not this one")
				t.Fatal("nor this one")
			})
			t.tooLate("late")
		}, ""},
		"in the background of the last try": {func(t *tester) {
			t.background(func() { t.Errorf("this %s", "one") })
			t.sleep(t.unit)
		}, "this one"},
		"stands still": {func(t *tester) {
			<-t.ctx.Done()
			t.ok(t.ctx.Err(), "a call")
		}, "a call: context canceled (the case stands still)"},
		"goes on": {func(t *tester) {
			var n atomic.Int32
			t.background(func() {
				for t.ctx.Err() == nil {
					t.doze(patience - 2*t.unit)
					n.Add(1)
				}
			})
			t.reaches("twenty", 20, func() int { return int(n.Load()) })
		}, ""},
		"stops": {func(t *tester) { t.reaches("twenty", 20, func() int { return 19 }) }, "never happened: twenty (but 19 of 20)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := tryCase(t, private(), tt.run)
			switch {
			case tt.want == "" && len(failures) > 0, tt.want != "" && len(failures) != 1:
				t.Errorf("failures %q, want %q", failures, tt.want)
			case tt.want != "" && !strings.Contains(failures[0], tt.want):
				t.Errorf("failure %q, want %q", failures[0], tt.want)
			}
		})
	}
}

// TestTriesWithinLimits: however long the times of a try are, the provider takes
// them.
func TestTriesWithinLimits(t *testing.T) {
	failures := tryCase(t, awkwardHarness(""), func(t *tester) {
		if !t.try.last {
			t.tooLate("late")
		}
		q := t.queue()
		t.post(q, &mq.Message{Delay: 20 * t.unit}, &mq.Message{})
		d, _ := t.lease(q, 20*t.unit)
		t.ok(d.Extend(t.ctx, t.heartbeat()), "extend")
	})
	if len(failures) > 0 {
		t.Errorf("failures %q", failures)
	}
}

// TestOneTryInBubble: there it is not the machine that is late.
func TestOneTryInBubble(t *testing.T) {
	h := private()
	h.Bubble = true
	if failures := tryCase(t, h, func(t *tester) { t.tooLate("late") }); len(failures) != 1 || failures[0] != "late" {
		t.Errorf("failures %q, want that it is late", failures)
	}
}

// TestHeartbeatCases shows that cases which a slow machine makes void notice
// leases that are not kept.
func TestHeartbeatCases(t *testing.T) {
	for _, name := range []string{"consumer/long-job", "consumer/prefetch", "messages/keeps-leases"} {
		for _, strict := range []bool{true, false} {
			if len(runMutant(t, extendsNothing, caseNamed(t, name), strict)) == 0 {
				t.Errorf("%s does not notice an Extend that does nothing, strict=%v", name, strict)
			}
		}
	}
}
