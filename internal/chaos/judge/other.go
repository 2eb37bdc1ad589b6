package judge

import (
	"slices"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// UniqueIDs checks that two messages of a queue never have the same ID, unless the queue was dropped
// in between.
func UniqueIDs(h History, f *Facts) []Breach {
	all, begin := make(map[string]bool), h.Records[0].At
	for i := range h.Records {
		all[h.Records[i].Key] = true
	}
	if len(all) > 1 && !f.dropped(h.Records[0].Queue, begin) {
		return breach("same ID", h, "it is the ID of %q", keys(all))
	}
	return nil
}

// EveryOccurrence checks that a schedule is fired at each of its times, from the first to the last.
// That it is fired once is StoredOnce.
func EveryOccurrence(h History, f *Facts) []Breach {
	var due []int
	for i := range h.Records {
		if r := &h.Records[i]; r.Kind == ledger.Sent || r.Kind == ledger.SendUnknown || r.Kind == ledger.Received {
			due = append(due, r.Seq)
		}
	}
	slices.Sort(due)
	due = slices.Compact(due)
	for i := 1; i < len(due); i++ {
		if due[i]-due[i-1] != f.Every {
			return breach("missed occurrence", h, "none between %d and %d", due[i-1], due[i])
		}
	}
	return nil
}
