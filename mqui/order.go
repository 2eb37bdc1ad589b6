package mqui

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// row is a queue of the overview.
type row struct {
	Source, Queue string
	Stats         mq.Stats
	Err           string // why it could not be counted
	Sent, Done    float32
	Grown         int64 // archived within 15 minutes
	Stuck         bool  // messages wait, and nothing is done
	PausedBy      string
	PausedSince   time.Time
	Consumers     int // -1 if it is not known

	// Of the rows that are shown.
	Spark sparkline
	ID    string // of the element
	Many  bool   // there are several sources
}

// Paused reports whether the queue is paused.
func (r row) Paused() bool { return !r.PausedSince.IsZero() }

// rows returns the queues of a source as they were counted last, without their sparklines.
func (s *sampler) rows() (all []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, q := range s.queues {
		all = append(all, s.row(name, q))
	}
	return all
}

func (s *sampler) row(name string, q *sample) row {
	r := row{
		Source: s.source.Name, Queue: name, Stats: q.stats, Err: errorText(q.err), Grown: q.history.grown(), Consumers: -1,
	}
	r.Sent, r.Done = q.history.rate()
	if p, ok := s.paused[name]; ok {
		r.PausedBy, r.PausedSince = p.By, p.Since
	}
	r.Stuck = q.history.stuck() && !r.Paused()
	if s.consumers != nil {
		r.Consumers = s.consumers[name]
	}
	return r
}

// points returns a copy of a queue's history.
func (s *sampler) points(queue string) []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[queue]; q != nil {
		return slices.Clone(q.history.points)
	}
	return nil
}

// find returns the row of one queue.
func (s *sampler) find(queue string) (r row, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return row{Source: s.source.Name, Queue: queue, Stats: unknownStats(), Sent: unknown, Done: unknown, Consumers: -1}, false
	}
	return s.row(queue, q), true
}

// worstFirst sorts rows: first the queues that could not be counted, then those that are
// stuck, then those whose archive has grown, each the most first; then by lag, and by how
// much waits, and by name.
func worstFirst(rows []row) {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(b.rank(), a.rank()),
			cmp.Compare(b.severity(), a.severity()),
			cmp.Compare(b.Stats.Visible, a.Stats.Visible),
			strings.Compare(a.Queue, b.Queue),
			strings.Compare(a.Source, b.Source),
		)
	})
}

func (r row) rank() int {
	switch {
	case r.Err != "":
		return 3
	case r.Stuck:
		return 2
	case r.Grown > 0:
		return 1
	}
	return 0
}

// severity compares rows of one rank. Lags of less than ten seconds are alike, so that
// rows do not jump about.
func (r row) severity() int64 {
	if r.rank() == 1 {
		return r.Grown
	}
	age := r.Stats.Lag
	if r.Stuck {
		age = max(age, r.Stats.OldestAge)
	}
	return int64(math.Log2(max(1, age.Seconds()/10)))
}
