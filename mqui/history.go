package mqui

import (
	"math"
	"slices"
	"time"

	"github.com/portmq/mq"
)

const (
	// historyLength is how far a history reaches back.
	historyLength = 15 * time.Minute
	// rateWindow is the time over which a rate is averaged, so that it can be read.
	rateWindow = time.Minute
)

// point is a queue at one moment. Figures that are not known are NaN. float32 is exact
// enough to draw.
type point struct {
	at                                 time.Time
	visible, leased, delayed, archived float32 // visible ones include the blocked
	sent, done                         float32 // a second, since the point before
	lag, oldest                        float32 // seconds
}

// history is the last 15 minutes of a queue.
type history struct {
	keep   bool // otherwise only the last two points are kept
	points []point
	last   mq.Stats
}

func (h *history) add(at time.Time, s mq.Stats, limit int) {
	if !h.keep {
		limit = 2
	}
	p := point{
		at: at, visible: figure(s.Visible + max(s.Blocked, 0)), leased: figure(s.Leased), delayed: figure(s.Delayed),
		archived: figure(s.Archived), lag: seconds(s.Lag), oldest: seconds(s.OldestAge), sent: unknown, done: unknown,
	}
	if n := len(h.points); n > 0 {
		p.sent, p.done = rates(h.last, s, at.Sub(h.points[n-1].at))
	}
	if len(h.points) >= limit {
		h.points = slices.Delete(h.points, 0, len(h.points)-limit+1)
	}
	h.points = append(h.points, p)
	h.last = s
}

// rates returns how many messages a second were sent and done between two looks. A message
// is done when it was sent and is no longer there. Rates are never negative: a queue that
// was dropped and re-created begins at zero.
func rates(before, after mq.Stats, d time.Duration) (sent, done float32) {
	if before.TotalSent < 0 || after.TotalSent < 0 || d <= 0 {
		return unknown, unknown
	}
	n := max(after.TotalSent-before.TotalSent, 0)
	sent = float32(float64(n) / d.Seconds())
	if before.Total < 0 || after.Total < 0 {
		return sent, unknown
	}
	return sent, float32(float64(max(n-(after.Total-before.Total), 0)) / d.Seconds())
}

// unknown is a figure that is not known.
var unknown = float32(math.NaN())

func known(f float32) bool { return f == f }

func figure(n int64) float32 {
	if n < 0 {
		return unknown
	}
	return float32(n)
}

func seconds(d time.Duration) float32 {
	if d < 0 {
		return unknown
	}
	return float32(d.Seconds())
}

// rate returns what was sent and done a second over the last minute.
func (h *history) rate() (sent, done float32) {
	return h.average(func(p point) float32 { return p.sent }), h.average(func(p point) float32 { return p.done })
}

func (h *history) average(of func(point) float32) float32 {
	sum, n := float32(0), 0
	for i := len(h.points) - 1; i >= 0 && h.points[len(h.points)-1].at.Sub(h.points[i].at) < rateWindow; i-- {
		if f := of(h.points[i]); known(f) {
			sum += f
			n++
		}
	}
	if n == 0 {
		return unknown
	}
	return sum / float32(n)
}

// grown returns by how much the archive has grown since the history began: dead letters,
// mostly. An archive that was purged meanwhile counts from its smallest size.
func (h *history) grown() int64 {
	least := unknown
	for _, p := range h.points {
		if known(p.archived) && !(p.archived >= least) {
			least = p.archived
		}
	}
	if len(h.points) == 0 || !known(least) {
		return 0
	}
	return int64(h.points[len(h.points)-1].archived - least)
}

// stuckAfter is for how long a queue must have moved nothing to be called stuck.
const stuckAfter = time.Minute

// stuck reports whether messages have waited for a minute and longer, blocked ones too, and
// nothing has been done in that time.
func (h *history) stuck() bool {
	n := len(h.points)
	if n < 2 || !h.overdue() {
		return false
	}
	now := h.points[n-1].at
	for i := n - 1; i > 0; i-- {
		switch {
		case !(h.points[i].done == 0): // also if it is not known
			return false
		case now.Sub(h.points[i-1].at) >= stuckAfter:
			return true
		}
	}
	return false
}

// overdue reports whether the message that should come next has waited for too long, as
// far as that is known.
func (h *history) overdue() bool {
	switch s := h.last; {
	case s.Visible > 0:
		return s.Lag < 0 || s.Lag >= stuckAfter
	default: // only the age of the oldest message tells how long the blocked ones have waited
		return s.Blocked > 0 && s.OldestAge >= stuckAfter
	}
}
