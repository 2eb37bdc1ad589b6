package mem

import (
	"maps"
	"strconv"

	"github.com/portmq/mq/driver"
)

// content is what a receiver is shown. A copy of it may be read without the
// queue's lock: what it refers to never changes, since with and renewed
// clone the map.
type content struct {
	id       uint64
	body     string
	headers  driver.Headers
	group    string
	enqueued int64 // times are nanoseconds since the store's epoch
}

type message struct {
	content
	due   int64  // when it becomes, or became, visible
	lease uint64 // the last one, 0 if there is none that may still settle
	tally
	holder *holder // of its key, or nil
	slot   int32   // in queue.deadlines or queue.ready.ahead
	state  state
	ahead  bool // visible, in queue.ready.ahead
	prev   *message
	next   *message
	groups []*group // by queue.indexes
}

// tally counts the leases of a message.
type tally struct {
	reads     int32
	uncounted int32 // those that were no attempts
	answered  int32 // reads when it was last nacked
	before    int32 // attempts that nobody had answered before an uncounted nack
}

// answer notes a nack.
func (t *tally) answer(uncounted bool) {
	unanswered := int32(t.unanswered())
	if t.answered, t.before = t.reads, 0; uncounted {
		t.uncounted++
		t.before = unanswered
	}
}

func (t tally) attempt() int { return int(t.reads - t.uncounted) }

// unanswered returns how many attempts nobody has answered, not counting the last
// lease, since the last counted nack.
func (t tally) unanswered() int { return int(t.before + t.reads - 1 - t.answered) }

type state uint8

const (
	gone    state = iota
	visible       // in queue.ready
	leased        // in queue.deadlines
	delayed       // in queue.deadlines
	states
)

// cloneHeaders copies h, and makes an empty map nil.
func cloneHeaders(h driver.Headers) driver.Headers {
	if len(h) == 0 {
		return nil
	}
	return maps.Clone(h)
}

// with returns the content with a header more, unless value is empty.
func (c content) with(key, value string) content {
	if value == "" {
		return c
	}
	h := maps.Clone(c.headers)
	if h == nil {
		h = make(driver.Headers, 1)
	}
	h[key] = value
	c.headers = h
	return c
}

// renewed returns the content as a new message has it.
func (c content) renewed() content {
	h := maps.Clone(c.headers)
	delete(h, driver.HeaderReason)
	delete(h, driver.HeaderError)
	c.headers = h
	return c
}

func (m *message) before(o *message) bool {
	if m.due != o.due {
		return m.due < o.due
	}
	return m.id < o.id
}

func (m *message) place() *int32 { return &m.slot }

// view is a message at one moment.
type view struct {
	content
	tally
	key      string // of the group, by the GroupBy of the receive
	due      int64
	archived int64
	lease    uint64 // 0 if it is not leased
}

func (m *message) view() view {
	return view{content: m.content, tally: m.tally, due: m.due, lease: m.lease}
}

// message copies what the receiver may change.
func (v *view) message() driver.Message {
	return driver.Message{Body: []byte(v.body), Headers: maps.Clone(v.headers), Group: v.group}
}

// deliveries makes deliveries of views. It needs no lock.
func (q *queue) deliveries(views []view) []driver.Delivery {
	if len(views) == 0 {
		return nil
	}
	ds := make([]driver.Delivery, len(views))
	for i := range views {
		v, d := &views[i], &ds[i]
		d.Message = v.message()
		d.GroupKey = v.key
		d.ReadCount, d.Attempt, d.Unanswered = int(v.reads), v.attempt(), v.unanswered()
		d.EnqueuedAt = q.store.time(v.enqueued)
		if v.lease == 0 {
			d.ID = formatID(v.id)
			continue
		}
		d.VisibleAt = q.store.time(v.due)
		d.ID, d.Receipt = q.names(v.id, v.lease)
	}
	return ds
}

// records makes records of views, which are all of the archive or all of the queue,
// and were made at the time now. It needs no lock.
func (q *queue) records(views []view, r driver.BrowseRequest, now int64) []driver.Record {
	rs := make([]driver.Record, len(views))
	for i := range views {
		v := &views[i]
		size := len(v.body)
		if r.CutBody > 0 {
			v.body = v.body[:min(size, r.CutBody)]
		}
		rs[i] = driver.Record{
			Message:    v.message(),
			ID:         formatID(v.id),
			State:      v.state(now),
			BodySize:   size,
			ReadCount:  int(v.reads),
			Attempt:    v.attempt(),
			EnqueuedAt: q.store.time(v.enqueued),
			VisibleAt:  q.store.time(v.due),
		}
		if r.Archive {
			rs[i].State, rs[i].ArchivedAt = driver.StateArchived, q.store.time(v.archived)
		}
	}
	return rs
}

// state returns the state of a message in the queue.
func (v *view) state(now int64) driver.State {
	switch {
	case v.due <= now:
		return driver.StateVisible
	case v.lease != 0:
		return driver.StateLeased
	}
	return driver.StateDelayed
}

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }

// parseID is strict: no two texts are one id.
func parseID(s string) (id uint64, ok bool) {
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil && formatID(id) == s
}
