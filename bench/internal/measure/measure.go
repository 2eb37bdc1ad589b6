// Package measure is what the benchmarks of the providers measure with.
package measure

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An Entrant measures something once: a rate, or seconds.
type Entrant func() (float64, error)

// Contest runs every entrant once a round, so that a busy machine hits all of
// them, and returns what each measured, round by round.
func Contest(rounds int, entrants ...Entrant) ([][]float64, error) {
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

// PerSecond returns how many calls of f a second so many goroutines get
// through in d, after a tenth of d to warm up.
func PerSecond(ctx context.Context, goroutines int, d time.Duration, f func(context.Context) error) (float64, error) {
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
	wait := Start(goroutines, func() error {
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

// Start runs f in so many goroutines. wait returns their errors.
func Start(goroutines int, f func() error) (wait func() error) {
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

// Ratio is the median of the rounds' ratios: what slows the machine for a
// while hits both sides of one.
func Ratio(ours, theirs []float64) float64 { return Median(Ratios(ours, theirs)) }

// Ratios returns the ratio of each round.
func Ratios(ours, theirs []float64) []float64 {
	var xs []float64
	for i := range ours {
		xs = append(xs, ours[i]/theirs[i])
	}
	return xs
}

// Median returns the middle one of xs, the lower of two.
func Median[T cmp.Ordered](xs []T) T { return Quantile(xs, 0.5) }

// Quantile returns the least of xs that is not below the share q of them.
func Quantile[T cmp.Ordered](xs []T, q float64) T {
	xs = slices.Sorted(slices.Values(xs))
	return xs[max(0, int(math.Ceil(q*float64(len(xs))))-1)]
}
