package pgmq

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTrail: transactions that went without a notification are followed by
// some, and there is an end to it.
func TestTrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		f := &fake{answer: func(_ context.Context, text string, _ values) ([]values, error) {
			if text == sqlNotify {
				at = append(at, time.Since(start))
			}
			return nil, nil
		}}
		p := f.open(t)
		h := p.hub("jobs")
		if !h.takeTxNotify(p) {
			t.Error("the first transaction does not notify")
		}
		h.takeTxNotify(p) // is followed at 20, 220
		time.Sleep(100 * time.Millisecond)
		if !h.takeTxNotify(p) || h.takeTxNotify(p) { // and this one after the next
			t.Error("one of two transactions is to notify")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		ms := time.Millisecond
		want := []time.Duration{20 * ms, 220 * ms, 240 * ms, 440 * ms, 2440 * ms}
		if !slices.Equal(at, want) {
			t.Errorf("notified at %v, want %v", at, want)
		}
	})
}
