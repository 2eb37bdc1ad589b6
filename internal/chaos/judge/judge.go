// Package judge proves from the ledger of a chaos run that the promises of package mq
// were kept. Each rule is a function of the history of one subject, which is a message, a
// group, an ID or a schedule, and of a few facts about the whole run. So a rule is tested
// by handwritten histories, and a run of any length is judged part by part.
//
// Events have the time of the process that wrote them: a call took effect somewhere
// between its two events. The rules only use what is certain. A lease, for example, is
// certainly held from the return of the receive to the start of the first settlement.
package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// Breach is a promise that was not kept.
type Breach struct {
	Rule    string
	Subject string
	Text    string
}

func (b Breach) String() string { return b.Rule + ": " + b.Subject + ": " + b.Text }

// History is all that happened to a subject, sorted by time.
type History struct {
	Subject string
	Records []ledger.Record
}

// Span is a time in which something happened.
type Span struct {
	Name, Queue string
	From, To    int64
}

// overlaps reports whether s and the time between from and to have a moment in common.
func (s Span) overlaps(from, to int64) bool { return s.From <= to && from <= s.To }

// Facts are what the rules know of the whole run.
type Facts struct {
	// ExactReads: Caps.ExactReadCount. Attempts: Caps.Attempts. AtomicArchive:
	// Caps.AtomicArchive. Portable: Caps.PortableReceipts, without which the loss of a
	// connection ends its leases.
	ExactReads, Attempts, AtomicArchive, Portable bool
	// Copies: nacks and archives are copies and acks, of which only one may happen.
	Copies bool
	// UndoneBy is in the names of the faults that may undo acks which were acknowledged, ""
	// if none may.
	UndoneBy string
	// Doubts are the receives that may have leased messages without a word: those of
	// processes that were killed, and those whose answer was lost.
	Doubts []Span
	// Faults are the faults, from their start to the end of their effects.
	Faults []Span
	// Every is the time between two occurrences of a schedule, in seconds.
	Every int
	// Drops are the times at which a queue was dropped.
	Drops []Span
}

// doubts counts the receives of a queue in doubt that overlap a time.
func (f *Facts) doubts(queue string, from, to int64) (n int) {
	for _, s := range f.Doubts {
		if s.Queue == queue && s.overlaps(from, to) {
			n++
		}
	}
	return n
}

// faulty returns the start of the first fault that overlaps a time.
func (f *Facts) faulty(from, to int64) (at int64, ok bool) {
	for _, s := range f.Faults {
		if s.overlaps(from, to) && (!ok || s.From < at) {
			at, ok = s.From, true
		}
	}
	return at, ok
}

// undone reports whether a fault at some time may have undone acks.
func (f *Facts) undone(from, to int64) bool {
	return f.UndoneBy != "" && slices.ContainsFunc(f.Faults, func(s Span) bool {
		return s.overlaps(from, to) && strings.Contains(s.Name, f.UndoneBy)
	})
}

// dropped reports whether a queue was dropped after a time.
func (f *Facts) dropped(queue string, since int64) bool {
	return slices.ContainsFunc(f.Drops, func(s Span) bool { return s.Queue == queue && s.To >= since })
}

// rule judges the history of a subject.
type rule func(h History, f *Facts) []Breach

// The rules, by the kind of their subject.
var (
	messageRules = []rule{Lost, StoredOnce, Intact, SettledOnce, LeasedOnce, LeaseLength, HandledFirst, Counts}
	groupRules   = []rule{GroupOverlap, GroupOrder}
	idRules      = []rule{UniqueIDs}
	cronRules    = []rule{EveryOccurrence}
)

func breach(rule string, h History, format string, args ...any) []Breach {
	return []Breach{{rule, h.Subject, fmt.Sprintf(format, args...)}}
}

func judge(rules []rule, h History, f *Facts) (found []Breach) {
	for _, r := range rules {
		found = append(found, r(h, f)...)
	}
	return found
}
