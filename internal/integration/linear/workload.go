package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// Workload says what the clients of a history do. What they do follows from the seed,
// when they do it does not.
type Workload struct {
	Seed     uint64
	Clients  int
	Steps    int // of each client
	Messages int // maxMessages at most
	// Ends says that leases and delays are short enough to end within the history.
	// Otherwise none does.
	Ends bool
	// Cut is how likely a call's context is to end while the call runs, and Within how
	// soon.
	Cut    float64
	Within time.Duration
	Leeway Leeway
	// Apart makes clients wait inside of a call, so that calls overlap where a backend
	// answers faster than goroutines are started.
	Apart bool
}

// Leeway is what a backend may do that a queue without concurrency does not.
type Leeway struct {
	// Skips: a receive may pass over a visible message while another call has it locked, even
	// one that fails, or a receive that then does not take it, as with SKIP LOCKED.
	Skips bool
}

// long does not end within a history, on a machine of any speed.
const long = time.Hour

// Run runs the clients on targets, which they share in turn, and then looks at the queue
// and its archive by the last target. It returns the history.
func (w Workload) Run(ctx context.Context, caps driver.Caps, targets ...Target) (*History, error) {
	h := NewHistory(caps)
	h.leeway = w.Leeway
	todo := &todo{left: w.Messages}
	start := make(chan struct{})
	var clients sync.WaitGroup
	for i := range w.Clients {
		to := targets[i%len(targets)]
		if w.Apart {
			to = apart{to, rand.New(rand.NewPCG(w.Seed, uint64(1000+i)))}
		}
		c := &worker{
			Recorder: h.Client(fmt.Sprintf("client %d", i), to), w: w, todo: todo,
			rand: rand.New(rand.NewPCG(w.Seed, uint64(i))),
		}
		clients.Go(func() {
			<-start
			for n := range w.Steps {
				c.step(ctx, n)
			}
		})
	}
	close(start)
	clients.Wait()
	return h, h.finish(ctx, targets[len(targets)-1])
}

// finish looks at what is left. A way that was cut has to come back.
func (h *History) finish(ctx context.Context, to Target) (err error) {
	c := h.Client("the end", to)
	for _, archive := range []bool{false, true} {
		for range 50 {
			if err = c.Browse(ctx, archive); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("the last look: %w", err)
		}
	}
	if h.unknowns > 0 {
		return nil
	}
	return h.count(ctx, to)
}

// count compares the figures with what the last looks have shown. Nothing is under way.
func (h *History) count(ctx context.Context, to Target) error {
	s, err := to.Stats(ctx)
	if err != nil {
		return err
	}
	got := [3]int64{s.Total, s.Archived, s.TotalSent}
	var want [3]int64
	for _, c := range h.calls {
		for _, e := range c.events {
			last := c.n > len(h.calls)-2
			switch {
			case last && e.kind == seen:
				want[0]++
			case last && e.kind == filed:
				want[1]++
			case e.kind == sent:
				want[2]++
			}
		}
	}
	if got != want {
		h.flaw("the figures are %d queued, %d archived, %d sent, want %d", got[0], got[1], got[2], want)
	}
	return nil
}

// todo is the messages that are not sent yet.
type todo struct {
	mu   sync.Mutex
	next int
	left int
}

func (t *todo) take(n int) (messages []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; n > 0 && t.left > 0; n-- {
		messages = append(messages, t.next)
		t.next++
		t.left--
	}
	return messages
}

// worker is one client. rand is its own.
type worker struct {
	*Recorder
	w    Workload
	todo *todo
	rand *rand.Rand
}

func (c *worker) step(ctx context.Context, n int) {
	if c.rand.Float64() < c.w.Cut {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.rand.Int64N(int64(c.w.Within))))
		defer cancel()
	}
	switch p := c.rand.IntN(100); {
	case p < 20:
		if messages := c.todo.take(1 + c.rand.IntN(2)); len(messages) > 0 {
			c.Send(ctx, c.pick(0, 0, 0, 0, 5*time.Millisecond), messages...)
			return
		}
		fallthrough
	case p < 45:
		c.Receive(ctx, 1+c.rand.IntN(3), c.pick(long, 2*time.Millisecond, 10*time.Millisecond))
	case p < 85:
		c.settle(ctx, n)
	case p < 94:
		if r, ok := c.Receipt(c.rand.IntN); ok {
			c.Extend(ctx, c.pick(long, 2*time.Millisecond, 10*time.Millisecond), r)
		}
	default:
		_ = c.Browse(ctx, c.rand.IntN(4) == 0)
	}
}

