package main

import (
	"fmt"
	"time"
)

// From when on something is worth advice.
const (
	longLag    = time.Minute
	longHold   = 10 * time.Minute
	longSilent = 90 * time.Second // consumers report every minute
)

// advise says what the figures mean, and what can be done.
func (d *description) advise() (texts []string) {
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	d.adviseWaiting(say)
	d.adviseConsumers(say)
	d.adviseHeld(say)
	d.adviseDead(say)
	return texts
}

// adviseWaiting says why messages wait.
func (d *description) adviseWaiting(say func(string, ...any)) {
	s := d.stats
	late := s.Visible > 0 && s.Lag >= longLag
	p, paused := d.paused[d.queue]
	switch {
	case paused:
		say("paused for %s by %s: %s waiting (mq resume %s)", age(time.Since(p.Since)), p.By, plural(s.Visible, "message"), d.queue)
	case late && d.reporting && len(d.consumers) == 0:
		say("no consumer has reported on this queue: %s waiting, the first one for %s", plural(s.Visible, "message"), age(s.Lag))
	case late && d.rates.done != nil && *d.rates.done == 0:
		say("nothing was done in %v: %s leased, %d waiting, the first one for %s", d.sampled, plural(s.Leased, "message"), s.Visible, age(s.Lag))
	case late && d.rates.done != nil && *d.rates.sent > *d.rates.done:
		say("messages come faster than they are done: %s sent and %s done per second, and the first message has waited for %s (more consumers, or a higher concurrency)",
			perSecond(d.rates.sent), perSecond(d.rates.done), age(s.Lag))
	case s.Visible == 0 && s.Blocked > 0:
		say("%s behind an earlier one of their group (mq peek %s -state leased, or delayed)", plural(s.Blocked, "message"), d.queue)
	}
}

func (d *description) adviseConsumers(say func(string, ...any)) {
	for _, r := range d.consumers {
		if silent := time.Since(r.At); silent >= longSilent {
			say("%s has not reported for %s: it may have crashed, and its leases end by themselves", r.Name, age(silent))
		}
		if _, paused := d.paused[d.queue]; r.Paused && !paused {
			say("%s is paused by its own program", r.Name)
		}
	}
}

func (d *description) adviseHeld(say func(string, ...any)) {
	long := 0
	for _, h := range d.held {
		if h.since >= longHold {
			long++
		}
	}
	if long == 0 {
		return
	}
	h, more := d.held[0], ""
	if long > 1 {
		more = fmt.Sprintf(", and %d more for over %s", long-1, age(longHold))
	}
	say("%s has held message %s for %s%s (mq rescue %s %s)", h.by, h.id, age(h.since), more, d.queue, h.id)
}

func (d *description) adviseDead(say func(string, ...any)) {
	n := d.stats.Archived
	if n <= 0 {
		return
	}
	if len(d.reasons) == 0 {
		say("%s (mq archive ls %s)", plural(n, "dead letter"), d.queue)
		return
	}
	first, last := d.reasons[0].First, d.reasons[0].Last
	for _, r := range d.reasons {
		if r.First.Before(first) {
			first = r.First
		}
		if r.Last.After(last) {
			last = r.Last
		}
	}
	about := ""
	if d.looked < n {
		about = fmt.Sprintf(", of which the newest %d came", d.looked)
	}
	say("%s%s since %s, the last %s ago, with %s (mq archive stats %s)", plural(n, "dead letter"), about, stamp(first),
		age(time.Since(last)), plural(int64(len(d.reasons)), "reason"), d.queue)
}
