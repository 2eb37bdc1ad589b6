package linear

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/internal/integration/checks"
)

var (
	histories = flag.Int("histories", 0, "how many histories each test makes, if not its own number")
	seed      = flag.Uint64("seed", 0, "the seed of the first history, 0 for a random one")
)

// patience is how long the search for an order may take.
const patience = 20 * time.Second

// several is a test that makes many histories and checks them.
type several struct {
	testing.TB
	n     int
	queue bool // the queue as a whole is checked as well
	lossy bool // some outcomes must be unknown
	Tally
}

// each runs a history for each seed, until one is wrong.
func (s *several) each(run func(seed uint64) *History) {
	s.Helper()
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000_000)
	}
	n := s.n
	if testing.Short() {
		n = max(1, n/5)
	}
	if *histories > 0 {
		n = *histories
	}
	for i := range uint64(n) {
		h := run(first + i)
		r := h.Check(patience)
		if s.queue && r.Fault == "" {
			whole := h.CheckQueue(patience)
			r.Fault, r.Undecided = whole.Fault, r.Undecided || whole.Undecided
		}
		if s.Add(h, r); r.Fault != "" {
			s.Fatalf("seed %d: %s", first+i, r.Fault)
		}
	}
	s.Logf("seeds %d to %d: %v", first, first+uint64(n)-1, &s.Tally)
	if err := s.Err(); err != nil {
		s.Error(err)
	}
	if s.lossy && s.Unknowns == 0 {
		s.Error("no call has an unknown outcome, so that nothing is proven")
	}
}

// must runs a workload that reaches its end.
func must(t testing.TB, w Workload, caps driver.Caps, targets ...Target) *History {
	t.Helper()
	h, err := w.Run(t.Context(), caps, targets...)
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", w.Seed, err, h)
	}
	return h
}

// ensured returns a provider with a queue.
func ensured(t testing.TB, p driver.Provider, queue string) driver.Provider {
	t.Helper()
	checks.OK(t, p.EnsureQueue(t.Context(), queue, driver.QueueOptions{}))
	return p
}

// workloads are the two kinds that every backend is tested with.
var workloads = map[string]Workload{
	"leases last": {Clients: 6, Steps: 8, Messages: 4},
	"leases end":  {Clients: 6, Steps: 8, Messages: 4, Ends: true},
}

func TestMem(t *testing.T) {
	for name, w := range workloads {
		w.Apart = true
		t.Run(name, func(t *testing.T) {
			(&several{TB: t, n: 1000}).each(func(seed uint64) *History {
				w.Seed = seed
				p := ensured(t, mem.New(), "q")
				return must(t, w, p.Caps(), Provider(p, "q"))
			})
		})
		t.Run(name+", small, the whole queue", func(t *testing.T) {
			w := w
			w.Clients, w.Steps, w.Messages = 4, 6, 3
			(&several{TB: t, n: 1000, queue: true}).each(func(seed uint64) *History {
				w.Seed = seed
				p := ensured(t, mem.New(), "q")
				return must(t, w, p.Caps(), Provider(p, "q"))
			})
		})
		t.Run(name+", through mq", func(t *testing.T) {
			c := mq.New(mem.New(), checks.Quiet)
			defer c.Close()
			(&several{TB: t, n: 1000}).each(func(seed uint64) *History {
				w.Seed = seed
				q, err := c.EnsureQueue(t.Context(), fmt.Sprint("q", seed), mq.QueueOptions{})
				checks.OK(t, err)
				return must(t, w, c.Caps(), Queue(q))
			})
		})
	}
}
