package linear

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// Recorder is a client whose calls are noted.
type Recorder struct {
	*History
	name string
	to   Target
}

// Client returns a client.
func (h *History) Client(name string, to Target) *Recorder { return &Recorder{h, name, to} }

// answer returns what err says, and notes answers that no call may give.
func (r *Recorder) answer(c *call, err error) outcome {
	o, ok := outcomeOf(err)
	if !ok {
		r.mu.Lock()
		r.flaw("%s %s: %v", c.client, c.text, err)
		r.mu.Unlock()
	}
	return o
}

// Send sends messages, each of which is sent once in a history.
func (r *Recorder) Send(ctx context.Context, delay time.Duration, messages ...int) {
	msgs := make([]driver.Message, len(messages))
	r.mu.Lock()
	for i, m := range messages {
		msgs[i] = driver.Message{Body: body(m), Delay: delay}
		r.sent[m] = true
	}
	r.mu.Unlock()
	c := r.begin(r.name, "send %v%s", messages, after(delay))
	c.whole = r.caps.AtomicSend
	ids, err := r.to.Send(ctx, msgs)
	o := r.answer(c, err)
	r.add(c, short(err), o, func() {
		if o != done && o != unknown {
			return
		}
		for i, m := range messages {
			c.add(event{kind: sent, message: m, outcome: o, span: delay})
			if o == done {
				r.identify(m, ids[i], time.Time{})
			}
		}
	})
}

// Receive receives messages.
func (r *Recorder) Receive(ctx context.Context, limit int, visibility time.Duration) {
	c := r.begin(r.name, "receive %d for %v", limit, visibility)
	ds, err := r.to.Receive(ctx, limit, visibility)
	o := r.answer(c, err)
	c.whole, c.receives = o == done, true
	r.add(c, received(ds, err), o, func() {
		switch o {
		case done:
			r.deliveries(c, ds, limit, visibility)
		case unknown:
			for m := range maxMessages { // it may be later than a send that is yet to come
				c.add(event{kind: claimed, message: m, outcome: o, span: visibility})
			}
		}
	})
}

func (r *Recorder) deliveries(c *call, ds []driver.Delivery, limit int, visibility time.Duration) {
	if len(ds) > limit {
		r.flaw("%s: more than %d messages", c, limit)
	}
	var found [maxMessages]bool
	for _, d := range ds {
		m, ok := messageOf(d.Body)
		if !ok {
			r.flaw("%s: a body that was never sent: %q", c, d.Body)
			continue
		}
		found[m] = true
		r.identify(m, d.ID, d.EnqueuedAt)
		c.add(event{
			kind: claimed, message: m, lease: r.newLease(m, d.Receipt), span: visibility,
			reads: d.ReadCount, attempt: d.Attempt, lastError: d.Headers[driver.HeaderError],
		})
	}
	for m := range found {
		if len(ds) < limit && !found[m] && r.sent[m] {
			c.add(event{kind: missed, message: m})
		}
	}
}

// Settle settles receipts.
func (r *Recorder) Settle(ctx context.Context, s ...driver.Settlement) {
	r.mu.Lock()
	texts := make([]string, len(s))
	for i, one := range s {
		n := r.lease(one.Receipt)
		texts[i] = fmt.Sprintf("%v [%d] of lease %d%s", one.Op, r.owners[n], n, details(one))
	}
	r.mu.Unlock()
	c := r.begin(r.name, "%s", strings.Join(texts, ", "))
	errs := errorsOf(r.to.Settle(ctx, s), len(s))
	r.addItems(c, errs, func(i int, o outcome) event {
		n := r.lease(s[i].Receipt)
		return event{
			kind: settled, message: r.owners[n], lease: n, outcome: o, span: s[i].Delay, op: s[i].Op,
			reason: s[i].Reason, uncounted: s[i].Uncounted,
		}
	})
}

