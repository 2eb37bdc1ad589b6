package rabbitstub

import (
	"sync"
	"time"
)

// Broker is what a RabbitMQ node is to its clients. All of it is guarded by
// its mutex, but for the first two fields.
type Broker struct {
	name  string // of the DSN, "" if there is none
	users int    // guarded by namedMu

	mu        sync.Mutex
	now       time.Time // when the operation that holds the lock began
	stopped   bool
	blocked   bool
	queues    map[string]*queue
	clients   map[*Provider]bool
	spool     []*publication // of publishers that are blocked
	lastLease uint64
	deadlines heap // of leased and delayed messages

	waiting int      // receivers
	woken   []*queue // those that got something while receivers wait
	alarm   *time.Timer
	alarmAt time.Time // what alarm is set to, zero if it is not
}

// The brokers that have a name and are open.
var (
	namedMu sync.Mutex
	named   = make(map[string]*Broker)
)

// Find returns the broker of the DSN rabbitstub://name, or nil if no client
// has it open.
func Find(name string) *Broker {
	namedMu.Lock()
	defer namedMu.Unlock()
	return named[name]
}

func newBroker(name string) *Broker {
	return &Broker{
		name:    name,
		users:   1,
		now:     time.Now(),
		queues:  make(map[string]*queue),
		clients: make(map[*Provider]bool),
	}
}

// attach returns the broker of that name for one more user.
func attach(name string) *Broker {
	if name == "" {
		return newBroker("")
	}
	namedMu.Lock()
	defer namedMu.Unlock()
	if b := named[name]; b != nil {
		b.users++
		return b
	}
	b := newBroker(name)
	named[name] = b
	return b
}

// detach forgets the broker when the last user leaves.
func (b *Broker) detach() {
	namedMu.Lock()
	defer namedMu.Unlock()
	if b.users--; b.users == 0 && b.name != "" {
		delete(named, b.name)
	}
}

// lock carries out what is due. Every operation begins with it.
func (b *Broker) lock() {
	b.mu.Lock()
	if now := time.Now(); now.After(b.now) {
		b.now = now
	}
	for due, ok := b.nextDue(); ok && !due.After(b.now); due, ok = b.nextDue() {
		if m := b.deadlines.min(); m.holder != nil {
			b.giveBack(m)
		} else {
			b.deadlines.remove(m)
			b.route(m)
		}
	}
}

// unlock hands waiting receivers what the operation has made available.
func (b *Broker) unlock() {
	for _, q := range b.woken {
		q.serve()
	}
	b.woken = b.woken[:0]
	b.setAlarm()
	b.mu.Unlock()
}

// nextDue returns the earliest deadline, if there is one.
func (b *Broker) nextDue() (time.Time, bool) {
	if len(b.deadlines.items) == 0 {
		return time.Time{}, false
	}
	return b.deadlines.min().due, true
}

// setAlarm has the next deadline noticed as long as somebody waits. Otherwise
// the next operation is soon enough.
func (b *Broker) setAlarm() {
	due, ok := b.nextDue()
	if !ok || b.waiting == 0 {
		due = time.Time{}
	}
	if due.Equal(b.alarmAt) {
		return
	}
	b.stopAlarm()
	if b.alarmAt = due; !due.IsZero() {
		b.alarm = time.AfterFunc(due.Sub(b.now), b.ring)
	}
}

func (b *Broker) stopAlarm() {
	if b.alarm != nil {
		b.alarm.Stop()
	}
	b.alarm, b.alarmAt = nil, time.Time{}
}

func (b *Broker) ring() {
	b.lock()
	b.stopAlarm() // for the next deadline there is another one
	b.unlock()
}

// route puts a message at the end of its queue, or of the one for what is
// delayed for a queue that was dropped meanwhile.
func (b *Broker) route(m *message) {
	q := b.queues[m.queue]
	if q == nil {
		m.queue = delayLost
		q = b.queues[delayLost]
	}
	if q != nil {
		q.fresh.push(m)
		q.wake()
	}
}

// delay makes m wait for its queue, for whole steps.
func (b *Broker) delay(m *message, d time.Duration) {
	steps := (d + delayStep - 1) / delayStep
	m.due = b.now.Add(steps * delayStep)
	b.deadlines.push(m)
}

// giveBack ends the lease of m. The message comes before those that wait.
func (b *Broker) giveBack(m *message) {
	b.release(m)
	if q := b.queues[m.queue]; q != nil {
		q.returned.push(m)
		q.wake()
	}
}

// release ends the lease of m.
func (b *Broker) release(m *message) {
	if !m.settling {
		b.deadlines.remove(m)
	}
	delete(m.holder.leases, m.lease)
	delete(b.queues[m.queue].leased, m.lease)
	m.holder, m.settling = nil, false
}

// hold keeps the lease of m from ending while a copy of m is published.
func (b *Broker) hold(m *message) {
	b.deadlines.remove(m)
	m.settling = true
}

// letGo undoes hold.
func (b *Broker) letGo(m *message) {
	b.deadlines.push(m)
	m.settling = false
}
