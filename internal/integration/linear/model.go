package linear

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// place is where a message is.
type place int8

const (
	nowhere place = iota // not sent yet
	queued
	acked
	archived
)

// message is the state of one message.
type message struct {
	place     place
	over      bool // the history is, and what is still open never happens
	nacked    bool // since its last lease
	reads     int
	uncounted int // of the leases
	lease     int // the last one; 0 if nobody has its receipt

	// When it becomes, or has become, visible: not before from, and at until at the
	// latest.
	from, until int64

	lastError string // the reason of the last nack that had one
	reason    string // of the archive
}

const longAgo = math.MinInt64

// slack is how much earlier and later a lease may end: clocks are rounded, and a wall
// clock is steered.
const slack = int64(time.Millisecond)

// mayShow reports whether the message can be visible at some moment of a call.
func (m *message) mayShow(c *call, end int64) bool {
	return m.place == queued && min(c.returned, end) >= m.from
}

// mayHide reports whether the message can be leased or delayed at some moment of a call.
func (m *message) mayHide(c *call) bool { return c.begun < m.until }

// model is what a backend with these caps may do. end is when the history is over.
type model struct {
	caps   driver.Caps
	leeway Leeway
	end    int64
}

// isHidden reports whether a receive may pass over the message.
func (r *model) isHidden(m *message, e *event) bool {
	return m.place != queued || m.mayHide(e.call) || r.leeway.Skips && e.locked()
}

// locked reports whether a call was under way beside e that may have locked the message:
// one that acts on it, or a receive, which looks at all.
func (e *event) locked() bool {
	h := e.call.of
	return slices.ContainsFunc(h.events[e.message], func(o *event) bool {
		return (o.kind == settled || o.kind == extended) && e.call.overlaps(o.call)
	}) || slices.ContainsFunc(h.calls, func(o *call) bool { return o.receives && e.call.overlaps(o) })
}

// overlaps reports whether another call was under way beside c.
func (c *call) overlaps(o *call) bool {
	return o != c && o.begun <= c.returned && c.begun <= o.returned
}

// due sets when the message becomes visible, if a call makes that d from now.
func (m *message) due(c *call, d time.Duration) {
	if d == 0 {
		m.from, m.until = longAgo, longAgo // at once
		return
	}
	m.from, m.until = c.begun+int64(d)-slack, forever
	if c.returned != forever {
		m.until = c.returned + int64(d) + slack
	}
}

// step returns the state after an event, if it can happen in m. An event whose outcome
// is unknown happens where it has an effect, or else after everything else: so the search
// does not try it in all places where it has none.
func (r *model) step(m message, e *event) (message, bool) {
	if m.over {
		return m, e.outcome == unknown
	}
	switch e.kind {
	case last:
		m.over = true
		return m, true
	case sent:
		ok := m.place == nowhere
		m.place = queued
		m.due(e.call, e.span)
		return m, ok
	case claimed:
		return r.claim(m, e)
	case missed:
		return m, r.isHidden(&m, e)
	case settled:
		return r.settle(m, e)
	case extended:
		return r.extend(m, e)
	case seen:
		return m, m.place == queued && r.shown(&m, e) && r.inState(&m, e)
	case unseen:
		return m, m.place != queued
	case filed:
		return m, m.place == archived && r.shown(&m, e) && m.reason == e.reason
	case unfiled:
		return m, m.place != archived
	}
	panic("linear: an event without a kind")
}

func (r *model) claim(m message, e *event) (message, bool) {
	if !m.mayShow(e.call, r.end) {
		return m, false
	}
	m.reads++
	m.lease, m.nacked = e.lease, false
	m.due(e.call, e.span)
	return m, e.outcome == unknown || r.shown(&m, e)
}

// shown compares what a delivery or a record shows.
func (r *model) shown(m *message, e *event) bool {
	attempt := m.reads - m.uncounted
	if e.kind == claimed {
		attempt = max(1, attempt)
	}
	return e.reads == m.reads && (!r.caps.Attempts || e.attempt == attempt) && (!r.caps.NackReasons || e.lastError == m.lastError)
}

func (r *model) inState(m *message, e *event) bool {
	leased := m.reads > 0 && !m.nacked
	switch e.state {
	case driver.StateVisible:
		return m.mayShow(e.call, r.end)
	case driver.StateLeased:
		return leased && m.mayHide(e.call)
	case driver.StateDelayed:
		return !leased && m.mayHide(e.call)
	}
	return false
}

// holds reports whether the receipt of e acts on m, and whether it may fail to, since
// a nack need not fence.
func (r *model) holds(m *message, e *event) (acts, doubtful bool) {
	acts = m.place == queued && e.lease == m.lease
	if acts && m.nacked {
		return !r.caps.NackFences, true
	}
	return acts, false
}

func (r *model) settle(m message, e *event) (message, bool) {
	acts, doubtful := r.holds(&m, e)
	switch e.outcome {
	case gone:
		return m, m.place != queued
	case stale:
		return m, m.place == queued && (!acts || doubtful || r.late(&m, e))
	case done, unknown:
		if !acts {
			return m, false
		}
	}
	switch e.op {
	case driver.OpAck:
		m.place = acked
	case driver.OpArchive:
		m.place, m.reason = archived, e.reason
	case driver.OpNack:
		m.nack(e)
	}
	return m, true
}

// late reports whether the lease can have ended, where that is too late for an ack.
func (r *model) late(m *message, e *event) bool {
	return !r.caps.LateSettle && m.mayShow(e.call, r.end)
}

func (m *message) nack(e *event) {
	if e.uncounted && !m.nacked { // a repeated nack counts nothing twice
		m.uncounted++
	}
	m.nacked = true
	m.due(e.call, e.span)
	if e.reason != "" {
		m.lastError = e.reason
	}
}

func (r *model) extend(m message, e *event) (message, bool) {
	acts, doubtful := r.holds(&m, e)
	switch e.outcome {
	case gone:
		return m, m.place != queued
	case stale:
		return m, m.place == queued && (!acts || doubtful || m.mayShow(e.call, r.end))
	case done, unknown:
		if !acts || !m.mayHide(e.call) {
			return m, false
		}
	}
	m.due(e.call, e.span)
	return m, true
}

func (m message) String() string {
	text := [...]string{"not sent", "queued", "acked", "archived"}[m.place]
	if m.place == queued {
		text += fmt.Sprintf(", last lease %d", m.lease)
		if m.nacked {
			text += ", nacked"
		}
		if m.from != longAgo {
			text += fmt.Sprintf(", due %s to %s", moment(m.from), moment(m.until))
		}
	}
	return fmt.Sprintf("%s, %d reads, %d uncounted, error %q", text, m.reads, m.uncounted, m.lastError)
}

func moment(t int64) string {
	if t == forever {
		return "any time"
	}
	return fmt.Sprintf("%.3f ms", float64(t)/1e6)
}
