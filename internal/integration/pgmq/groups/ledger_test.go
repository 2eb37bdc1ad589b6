package groups

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// ledger notes what senders and consumers know for certain, and finds what
// cannot be true of strict groups. Each note is taken while it still holds: a
// message is there from after its commit until before its ack, and a lease is
// held from after the claim until before it is given up, or until it may have
// run out.
type ledger struct {
	mu      sync.Mutex
	groups  map[string]*group
	gone    map[int64]bool // acked before the commit was noted
	acking  map[int64]int  // acks under way, maybe before the commit was noted
	commits int

	late       int // ids that were committed after a higher one was leased
	acked      int
	doubles    []string
	inversions []string
}

type group struct {
	there  map[int64]int // the number of its commit, by id
	leases map[int64]*lease
	newest int64 // the highest id that was leased
	last   int   // the holder of the last lease
}

type lease struct {
	key    string
	id     int64
	holder int
	until  time.Time
	over   bool // when it was noted
}

func newLedger() *ledger {
	return &ledger{groups: make(map[string]*group), gone: make(map[int64]bool), acking: make(map[int64]int)}
}

func (l *ledger) group(key string) *group {
	g := l.groups[key]
	if g == nil {
		g = &group{there: make(map[int64]int), leases: make(map[int64]*lease)}
		l.groups[key] = g
	}
	return g
}

func (l *ledger) committedSoFar() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits
}

// committed notes a message whose sender knows that it was committed.
func (l *ledger) committed(key string, id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(key)
	if id < g.newest {
		l.late++
	}
	if l.gone[id] {
		delete(l.gone, id)
		return
	}
	l.commits++
	g.there[id] = l.commits
}

// begin returns the time, for a claim that begins now.
func (l *ledger) begin() claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	return claim{l.commits, time.Now()}
}

type claim struct {
	commits int
	at      time.Time
}

// took notes a lease, which holder got on top of others that it has if drain.
func (l *ledger) took(c claim, holder int, key string, id int64, visibility time.Duration, drain bool) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	g := l.group(key)
	noted := &lease{key: key, id: id, holder: holder, until: c.at.Add(visibility)}
	if noted.over = !now.Before(noted.until); noted.over { // on a busy machine an answer may take that long
		return noted
	}
	for _, other := range g.leases {
		if now.Before(other.until) && !(drain && other.holder == holder) {
			l.doubles = append(l.doubles, fmt.Sprintf("%q: %d leased to %d while %d was to %d", key, id, holder, other.id, other.holder))
		}
	}
	for older, commit := range g.there {
		held := g.leases[older]
		ours := held != nil && (now.Before(held.until) || drain && held.holder == holder)
		if older < id && commit <= c.commits && l.acking[older] == 0 && !ours {
			l.inversions = append(l.inversions, fmt.Sprintf("%q: %d leased before %d", key, id, older))
		}
	}
	g.leases[id], g.last, g.newest = noted, holder, max(g.newest, id)
	return noted
}

// extended notes that a lease was extended, and so has never ended.
func (l *ledger) extended(lease *lease, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(lease.key)
	if g.last != lease.holder || g.leases[lease.id] != lease {
		l.doubles = append(l.doubles, fmt.Sprintf("%q: leased to %d while %d was extended by %d", lease.key, g.last, lease.id, lease.holder))
	}
	lease.until = until
}

// release notes that a lease is about to be given up, maybe by an ack.
func (l *ledger) release(lease *lease, ack bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(lease.key)
	if g.leases[lease.id] == lease {
		delete(g.leases, lease.id)
	}
	if ack {
		l.acking[lease.id]++
	}
}

// settled notes what came of an ack.
func (l *ledger) settled(lease *lease, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acking[lease.id]--; !ok {
		return
	}
	l.acked++
	if g := l.group(lease.key); g.there[lease.id] != 0 {
		delete(g.there, lease.id)
	} else {
		l.gone[lease.id] = true
	}
}

func (l *ledger) faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(l.doubles[:len(l.doubles):len(l.doubles)], l.inversions...)
}

func (l *ledger) done() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

func TestLedger(t *testing.T) {
	const long = time.Hour
	ack := func(l *ledger, x *lease) { l.release(x, true); l.settled(x, true) }
	for name, test := range map[string]struct {
		run                      func(l *ledger)
		late, doubles, inversion int
	}{
		"in order": {run: func(l *ledger) {
			l.committed("a", 1)
			l.committed("a", 2)
			ack(l, l.took(l.begin(), 1, "a", 1, long, false))
			ack(l, l.took(l.begin(), 2, "a", 2, long, false))
		}},
		"drain": {run: func(l *ledger) {
			l.committed("a", 1)
			l.committed("a", 2)
			l.took(l.begin(), 1, "a", 1, long, false)
			l.took(l.begin(), 1, "a", 2, long, true)
		}},
		"late": {late: 1, run: func(l *ledger) {
			x := l.took(l.begin(), 1, "a", 2, long, false)
			l.committed("a", 2)
			l.committed("a", 1)
			ack(l, x)
			ack(l, l.took(l.begin(), 2, "a", 1, long, false))
		}},
		"late and not waited for": {late: 1, doubles: 1, run: func(l *ledger) {
			l.took(l.begin(), 1, "a", 2, long, false)
			l.committed("a", 1)
			l.took(l.begin(), 2, "a", 1, long, false)
		}},
		"drained by two": {doubles: 1, run: func(l *ledger) {
			l.took(l.begin(), 1, "a", 1, long, false)
			l.took(l.begin(), 2, "a", 2, long, true)
		}},
		"run out": {run: func(l *ledger) {
			l.committed("a", 1)
			x := l.took(l.begin(), 1, "a", 1, 0, false)
			y := l.took(l.begin(), 2, "a", 1, long, false)
			l.release(x, true)
			l.settled(x, false)
			ack(l, y)
		}},
		"an answer that came late": {run: func(l *ledger) {
			c := l.begin()
			l.took(l.begin(), 2, "a", 1, long, false)
			l.took(c, 1, "a", 1, 0, false)
		}},
		"extended and not waited for": {doubles: 1, run: func(l *ledger) {
			x := l.took(l.begin(), 1, "a", 2, time.Nanosecond, false)
			l.took(l.begin(), 2, "a", 1, long, false)
			l.extended(x, time.Now())
		}},
		"younger first": {inversion: 1, run: func(l *ledger) {
			l.committed("a", 1)
			l.took(l.begin(), 1, "a", 2, long, false)
		}},
		"younger first after a nack": {inversion: 1, run: func(l *ledger) {
			l.committed("a", 1)
			l.release(l.took(l.begin(), 1, "a", 1, long, false), false)
			l.took(l.begin(), 1, "a", 2, long, false)
		}},
		"acked, noted as committed, and gone": {run: func(l *ledger) {
			x := l.took(l.begin(), 1, "a", 1, long, false)
			l.release(x, true)
			l.committed("a", 1)
			l.took(l.begin(), 2, "a", 2, long, false)
			l.settled(x, true)
		}},
		"committed during the claim": {late: 0, run: func(l *ledger) {
			c := l.begin()
			l.committed("a", 1)
			l.took(c, 1, "a", 2, long, false)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			test.run(l)
			if l.late != test.late || len(l.doubles) != test.doubles || len(l.inversions) != test.inversion {
				t.Errorf("late %d, double leases %q, inversions %q", l.late, l.doubles, l.inversions)
			}
		})
	}
}
