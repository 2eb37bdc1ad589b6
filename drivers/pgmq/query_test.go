package pgmq

import (
	"math"
	"strconv"
	"testing"
	"time"
)

func TestMicros(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, 999: 1, time.Microsecond: 1, time.Microsecond + 1: 2, time.Second: 1_000_000, time.Hour - 1: 3_600_000_000,
		math.MaxInt64: 9_223_372_036_854_776, -1: 0, -time.Microsecond: -1, -time.Microsecond - 1: -1,
	} {
		if got := micros(d); got != want {
			t.Errorf("micros(%d) = %d, want %d", d, got, want)
		}
	}
}

// TestReplan: on a pool of the caller's a statement that takes long gets
// another text, and so another plan; not more often than every 10 seconds, and
// with no end of texts. Our own sessions have no such plans.
func TestReplan(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		pop := func(plan int, took time.Duration) {
			t.Helper()
			text := jobs.pop
			if plan > 0 {
				text += " /* " + strconv.Itoa(plan) + " */"
			}
			r.add(text, queued{took: took})
			_, err := r.Pop(t.Context(), "jobs", 1)
			r.must(err)
		}
		pop(0, slow) // the queue has just been looked up
		time.Sleep(replanEvery)
		pop(0, slow-1)
		pop(0, slow)
		pop(1, slow)
		for i := 1; i < planTexts; i++ {
			time.Sleep(replanEvery)
			pop(i, slow)
			pop((i+1)%planTexts, 0)
		}
		time.Sleep(replanEvery)
		r.owned = true
		pop(0, slow)
		pop(0, slow)
	})
}
