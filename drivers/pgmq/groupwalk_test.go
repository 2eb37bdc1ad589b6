package pgmq

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestCursorLaps: one receiver at a time is at all groups, and the server has as
// long a rest as that took.
func TestCursorLaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cursor
		start := time.Now()
		starts := func(want bool, when string) {
			t.Helper()
			if got := c.startLap(); got != want {
				t.Errorf("%s: a lap begins: %v, want %v", when, got, want)
			}
		}
		starts(true, "at first")
		time.Sleep(time.Second)
		starts(false, "beside another one")
		c.endLap(start)
		time.Sleep(time.Second - 1)
		starts(false, "at rest")
		time.Sleep(time.Nanosecond)
		starts(true, "after the rest")
	})
}