// pick returns one of ds, or the first where none of them may end.
func (c *worker) pick(ds ...time.Duration) time.Duration {
	d := ds[c.rand.IntN(len(ds))]
	if !c.w.Ends {
		return ds[0]
	}
	return d
}

// settle settles one receipt, or several.
func (c *worker) settle(ctx context.Context, n int) {
	var s []driver.Settlement
	for range 1 + c.rand.IntN(5)/3 {
		if r, ok := c.Receipt(c.rand.IntN); ok {
			s = append(s, c.settlement(r, n))
		}
	}
	if len(s) > 0 {
		c.Recorder.Settle(ctx, s...)
	}
}

func (c *worker) settlement(r driver.Receipt, n int) driver.Settlement {
	s := driver.Settlement{Receipt: r, Op: driver.OpNack}
	reason := fmt.Sprintf("%s, step %d", c.name, n)
	switch p := c.rand.IntN(100); {
	case p < 20:
		s.Op = driver.OpAck
	case p < 28:
		s.Op, s.Reason = driver.OpArchive, reason
	case p < 60:
		s.Reason = reason
		fallthrough
	default:
		s.Uncounted = c.caps.Attempts && p%3 == 0
		s.Delay = c.pick(0, 0, 5*time.Millisecond)
	}
	return s
}

// apart waits a little before and after each call. rand is its client's.
type apart struct {
	to   Target
	rand *rand.Rand
}

func (a apart) wait() {
	for range a.rand.IntN(4) {
		runtime.Gosched()
	}
	if a.rand.IntN(4) == 0 {
		time.Sleep(time.Duration(a.rand.IntN(int(200 * time.Microsecond))))
	}
}

func (a apart) Send(ctx context.Context, msgs []driver.Message) ([]string, error) {
	a.wait()
	defer a.wait()
	return a.to.Send(ctx, msgs)
}

func (a apart) Receive(ctx context.Context, limit int, visibility time.Duration) ([]driver.Delivery, error) {
	a.wait()
	defer a.wait()
	return a.to.Receive(ctx, limit, visibility)
}

func (a apart) Settle(ctx context.Context, s []driver.Settlement) error {
	a.wait()
	defer a.wait()
	return a.to.Settle(ctx, s)
}

func (a apart) Extend(ctx context.Context, rs []driver.Receipt, d time.Duration) error {
	a.wait()
	defer a.wait()
	return a.to.Extend(ctx, rs, d)
}

func (a apart) Browse(ctx context.Context, archive bool) ([]driver.Record, error) {
	a.wait()
	defer a.wait()
	return a.to.Browse(ctx, archive)
}

func (a apart) Stats(ctx context.Context) (driver.Stats, error) { return a.to.Stats(ctx) }

// Tally is what became of many histories.
type Tally struct {
	Histories, Calls, Unknowns, Undecided int
}

// errUndecided is what Err returns if too little was decided.
var errUndecided = errors.New("too many histories are undecided")

// Add counts a history.
func (t *Tally) Add(h *History, r Result) {
	t.Histories++
	t.Calls += h.Calls()
	t.Unknowns += h.Unknowns()
	if r.Undecided {
		t.Undecided++
	}
}

// Err returns an error if more than one history in fifty is undecided: then the others
// prove little.
func (t *Tally) Err() error {
	if t.Undecided*50 > t.Histories {
		return fmt.Errorf("%w: %v", errUndecided, t)
	}
	return nil
}

func (t *Tally) String() string {
	return fmt.Sprintf("%d histories, %d calls, %d of them with an unknown outcome, %d histories undecided",
		t.Histories, t.Calls, t.Unknowns, t.Undecided)
}
