package rabbitstub

import (
	"maps"
	"time"

	"github.com/portmq/mq/driver"
)

// message is in a queue, leased or delayed.
type message struct {
	*content
	queue string // where it is, or will be
	tally
	due  time.Time // when its lease or its delay ends
	turn uint64    // among those that are due together
	slot int       // in broker.deadlines

	lease    uint64
	leasedAt time.Time
	holder   *Provider // nil if it is not leased
	settling bool      // a copy of it is being published, and no timeout ends the lease
}

// content is what never changes, so that it may be read without the lock.
type content struct {
	id       string
	body     string
	headers  driver.Headers
	enqueued time.Time
}

// tally counts leases. What is given back without a copy notes nothing.
type tally struct {
	reads     int
	uncounted int // those that were no attempts
	answered  int // reads when the message was last nacked
	before    int // attempts that nobody had answered before an uncounted nack
}

// unanswered returns how many attempts nobody has answered, not counting the last
// lease.
func (t tally) unanswered() int { return t.before + t.reads - 1 - t.answered }

// view is a message at one moment.
type view struct {
	*content
	tally
	lease uint64
	due   time.Time
}

// copy returns a message of the same content, as it is published again.
func (m *message) copy() *message {
	return &message{content: m.content, queue: m.queue, tally: m.tally}
}

// with returns m with a header more, unless value is empty.
func (m *message) with(key, value string) *message {
	if value == "" {
		return m
	}
	c := *m.content
	if c.headers = maps.Clone(c.headers); c.headers == nil {
		c.headers = make(driver.Headers, 1)
	}
	c.headers[key] = value
	m.content = &c
	return m
}

// deliveries makes deliveries of views. It needs no lock.
func (p *Provider) deliveries(queue string, views []view) []driver.Delivery {
	if len(views) == 0 {
		return nil
	}
	ds := make([]driver.Delivery, len(views))
	for i, v := range views {
		ds[i] = driver.Delivery{
			Message:    driver.Message{Body: []byte(v.body), Headers: maps.Clone(v.headers)},
			ID:         v.id,
			Receipt:    p.receipt(queue, v.lease),
			ReadCount:  v.reads,
			Attempt:    v.reads - v.uncounted,
			Unanswered: v.unanswered(),
			EnqueuedAt: v.enqueued,
			VisibleAt:  v.due,
		}
	}
	return ds
}
