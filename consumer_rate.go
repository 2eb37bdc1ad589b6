package mq

import (
	"math"
	"time"
)

// rate bounds how many messages a Consumer begins with: by how many it fetches, so that
// what has to wait is free for other processes. It is a bucket of tokens that begins
// full. The Consumer's mutex guards it.
type rate struct {
	every time.Duration // for a token; 0 sets no limit
	burst int           // the size of the bucket
	full  instant       // when it is, or was, full
	timer *time.Timer   // pokes when there is a token again
}

// burstsPerSecond is how often a Consumer with a high rate may fetch.
const burstsPerSecond = 10

func newRate(perSecond float64, poke func()) rate {
	if perSecond == 0 {
		return rate{}
	}
	every := min(float64(time.Second)/perSecond, float64(math.MaxInt64/4))
	r := rate{every: max(1, time.Duration(every)), burst: max(1, int(min(perSecond/burstsPerSecond, math.MaxInt32))), full: now()}
	r.timer = time.AfterFunc(math.MaxInt64, poke)
	r.timer.Stop()
	return r
}

// room returns how many of n messages may be fetched now. If none may it sees to it
// that the Consumer looks again in time.
func (r *rate) room(n int) int {
	if r.every == 0 {
		return n
	}
	missing := r.full.sub(now())
	used := int((max(0, missing) + r.every - 1) / r.every)
	if used >= r.burst {
		r.timer.Reset(missing - time.Duration(r.burst-1)*r.every)
		return 0
	}
	return min(n, r.burst-used)
}

// take takes tokens for messages that have come.
func (r *rate) take(n int) {
	if r.every > 0 {
		r.full = max(r.full, now()).add(time.Duration(n) * r.every)
	}
}

// stop ends the timer.
func (r *rate) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
}
