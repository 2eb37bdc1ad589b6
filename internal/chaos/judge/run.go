package judge

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// Figures are what a run has come to.
type Figures struct {
	Events                                    int
	Sent, Duplicates, SendsFailed, SendsLost  int // the last are those without an answer
	Received, Again                           int
	Acked, Nacked, Archived, Stale, Undecided int
	Lost                                      int // leases that a Consumer has called lost
	Left, InArchive                           int
	Starts, Ends                              int // of workers
}

// Recovery is how long it took after a fault until work went on.
type Recovery struct {
	Fault         string
	Begin, Healed int64
	// FirstSend and FirstDelivery are the times until any worker had an acknowledged
	// send or a delivery, AllSend and AllDelivery until each that had one before had one
	// again. Negative: never.
	FirstSend, FirstDelivery, AllSend, AllDelivery time.Duration
}

// Verdict is what a run is worth.
type Verdict struct {
	Figures
	Recoveries []Recovery
	Breaches   []Breach       // the first of each rule
	Count      map[string]int // of breaches, by rule
	Leaks      []string
}

// shown is how many breaches of one rule are kept.
const shown = 5

// partCount keeps a part of a million messages below 100 MB.
const partCount = 32

// lateClaim is how long after the death of its receiver a backend may still lease
// messages to it.
const lateClaim = int64(time.Minute)

// Run judges the ledger in dir; work is a directory for its own files. Of f it is given
// what the provider promises, and it adds the rest.
func Run(dir, work string, f *Facts) (*Verdict, error) {
	files, err := ledger.Files(dir)
	if err != nil {
		return nil, err
	}
	p, err := newParts(work, partCount)
	if err != nil {
		return nil, err
	}
	s := &scan{facts: f, verdict: &Verdict{Count: make(map[string]int)}, after: make(map[string][]progress), begun: make(map[string]int)}
	slices.SortStableFunc(files, func(a, b string) int { // the faults first
		return cmp.Compare(b2i(!strings.Contains(a, Controller)), b2i(!strings.Contains(b, Controller)))
	})
	for _, path := range files {
		if err = s.file(path, p); err != nil {
			break
		}
	}
	if err = cmp.Or(err, p.close()); err != nil {
		return nil, err
	}
	s.recover()
	err = p.judge(f, s.verdict.add)
	slices.SortFunc(s.verdict.Breaches, func(a, b Breach) int { return cmp.Compare(a.String(), b.String()) })
	return s.verdict, err
}

// Controller is the name under which the controller writes.
const Controller = "controller"

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (v *Verdict) add(b Breach) {
	if v.Count[b.Rule]++; v.Count[b.Rule] <= shown {
		v.Breaches = append(v.Breaches, b)
	}
}

// scan collects facts and figures, file by file.
type scan struct {
	facts   *Facts
	verdict *Verdict
	faults  []Recovery
	begun   map[string]int        // faults by their numbers
	after   map[string][]progress // by worker, without its number, and fault
}

// progress is the first success of a worker after a fault, and whether it had one before.
type progress struct {
	sent, received   int64
	hadSent, hadRead bool
}

func (s *scan) file(path string, p *parts) error {
	open := make(map[string]Span) // receives by their call
	last := int64(0)
	err := ledger.Read(path, func(r *ledger.Record) error {
		last = r.At
		s.count(r)
		s.fact(r, open)
		s.progress(r)
		return p.add(r)
	})
	for _, span := range open {
		span.To = last + lateClaim
		s.facts.Doubts = append(s.facts.Doubts, span)
	}
	return err
}

