package pgmq

import (
	"sync"
	"time"
)

// cursor is where the walk over all groups goes on, so that each has its turn.
// The receivers of a process share it.
type cursor struct {
	mu     sync.Mutex
	at     string
	inLap  bool
	resume time.Time // when the next lap may begin
}

func (c *cursor) get() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *cursor) set(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// startLap reports whether the caller may walk over all groups now. Only one
// receiver at a time does, and after a lap the server rests for as long as that
// took: most of what becomes free meanwhile is found without a walk.
func (c *cursor) startLap() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inLap || time.Now().Before(c.resume) {
		return false
	}
	c.inLap = true
	return true
}

func (c *cursor) endLap(start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inLap, c.resume = false, time.Now().Add(time.Since(start))
}

// lap is one round of the walk, from a group to the last, and from the first to
// that group again. No group is at "", the beginning and the end.
type lap struct {
	from    string
	wrapped bool
	over    bool
}

// reached says where the walk has got to.
func (l *lap) reached(at string) {
	switch {
	case at == "" && (l.wrapped || l.from == ""):
		l.over = true
	case at == "":
		l.wrapped = true
	case l.wrapped && at >= l.from:
		l.over = true
	}
}
