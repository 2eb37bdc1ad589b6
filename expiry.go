package mq

import (
	"cmp"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// Expires sets how long after the send the message is worth handling.
func Expires(d time.Duration) SendOption { return func(m *Message) { m.Expires = d } }

// out returns m as a provider stores it: Expires is a header.
func (m *Message) out() driver.Message {
	o := driver.Message{Body: m.Body, Headers: m.Headers, Group: m.Group, Delay: m.Delay, HeadStart: m.HeadStart, DedupKey: m.DedupKey, DedupFor: m.DedupFor}
	if m.DedupKey != "" {
		o.DedupFor = cmp.Or(m.DedupFor, defaultDedupFor)
	}
	if ms := strconv.FormatInt(m.Expires.Milliseconds(), 10); m.Expires > 0 && o.Headers[HeaderExpires] != ms {
		o.Headers = maps.Clone(o.Headers)
		if o.Headers == nil {
			o.Headers = make(Headers, 1)
		}
		o.Headers[HeaderExpires] = ms
	}
	return o
}

// in is the reverse of out. A header that cannot be read is one that another program
// has set for itself.
func in(o driver.Message) Message {
	m := Message{Body: o.Body, Headers: o.Headers, Group: o.Group, Delay: o.Delay, HeadStart: o.HeadStart, DedupKey: o.DedupKey, DedupFor: o.DedupFor}
	if text, ok := o.Headers[HeaderExpires]; ok {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 && ms <= math.MaxInt64/int64(time.Millisecond) {
			m.Expires = time.Duration(ms) * time.Millisecond
		}
	}
	return m
}

// Expired reports whether the time is over within which the message was worth
// handling: Message.Expires after EnqueuedAt. The backend's clock decides, as far as the
// delivery tells it. A Consumer archives such messages; other receivers see for
// themselves.
func (d *Delivery) Expired() bool {
	r := d.lease.rare
	return d.Expires > 0 && r != nil && now() >= r.expires
}

// noteExpiry notes when a message expires whose lease began at begun. Nobody else has seen
// the lease yet.
func (d *Delivery) noteExpiry(begun instant, visibility time.Duration) {
	if d.Expires <= 0 {
		return
	}
	left := time.Until(d.EnqueuedAt.Add(d.Expires))
	if !d.VisibleAt.IsZero() {
		left = d.EnqueuedAt.Add(d.Expires).Sub(d.VisibleAt.Add(-visibility))
	}
	if d.lease.rare == nil {
		d.lease.rare = &rare{limit: never}
	}
	d.lease.rare.expires = begun.add(left)
}