// fact notes what the rules know of the whole run.
func (s *scan) fact(r *ledger.Record, open map[string]Span) {
	switch r.Kind {
	case ledger.ReceiveBegin:
		open[r.Receipt] = Span{Name: r.Worker, Queue: r.Queue, From: r.At}
	case ledger.ReceiveEnd:
		span := open[r.Receipt]
		delete(open, r.Receipt)
		if span.To = r.At; r.Op == ledger.Doubt {
			s.facts.Doubts = append(s.facts.Doubts, span)
		}
	case ledger.FaultBegin:
		s.begun[r.Receipt] = len(s.faults)
		s.faults = append(s.faults, Recovery{Fault: r.Key, Begin: r.At})
	case ledger.Healed:
		f := &s.faults[s.begun[r.Receipt]]
		f.Healed = r.At
		s.facts.Faults = append(s.facts.Faults, Span{Name: r.Key, From: f.Begin, To: r.At + int64(r.For)})
	case ledger.DropBegin:
		s.facts.Drops = append(s.facts.Drops, Span{Queue: r.Queue, From: r.At, To: r.At})
	case ledger.Dropped:
		s.facts.Drops[len(s.facts.Drops)-1].To = r.At
	case ledger.Stuck:
		s.verdict.add(Breach{"stuck", r.Key, r.Note})
	case ledger.Leak:
		s.verdict.Leaks = append(s.verdict.Leaks, r.Worker+": "+r.Note)
	}
}

// progress notes the first successes after each fault.
func (s *scan) progress(r *ledger.Record) {
	if r.Kind != ledger.Sent && r.Kind != ledger.Received {
		return
	}
	name, _, _ := strings.Cut(r.Worker, ".")
	all := s.after[name]
	if all == nil {
		all = make([]progress, len(s.faults))
		s.after[name] = all
	}
	for i := range all {
		first, had := &all[i].sent, &all[i].hadSent
		if r.Kind == ledger.Received {
			first, had = &all[i].received, &all[i].hadRead
		}
		switch healed := s.faults[i].Healed; {
		case r.At < s.faults[i].Begin:
			*had = true
		case healed != 0 && r.At >= healed && (*first == 0 || r.At < *first):
			*first = r.At
		}
	}
}

// recover computes the times of recovery.
func (s *scan) recover() {
	for i := range s.faults {
		f := &s.faults[i]
		var sent, received []time.Duration
		for _, all := range s.after {
			p := all[i]
			if p.hadSent || p.sent != 0 {
				sent = append(sent, until(f.Healed, p.sent))
			}
			if p.hadRead || p.received != 0 {
				received = append(received, until(f.Healed, p.received))
			}
		}
		f.FirstSend, f.AllSend = extremes(sent)
		f.FirstDelivery, f.AllDelivery = extremes(received)
	}
	s.verdict.Recoveries = s.faults
}

func until(healed, first int64) time.Duration {
	if first == 0 {
		return -1
	}
	return ledger.Since(healed, first)
}

// extremes returns the shortest and the longest of some times, of which -1 is never.
func extremes(all []time.Duration) (shortest, longest time.Duration) {
	shortest, longest = -1, -1
	for i, d := range all {
		if d >= 0 && (shortest < 0 || d < shortest) {
			shortest = d
		}
		switch {
		case i == 0:
			longest = d
		case longest >= 0 && (d < 0 || d > longest):
			longest = d
		}
	}
	return shortest, longest
}

func (s *scan) count(r *ledger.Record) {
	n := &s.verdict.Figures
	n.Events++
	switch r.Kind {
	case ledger.Sent:
		if n.Sent++; r.Op == ledger.Duplicate {
			n.Duplicates++
		}
	case ledger.SendFailed:
		n.SendsFailed++
	case ledger.SendUnknown:
		n.SendsLost++
	case ledger.Received:
		if n.Received++; r.Read > 1 {
			n.Again++
		}
	case ledger.Settled:
		n.settled(r.Op)
	case ledger.SettleStale:
		n.Stale++
	case ledger.SettleUnknown:
		n.Undecided++
	case ledger.LeaseLost:
		n.Lost++
	case ledger.Queued:
		n.Left++
	case ledger.Archived:
		n.InArchive++
	case ledger.Start:
		n.Starts++
	case ledger.End:
		n.Ends++
	}
}

func (n *Figures) settled(op string) {
	switch op {
	case ledger.Ack:
		n.Acked++
	case ledger.Archive:
		n.Archived++
	default:
		n.Nacked++
	}
}
