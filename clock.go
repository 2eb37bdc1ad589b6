package mq

import (
	"math"
	"time"
)

// instant is a moment of the local, monotonic clock, in nanoseconds since the
// process began. A Delivery holds several, and a time.Time is three times as
// large. In the bubbles of testing/synctest, where it is long before that, it
// is negative.
type instant int64

// The ends of time.
const always, never instant = math.MinInt64, math.MaxInt64

var epoch = time.Now()

func now() instant { return instant(time.Since(epoch)) }

// add returns the instant d after i, or never if there is none.
func (i instant) add(d time.Duration) instant {
	if d > 0 && i > never-instant(d) {
		return never
	}
	return i + instant(d)
}

// sub returns how long i is after j, as far as a Duration reaches.
func (i instant) sub(j instant) time.Duration {
	if d := i - j; i < j || d >= 0 {
		return time.Duration(d)
	}
	return math.MaxInt64
}
