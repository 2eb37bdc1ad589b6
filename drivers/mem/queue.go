package mem

import (
	"container/list"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

// queue is guarded by its mutex, but for the first three fields, which never
// change, and its patterns.
type queue struct {
	store       *store
	name        string
	incarnation uint64 // a queue made again under its name has another one

	patterns atomic.Pointer[[]string] // sorted; replaced under the mutex, and read without it

	mu        sync.Mutex
	now       int64 // when the operation that holds the lock began
	dropped   bool
	lastID    uint64
	lastLease uint64
	sent      int64

	messages  table[*message]
	ready     ready
	deadlines heap[*message] // leased and delayed ones
	counts    [states]int    // that of gone means nothing
	indexes   []*groupIndex
	archive   table[*archived]
	keys      keys
	pause     *driver.Pause // nil unless it is paused

	waiters list.List // of *waiter, who came first in front
	armed   int64     // the deadline that the first waiter has set its timer to
	eager   int       // waiters that may be served with nothing visible
}

// lock makes everything visible that is due. Every operation begins with it.
func (q *queue) lock() {
	now := int64(time.Since(q.store.epoch))
	q.mu.Lock()
	q.now = max(q.now, now) // somebody may have overtaken us
	for q.nextDue() <= q.now {
		m := q.deadlines.min()
		q.put(m, visible, m.due)
	}
}

// unlock hands waiters what the operation has made available.
func (q *queue) unlock() {
	if q.waiters.Len() > 0 {
		q.serve()
		q.alarm()
	}
	q.mu.Unlock()
}

const never = math.MaxInt64

// nextDue returns the earliest deadline.
func (q *queue) nextDue() int64 {
	if q.deadlines.len() == 0 {
		return never
	}
	return q.deadlines.min().due
}

// later returns t + d, as far as time goes.
func later(t int64, d time.Duration) int64 {
	if int64(d) > never-t {
		return never
	}
	return t + int64(d)
}

// put brings m from its state into another one. Every change of state goes
// through it, so that counts and groups are always true.
func (q *queue) put(m *message, s state, due int64) {
	was := m.state
	switch was {
	case visible:
		q.ready.remove(m)
	case leased, delayed:
		q.deadlines.remove(m)
	}
	m.state, m.due = s, due
	q.counts[was]--
	q.counts[s]++
	switch s {
	case visible:
		q.ready.push(m)
	case leased, delayed:
		q.deadlines.push(m)
	}
	for _, g := range m.groups {
		g.moved(m, was)
	}
}

// reserve gives m its id and its age.
func (q *queue) reserve(m *message) {
	q.lastID++
	m.id, m.enqueued = q.lastID, q.now
}

// insert adds a message that has an id.
func (q *queue) insert(m *message, delay time.Duration) {
	q.messages.put(m.id, m)
	q.sent++
	for _, x := range q.indexes {
		x.add(m)
	}
	q.release(m, delay)
}

// insertCopy adds a new message of the same content, as redrive and move do.
func (q *queue) insertCopy(c content) {
	m := &message{content: c}
	q.reserve(m)
	q.insert(m, 0)
}

// release makes m visible, after delay. A negative delay is a head start.
func (q *queue) release(m *message, delay time.Duration) {
	m.lease = 0
	if delay > 0 {
		q.put(m, delayed, later(q.now, delay))
		return
	}
	q.put(m, visible, q.now+int64(delay))
}

func (q *queue) remove(m *message) {
	q.messages.delete(m.id)
	q.put(m, gone, m.due)
	if m.holder != nil && m.holder.ends == never {
		q.keys.free(m.holder)
	}
}

// clear removes all messages and returns how many there were. Their receipts
// find nothing.
func (q *queue) clear() int {
	n := q.messages.len()
	q.keys.left()
	q.messages = table[*message]{}
	q.ready = ready{}
	q.deadlines = heap[*message]{}
	q.counts = [states]int{}
	for _, x := range q.indexes {
		x.clear()
	}
	return n
}

func (q *queue) stats() driver.Stats {
	s := driver.Stats{
		Total:     int64(q.messages.len()),
		Leased:    int64(q.counts[leased]),
		Delayed:   int64(q.counts[delayed]),
		Archived:  int64(q.archive.len()),
		TotalSent: q.sent,
		OldestAge: -1,
		NewestAge: -1,
		ScrapedAt: q.store.time(q.now),
	}
	if oldest, ok := q.messages.first(); ok {
		newest, _ := q.messages.last()
		s.OldestAge = time.Duration(q.now - oldest.enqueued)
		s.NewestAge = time.Duration(q.now - newest.enqueued)
	}
	q.countReady(&s)
	return s
}

// countReady tells visible messages from blocked ones, and sets the lag.
func (q *queue) countReady(s *driver.Stats) {
	first := q.firstHidden()
	due := q.now
	for m := range q.ready.all() {
		if id, ok := first[m.group]; ok && m.id > id {
			s.Blocked++
			continue
		}
		if due = min(due, m.due); len(first) == 0 {
			break
		}
	}
	s.Visible = int64(q.counts[visible]) - s.Blocked
	s.Lag = time.Duration(q.now - due)
}

// firstHidden returns the oldest message of each group that is leased or delayed.
func (q *queue) firstHidden() map[string]uint64 {
	first := make(map[string]uint64)
	for _, m := range q.deadlines.items {
		if id, ok := first[m.group]; m.group != "" && (!ok || m.id < id) {
			first[m.group] = m.id
		}
	}
	return first
}
