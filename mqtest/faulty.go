package mqtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// Fault is something that goes wrong with calls of one operation.
type Fault struct {
	// Op is the operation: "send", "receive", "settle", "extend", "stats",
	// "ping", "ensure", or one of an optional interface: "drop", "list",
	// "purge", "pop", "browse", "redrive", "purge archive", "receive heads",
	// "receive group", "send unique", "bind", "unbind", "bindings", "publish",
	// "tx send", "tx send unique", "tx publish", "tx settle".
	Op string
	// When chooses the calls. Nil means all of them.
	When When
	// Applied tells a call whose answer is lost from one that never arrived:
	// the inner provider carries it out before it fails.
	Applied bool
	// Delay holds the call up, before it is carried out or, if Applied, after
	// that. mq.Forever cuts it off: it ends with its context, or by Close. A
	// call that ends so is not carried out unless Applied.
	Delay time.Duration
	// Err is the answer. Nil means the inner provider's own, or for a call
	// that was cut off ErrUnavailable together with the context's error.
	Err error
}

// When chooses among the calls of an operation by their numbers: 1 is the
// first call after the fault was planned.
type When func(n int) bool

// Nth chooses one call.
func Nth(k int) When { return func(n int) bool { return n == k } }

// First chooses the first k calls.
func First(k int) When { return func(n int) bool { return n <= k } }

// Every chooses each kth call.
func Every(k int) When { return func(n int) bool { return n%k == 0 } }

// FaultyProvider is a provider whose calls go wrong as planned. It has all
// optional interfaces; those that the inner provider lacks answer
// ErrNotSupported.
type FaultyProvider struct {
	inner driver.Provider
	done  chan struct{} // closed by Close
	close func() error

	mu      sync.Mutex
	plan    []*plannedFault
	calls   map[string]int
	applied map[string]int
}

type plannedFault struct {
	Fault
	n int // calls so far
}

// Faulty wraps a provider in one that fails, delays and cuts off calls, for
// tests of what happens then:
//
//	p := mqtest.Faulty(mem.New(), mqtest.Fault{
//		Op: "send", When: mqtest.Nth(2), Applied: true, Err: driver.ErrUnavailable,
//	})
//	c := mq.New(p, mq.Config{})
//
// Where several faults choose the same call the first one has it. Calls that
// are meant to fail look like those of a real backend if Err is ErrBadConn
// without Applied, or ErrUnavailable with or without it.
func Faulty(p driver.Provider, plan ...Fault) *FaultyProvider {
	f := &FaultyProvider{
		inner: p, done: make(chan struct{}),
		calls: make(map[string]int), applied: make(map[string]int),
	}
	f.close = sync.OnceValue(func() error {
		close(f.done)
		return p.Close()
	})
	f.Plan(plan...)
	return f
}

// Plan adds faults. It panics if an Op is not known.
func (f *FaultyProvider) Plan(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		if !slices.Contains(faultyOps, fault.Op) {
			panic(fmt.Sprintf("mqtest: unknown Fault.Op %q (have: %s)", fault.Op, strings.Join(faultyOps, ", ")))
		}
		f.plan = append(f.plan, &plannedFault{Fault: fault})
	}
}

// Heal forgets the plan. Calls that are held up stay so.
func (f *FaultyProvider) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = nil
}

// Calls returns how often an operation has been called.
func (f *FaultyProvider) Calls(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Applied returns how many calls of an operation the inner provider got.
func (f *FaultyProvider) Applied(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied[op]
}

// next counts a call and returns what is planned for it.
func (f *FaultyProvider) next(op string) (fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	chosen := false
	for _, p := range f.plan {
		if p.Op != op {
			continue
		}
		p.n++
		if !chosen && (p.When == nil || p.When(p.n)) {
			chosen, fault = true, p.Fault
		}
	}
	return fault
}

// faultyCall makes one call of the inner provider, as far as the plan lets it.
func faultyCall[T any](ctx context.Context, f *FaultyProvider, op string, inner func() (T, error)) (result T, err error) {
	var none T
	fault := f.next(op)
	if !fault.Applied {
		if err := fault.strike(ctx, f.done); err != nil {
			return none, err
		}
	}
	f.mu.Lock()
	f.applied[op]++
	f.mu.Unlock()
	result, err = inner()
	if fault.Applied && err == nil {
		if err := fault.strike(ctx, f.done); err != nil {
			return none, err
		}
	}
	return result, err
}

// strike holds the call up and returns what it must answer, if anything.
func (f *Fault) strike(ctx context.Context, done <-chan struct{}) error {
	if f.Delay == 0 {
		return f.Err
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return f.Err
	case <-done:
		return driver.ErrClosed
	case <-ctx.Done():
	}
	if f.Err != nil {
		return f.Err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, ctx.Err())
}

// do is faultyCall without a result.
func (f *FaultyProvider) do(ctx context.Context, op string, inner func() error) error {
	_, err := faultyCall(ctx, f, op, func() (struct{}, error) { return struct{}{}, inner() })
	return err
}
