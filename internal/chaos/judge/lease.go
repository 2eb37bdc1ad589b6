package judge

import (
	"cmp"
	"slices"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// result is how a call ended.
type result int

const (
	unknown result = iota // no answer, or the process did not live to write it
	done
	stale
	failed
)

// call is a settlement or an extension of a lease.
type call struct {
	op         string
	begin, end int64 // end is 0 if the process did not live to write it
	length     int64 // of an extension, or the delay of a nack
	result     result
	tx         bool // in a transaction of the caller
}

// ends reports whether the call takes the message out of the queue if it is done.
func (c call) ends() bool { return c.op == ledger.Ack || c.op == ledger.Archive }

// lease is one delivery of a message, and what its receiver did with it.
type lease struct {
	id, worker, receipt       string
	queue                     string
	from, at                  int64 // of the receive
	length, until             int64
	read, attempt, unanswered int
	settles, extends          []call
	handled                   int64 // when the last handler of a Consumer ended, 0 if none did
	handling                  bool  // a handler of a Consumer has begun
}

// leases returns the leases of a history, those of one ID in the order in which they were
// given. Several receives may return in another order than that, which exact read counts show.
func leases(h History, f *Facts) []*lease {
	var all []*lease
	type name struct{ worker, receipt string }
	byName := make(map[name]*lease)
	for i := range h.Records {
		if r := &h.Records[i]; r.Kind == ledger.Received {
			l := &lease{
				id: r.ID, worker: r.Worker, receipt: r.Receipt, queue: r.Queue, from: r.From, at: r.At, length: int64(r.For),
				until: r.Until, read: r.Read, attempt: r.Attempt, unanswered: r.Unanswered,
			}
			byName[name{r.Worker, r.Receipt}] = l
			all = append(all, l)
		}
	}
	for i := range h.Records { // some may have been written before their receive was
		r := &h.Records[i]
		if l := byName[name{r.Worker, r.Receipt}]; l != nil {
			l.note(r)
		}
	}
	slices.SortStableFunc(all, func(a, b *lease) int {
		if byRead := cmp.Compare(a.read, b.read); f.ExactReads && a.id == b.id && byRead != 0 {
			return byRead
		}
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.at, b.at))
	})
	return all
}

// ends maps the ends of calls to their results.
var ends = map[ledger.Kind]result{
	ledger.Settled: done, ledger.SettleStale: stale, ledger.SettleFailed: failed, ledger.SettleUnknown: unknown,
	ledger.Extended: done, ledger.ExtendStale: stale, ledger.ExtendUnknown: unknown,
}

func (l *lease) note(r *ledger.Record) {
	switch r.Kind {
	case ledger.SettleBegin:
		l.settles = append(l.settles, call{op: r.Op, begin: r.At, length: int64(r.For), tx: r.Note == ledger.InTx})
	case ledger.HandleBegin:
		l.handling = true
	case ledger.HandleEnd:
		l.handled = max(l.handled, r.At)
	case ledger.ExtendBegin:
		l.extends = append(l.extends, call{begin: r.At, length: int64(r.For)})
	case ledger.Settled, ledger.SettleStale, ledger.SettleFailed, ledger.SettleUnknown:
		conclude(l.settles, r)
	case ledger.Extended, ledger.ExtendStale, ledger.ExtendUnknown:
		conclude(l.extends, r)
	}
}

// conclude notes the end of the call that began at r.From.
func conclude(calls []call, r *ledger.Record) {
	for i := range calls {
		if calls[i].begin == r.From {
			calls[i].end, calls[i].result = r.At, ends[r.Kind]
		}
	}
}

// settled returns the settlement that is certainly done, if there is one.
func (l *lease) settled() (call, bool) {
	i := slices.IndexFunc(l.settles, func(c call) bool { return c.result == done })
	if i < 0 {
		return call{}, false
	}
	return l.settles[i], true
}

// mayBe reports whether a settlement for which is holds is done or may be.
func (l *lease) mayBe(is func(call) bool) bool {
	return slices.ContainsFunc(l.settles, func(c call) bool { return is(c) && (c.result == done || c.result == unknown) })
}

// held returns until when the lease was certainly held: until its end as the receive and
// its extensions have set it, the first settlement, or a fault that may have ended it.
func (l *lease) held(f *Facts) int64 {
	end := l.from + l.length
	if l.until != 0 {
		end = l.until
	}
	for _, x := range l.extends {
		if x.result == done && x.begin < end {
			end = max(end, x.begin+x.length)
		}
	}
	for _, s := range l.settles {
		end = min(end, s.begin)
	}
	if !f.Portable {
		if at, ok := f.faulty(l.from, end); ok {
			end = min(end, at)
		}
	}
	return end
}

// sameMessage calls each for each pair of leases of one ID, the one given first first.
func sameMessage(all []*lease, each func(first, later *lease)) {
	for i, l := range all {
		for _, m := range all[i+1:] {
			if m.id != l.id {
				break
			}
			each(l, m)
		}
	}
}
