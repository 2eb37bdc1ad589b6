package mq

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// Whatever the limit, the pauses grow up to it and stay there.
func TestExponentialReachesItsLimit(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, limit := range []time.Duration{math.MaxInt64, math.MaxInt64 / 2, math.MaxInt64/2 + 1, math.MaxInt64 / 4, 100 * year, 200 * year, 5 * time.Minute, 1, 0, -1, math.MinInt64} {
		for _, base := range []time.Duration{-time.Second, math.MinInt64, 0, 1, time.Millisecond, time.Second, 7 * time.Minute, 24 * time.Hour, math.MaxInt64} {
			last := time.Duration(0)
			b := Exponential(base, limit)
			for n := range 200 {
				d := b(n)
				if d < 0 || d < last/3 {
					t.Fatalf("Exponential(%v, %v)(%d) = %v after %v", base, limit, n, d, last)
				}
				last = d
			}
			if want := min(limit, math.MaxInt64/2); base > 0 && want > 5 && last < want/3 {
				t.Errorf("Exponential(%v, %v) ends at %v", base, limit, last)
			}
		}
	}
}

// Negative pauses, AtTimeout among them, mean the same everywhere.
func TestPausesOutOfRange(t *testing.T) {
	backoff := func(d time.Duration) ConsumerConfig {
		return ConsumerConfig{Backoff: func(int) time.Duration { return d }}
	}
	limited := driver.Caps{Delay: true, MaxDelay: time.Minute, MaxBatch: 100}
	for name, tt := range map[string]struct {
		caps driver.Caps
		cc   ConsumerConfig
		err  error
		want []Settlement // none: left to the timeout
	}{
		"retry at timeout":              {capable, ConsumerConfig{}, Retry(AtTimeout, errBad), nil},
		"retry at timeout, limited":     {limited, ConsumerConfig{}, Retry(AtTimeout, errBad), nil},
		"retry before now":              {capable, ConsumerConfig{}, Retry(-time.Second, errBad), []Settlement{{Op: OpNack}}},
		"backoff at timeout":            {capable, backoff(AtTimeout), errBad, nil},
		"backoff at timeout, limited":   {limited, backoff(AtTimeout), errBad, nil},
		"backoff before now":            {capable, backoff(-time.Second), errBad, []Settlement{{Op: OpNack}}},
		"backoff before now, limited":   {limited, backoff(-time.Second), errBad, []Settlement{{Op: OpNack}}},
		"backoff above the limit":       {limited, backoff(time.Hour), errBad, []Settlement{{Op: OpNack, Delay: time.Minute}}},
		"backoff without delays":        {driver.Caps{}, backoff(time.Hour), errBad, nil},
		"backoff of 0 without delays":   {driver.Caps{}, backoff(0), errBad, []Settlement{{Op: OpNack}}},
		"before now, without delays":    {driver.Caps{}, backoff(-1), errBad, []Settlement{{Op: OpNack}}},
		"retry of long before, no caps": {driver.Caps{}, ConsumerConfig{}, Retry(math.MinInt64+1, nil), []Settlement{{Op: OpNack}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{caps: tt.caps, receive: deliver(driver.Delivery{Receipt: "r", ReadCount: 1})}
				stats, err := consume(t, f, Config{}, tt.cc, time.Second, func(context.Context, *Delivery) error { return tt.err })
				if err != nil || stats.Retried != 1 || stats.Failed != 0 || len(f.settled) != len(tt.want) {
					t.Fatalf("%+v, %v, settled %+v", stats, err, f.settled)
				}
				for i, want := range tt.want {
					if want.Receipt = "r"; f.settled[i] != want {
						t.Errorf("settled %+v, want %+v", f.settled[i], want)
					}
				}
			})
		})
	}
}

// A read count that is as large as it gets is over the limit.
func TestHugeReadCountIsOverTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable, receive: deliver(driver.Delivery{Receipt: "r", ReadCount: math.MaxInt})}
		called := false
		s, err := consume(t, f, Config{}, ConsumerConfig{}, time.Second, func(context.Context, *Delivery) error {
			called = true
			return errBad
		})
		if err != nil || called || s.DeadLettered != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	c := newConsumer(t, New(new(fake), Config{}).Queue("q"), HandlerFunc(nil2), ConsumerConfig{})
	for attempt, want := range map[int]bool{math.MaxInt: true, defaultMaxAttempts: true, defaultMaxAttempts - 1: false, math.MinInt: false} {
		if c.lastAttempt(&Delivery{Attempt: attempt}) != want {
			t.Errorf("attempt %d is the last one: want %v", attempt, want)
		}
	}
}
