package judge

import (
	"cmp"
	"slices"

	"github.com/portmq/mq/internal/chaos/ledger"
)

const (
	nack      = ledger.Nack
	uncounted = ledger.Uncounted
)

// GroupOverlap checks that a group is worked on by one holder at a time.
func GroupOverlap(h History, f *Facts) []Breach {
	all := leases(h, f)
	slices.SortFunc(all, func(a, b *lease) int { return cmp.Compare(a.at, b.at) })
	var longest *lease // of those so far, the one that was held longest
	for _, l := range all {
		if longest != nil && longest.id != l.id && l.at < longest.held(f) {
			return breach("group overlap", h, "%s was leased to %s, %v before the end of the lease of %s to %s",
				l.id, l.worker, ledger.Since(l.at, longest.held(f)), longest.id, longest.worker)
		}
		if l.held(f) > l.at && (longest == nil || l.held(f) > longest.held(f)) {
			longest = l
		}
	}
	return nil
}

// member is a message of a group.
type member struct {
	key          string
	seq          int
	begin, ended int64 // of the send that was acknowledged
	first        int64 // return of the first receive of it, 0 if there was none
	last         int64 // begin of the last receive of it
}

// GroupOrder checks that the messages of a group are handed out in the order in which they were sent.
// Once a later one was delivered, an earlier one is done.
func GroupOrder(h History, _ *Facts) []Breach {
	all := members(h)
	var next *member // of those after it, the one that was delivered first
	for _, m := range slices.Backward(all) {
		if next != nil && m.last > next.first && m.ended < next.begin {
			return breach("group order", h, "%s was delivered, and %s, which was sent before it, %v later",
				next.key, m.key, ledger.Since(next.first, m.last))
		}
		if m.first != 0 && (next == nil || m.first < next.first) {
			next = m
		}
	}
	return nil
}

// members returns the messages of a group whose sends were acknowledged, in their order.
func members(h History) (sent []*member) {
	all := make(map[string]*member)
	for i := range h.Records {
		r := &h.Records[i]
		m := all[r.Key]
		if m == nil {
			m = &member{key: r.Key}
			all[r.Key] = m
		}
		switch r.Kind {
		case ledger.Sent:
			m.seq, m.begin, m.ended = r.Seq, r.From, r.At
		case ledger.Received:
			if m.first == 0 || r.At < m.first {
				m.first = r.At
			}
			m.last = max(m.last, r.From)
		}
	}
	for _, m := range all {
		if m.ended != 0 {
			sent = append(sent, m)
		}
	}
	slices.SortFunc(sent, func(a, b *member) int { return cmp.Compare(a.seq, b.seq) })
	return sent
}
