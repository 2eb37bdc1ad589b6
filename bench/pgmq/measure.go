package main

import (
	"time"

	"github.com/portmq/mq/bench/internal/measure"
)

// plan says how much to do.
type plan struct {
	rounds int
	aged   time.Duration
	quick  bool
}

// size returns n, or little of it for a quick run.
func (p plan) size(n int) int {
	if p.quick {
		return max(n/50, 20)
	}
	return n
}

// span is size for durations.
func (p plan) span(d time.Duration) time.Duration {
	if p.quick {
		return d / 10
	}
	return d
}

// An entrant measures something once: a rate, or seconds.
type entrant = measure.Entrant

// What all benchmarks measure with.
var (
	contest   = measure.Contest
	perSecond = measure.PerSecond
	start     = measure.Start
)

// timed calls f n times, after n/10 more to warm up, and returns how long the
// part that f measures took at the median.
func timed(n int, f func() (time.Duration, error)) (time.Duration, error) {
	var took []time.Duration
	for i := range n + n/10 {
		d, err := f()
		if err != nil {
			return 0, err
		}
		if i >= n/10 {
			took = append(took, d)
		}
	}
	return measure.Median(took), nil
}
