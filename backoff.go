package mq

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff returns how long a message that failed waits before it is delivered
// again: AtTimeout leaves it to the visibility timeout. attempt is
// Delivery.Attempt, 1 after the first. If it panics, or has not returned after
// Config.CallTimeout, the default is used. While ten calls hang it is not called
// again.
type Backoff func(attempt int) time.Duration

// maxBackoff is the longest pause of Exponential, about 146 years: with its
// variation it still is a Duration.
const maxBackoff = math.MaxInt64 / 2

// Exponential doubles the pause from base on, up to limit, and varies it by a
// fifth either way, so that messages that failed together do not come back
// together.
func Exponential(base, limit time.Duration) Backoff {
	limit = min(limit, maxBackoff)
	return func(attempt int) time.Duration {
		d := min(base, limit)
		for i := 1; i < attempt && 0 < d && d < limit; i++ {
			d = min(2*d, limit)
		}
		if d < 5 {
			return max(d, 0)
		}
		return d - d/5 + rand.N(2*(d/5))
	}
}

// The default backoff and number of attempts outlast a dependency that is down for
// twelve hours: 29 pauses take 13 hours at least.
var defaultBackoff = Exponential(time.Second, time.Hour)

const defaultMaxAttempts = 30
