package judge

import (
	"slices"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// stored is what is known of a message that has an ID.
type stored struct {
	acknowledged     bool
	sent             int64 // begin of the send that was acknowledged
	received         bool
	queued, archived int
}

// byID returns what is known of the messages of one key.
func byID(h History) map[string]*stored {
	all := make(map[string]*stored)
	for i := range h.Records {
		r := &h.Records[i]
		if r.ID == "" {
			continue
		}
		s := all[r.ID]
		if s == nil {
			s = new(stored)
			all[r.ID] = s
		}
		switch r.Kind {
		case ledger.Sent:
			s.acknowledged, s.sent = true, max(s.sent, r.From)
		case ledger.Received:
			s.received = true
		case ledger.Queued:
			s.queued++
		case ledger.Archived:
			s.archived++
		}
	}
	return all
}

// Lost checks that an acknowledged send was delivered, or is still there or archived. A message that
// nobody has taken out of the queue is still there, and one that was archived is in the
// archive. When the workers had time to empty the queue, nothing is left in it.
func Lost(h History, f *Facts) (found []Breach) {
	queue := h.Records[0].Queue
	all := leases(h, f)
	for id, s := range byID(h) {
		if s.queued > 0 {
			found = append(found, breach("stalled", h, "%s is in the queue, and no worker takes it", id)...)
		}
		if !s.acknowledged || f.dropped(queue, s.sent) {
			continue
		}
		there := s.queued+s.archived > 0
		ends, archived := takenOut(all, id)
		switch {
		case !s.received && !there:
			found = append(found, breach("lost", h, "%s was sent, never delivered, and is not there", id)...)
		case !there && !ends:
			found = append(found, breach("lost", h, "%s was delivered, never settled, and is not there", id)...)
		case archived && s.archived == 0:
			found = append(found, breach("lost", h, "%s was archived, and is not in the archive", id)...)
		case s.queued > 0 && s.archived > 0 && f.AtomicArchive, s.archived > 1 && f.AtomicArchive:
			found = append(found, breach("archived twice", h, "%s is in %d places", id, s.queued+s.archived)...)
		}
	}
	return found
}

// takenOut reports whether a message was, or may have been, taken out of the queue, and
// whether it was certainly archived.
func takenOut(all []*lease, id string) (ends, archived bool) {
	for _, l := range all {
		if l.id != id {
			continue
		}
		ends = ends || l.mayBe(call.ends)
		if c, ok := l.settled(); ok && c.op == ledger.Archive {
			archived = true
		}
	}
	return ends, archived
}

// StoredOnce checks that what was sent once is stored once. A send that certainly failed has stored
// nothing, and nothing is there that nobody has sent. Of several sends with one DedupKey
// one has stored the message, and all know its ID.
func StoredOnce(h History, f *Facts) []Breach {
	ids, firsts, begun, refused := make(map[string]bool), 0, 0, 0
	for i := range h.Records {
		r := &h.Records[i]
		switch r.Kind {
		case ledger.SendBegin:
			begun++
		case ledger.SendFailed:
			refused++
		case ledger.Sent:
			if r.Op != ledger.Duplicate {
				firsts++
			}
		}
		if r.ID != "" {
			ids[r.ID] = true
		}
	}
	switch {
	case len(ids) > 1 && !f.dropped(h.Records[0].Queue, h.Records[0].At):
		return breach("stored twice", h, "%d messages: %q", len(ids), keys(ids))
	case firsts > 1 && !f.dropped(h.Records[0].Queue, h.Records[0].At):
		return breach("stored twice", h, "%d sends were the first", firsts)
	case len(ids) > 0 && begun == 0:
		return breach("phantom", h, "nobody has sent %q", keys(ids))
	case len(ids) > 0 && refused == begun:
		return breach("refused and stored", h, "each of %d sends certainly failed, and %q is there", refused, keys(ids))
	}
	return nil
}

func keys(set map[string]bool) (all []string) {
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Intact checks that a message is delivered as it was sent.
func Intact(h History, _ *Facts) []Breach {
	for i := range h.Records {
		if r := &h.Records[i]; r.Kind == ledger.Corrupt {
			return breach("corrupt", h, "%s got %s", r.Worker, r.Note)
		}
	}
	return nil
}

// SettledOnce checks that a settlement takes effect once, and only while the lease is its own. What
// was taken out of the queue does not come back, and nobody acts on a message that was
// leased to somebody else by then.
func SettledOnce(h History, f *Facts) (found []Breach) {
	all := leases(h, f)
	halves := f.Copies && half(all)
	for _, l := range all {
		n := 0
		for _, s := range l.settles {
			if s.result == done {
				n++
			}
		}
		if n > 1 {
			found = append(found, breach("settled twice", h, "%s has settled one lease of %s %d times", l.worker, l.id, n)...)
		}
	}
	sameMessage(all, func(first, later *lease) {
		for _, s := range append(slices.Clone(first.settles), first.extends...) {
			if s.result == done && s.begin > later.at && !halves {
				found = append(found, breach("not theirs", h, "%s has done %q to %s, which %s had leased by then", first.worker, s.op, first.id, later.worker)...)
			}
		}
		c, ok := first.settled()
		if ok && c.ends() && !halves && first.comesBack(c, later, f) {
			found = append(found, breach("came back", h, "%s was delivered to %s after %s had done %q to it", first.id, later.worker, first.worker, c.op)...)
		}
	})
	return found
}

// HandledFirst checks that a Consumer acks a message when its handler has returned, not
// before. What a handler acks itself, in a transaction, is its own affair.
func HandledFirst(h History, f *Facts) (found []Breach) {
	for _, l := range leases(h, f) {
		for _, s := range l.settles {
			if l.handling && s.op == ledger.Ack && !s.tx && (l.handled == 0 || s.begin < l.handled) {
				found = append(found, breach("acked early", h, "%s has acked %s before its handler returned", l.worker, l.id)...)
			}
		}
	}
	return found
}

// comesBack reports whether a lease was certainly given after an earlier one had taken
// the message out of the queue. Where reads are counted exactly, a later read is enough:
// a settlement does not take effect once the message is leased again.
func (l *lease) comesBack(c call, later *lease, f *Facts) bool {
	if !f.ExactReads && later.from <= c.end || later.at < c.begin {
		return false
	}
	return !f.undone(c.begin, later.at)
}

// half reports whether a nack or an archive may have been half done, which has left both
// the message and a copy of it.
func half(all []*lease) bool {
	return slices.ContainsFunc(all, func(l *lease) bool {
		return slices.ContainsFunc(l.settles, func(c call) bool { return c.op != ledger.Ack && c.result != done })
	})
}

// LeasedOnce checks that a message is delivered again only after its lease has ended: by a
// nack, or by its timeout.
func LeasedOnce(h History, f *Facts) (found []Breach) {
	all := leases(h, f)
	if f.Copies && half(all) {
		return nil
	}
	sameMessage(all, func(first, later *lease) {
		if end := first.held(f); later.at < end {
			found = append(found, breach("leased twice", h, "%s was leased to %s and %v before the end of the lease to %s",
				first.id, later.worker, ledger.Since(later.at, end), first.worker)...)
		}
	})
	return found
}

// tolerance is the difference that two clocks of one machine may have.
const tolerance = int64(20e6)

// LeaseLength checks that a lease is as long as it was asked for, by the backend's own word.
func LeaseLength(h History, f *Facts) (found []Breach) {
	for _, l := range leases(h, f) {
		if l.until == 0 {
			continue
		}
		if l.until < l.from+l.length-tolerance || l.until > l.at+l.length+tolerance {
			found = append(found, breach("lease length", h, "%s was leased until %v after the receive began and %v after it ended, want %v",
				l.id, ledger.Since(l.from, l.until), ledger.Since(l.at, l.until), ledger.Since(0, l.length))...)
		}
	}
	return found
}
