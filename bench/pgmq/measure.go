package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
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
type entrant func() (float64, error)

// contest runs every entrant once a round, so that a busy machine hits all of
// them, and returns what each measured, round by round.
func contest(rounds int, entrants ...entrant) ([][]float64, error) {
	results := make([][]float64, len(entrants))
	for range rounds {
		for i, run := range entrants {
			x, err := run()
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], x)
		}
	}
	return results, nil
}

// perSecond returns how many calls of f a second so many goroutines get
// through in d, after a tenth of d to warm up.
func perSecond(ctx context.Context, goroutines int, d time.Duration, f func(context.Context) error) (float64, error) {
	if _, err := repeat(ctx, goroutines, d/10, f); err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := repeat(ctx, goroutines, d, f)
	return float64(n) / time.Since(start).Seconds(), err
}

func repeat(ctx context.Context, goroutines int, d time.Duration, f func(context.Context) error) (int64, error) {
	var done atomic.Int64
	end := time.Now().Add(d)
	wait := start(goroutines, func() error {
		for time.Now().Before(end) {
			if err := f(ctx); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	})
	err := wait()
	return done.Load(), err
}

// start runs f in so many goroutines. wait returns their errors.
func start(goroutines int, f func() error) (wait func() error) {
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	for i := range goroutines {
		wg.Go(func() { errs[i] = f() })
	}
	return func() error {
		wg.Wait()
		return errors.Join(errs...)
	}
}

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
	return median(took), nil
}