// Extend extends leases.
func (r *Recorder) Extend(ctx context.Context, d time.Duration, rs ...driver.Receipt) {
	r.mu.Lock()
	texts := make([]string, len(rs))
	for i, receipt := range rs {
		n := r.lease(receipt)
		texts[i] = fmt.Sprintf("[%d] of lease %d", r.owners[n], n)
	}
	r.mu.Unlock()
	c := r.begin(r.name, "extend %s for %v", strings.Join(texts, ", "), d)
	errs := errorsOf(r.to.Extend(ctx, rs, d), len(rs))
	r.addItems(c, errs, func(i int, o outcome) event {
		n := r.lease(rs[i])
		return event{kind: extended, message: r.owners[n], lease: n, outcome: o, span: d}
	})
}

// addItems adds a call whose items have taken effect or not, each for itself.
func (r *Recorder) addItems(c *call, errs []error, item func(int, outcome) event) {
	whole, texts, outcomes := done, make([]string, len(errs)), make([]outcome, len(errs))
	for i, err := range errs {
		texts[i], outcomes[i] = short(err), r.answer(c, err)
		if outcomes[i] == unknown {
			whole = unknown // its other items are late by no more than it
		}
	}
	r.add(c, strings.Join(texts, ", "), whole, func() {
		for i, o := range outcomes {
			if o != refused {
				c.add(item(i, o))
			}
		}
	})
}

// Browse looks at the queue, or at its archive.
func (r *Recorder) Browse(ctx context.Context, archive bool) error {
	what := "browse the queue"
	if archive {
		what = "browse the archive"
	}
	c := r.begin(r.name, "%s", what)
	rs, err := r.to.Browse(ctx, archive)
	if err != nil {
		return err
	}
	c.whole = true
	r.add(c, records(rs), done, func() { r.records(c, rs, archive) })
	return nil
}

func (r *Recorder) records(c *call, rs []driver.Record, archive bool) {
	var found [maxMessages]bool
	for _, rec := range rs {
		m, ok := messageOf(rec.Body)
		if !ok || found[m] {
			r.flaw("%s: a body that was never sent, or is there twice: %q", c, rec.Body)
			continue
		}
		found[m] = true
		r.identify(m, rec.ID, rec.EnqueuedAt)
		e := event{
			kind: seen, message: m, reads: rec.ReadCount, attempt: rec.Attempt, state: rec.State,
			lastError: rec.Headers[driver.HeaderError], reason: rec.Headers[driver.HeaderReason],
		}
		if archive {
			e.kind = filed
		}
		c.add(e)
	}
	absent := unseen
	if archive {
		absent = unfiled
	}
	for m := range found {
		if !found[m] && r.sent[m] {
			c.add(event{kind: absent, message: m})
		}
	}
}

func after(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf(" after %v", d)
}

func details(s driver.Settlement) string {
	text := after(s.Delay)
	if s.Uncounted {
		text += ", uncounted"
	}
	if s.Reason != "" {
		text += ", because " + s.Reason
	}
	return text
}

func short(err error) string {
	if err == nil {
		return "done"
	}
	o, ok := outcomeOf(err)
	if !ok || o == unknown || o == refused {
		return fmt.Sprintf("%v (%v)", o, err)
	}
	return o.String()
}

func received(ds []driver.Delivery, err error) string {
	if err != nil {
		return short(err)
	}
	texts := make([]string, len(ds))
	for i, d := range ds {
		m, _ := messageOf(d.Body)
		texts[i] = fmt.Sprintf("[%d] read %d, attempt %d, error %q", m, d.ReadCount, d.Attempt, d.Headers[driver.HeaderError])
	}
	return "(" + strings.Join(texts, "; ") + ")"
}

func records(rs []driver.Record) string {
	texts := make([]string, len(rs))
	for i, r := range rs {
		m, _ := messageOf(r.Body)
		texts[i] = fmt.Sprintf("[%d] %v, %d reads, attempt %d, error %q", m, r.State, r.ReadCount, r.Attempt, r.LastError())
		if r.Reason() != "" {
			texts[i] += ", because " + r.Reason()
		}
	}
	return "(" + strings.Join(texts, "; ") + ")"
}
