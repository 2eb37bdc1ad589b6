package mq

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// errGoexit stands for the result of a function that ended its goroutine.
var errGoexit = errors.New("runtime.Goexit was called")

// errOverdue is in the errors of guard.call for a function that does not return.
var errOverdue = errors.New("has not returned")

// recovered calls f and returns its panic as a *PanicError.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// guard calls functions of the program that others wait for: a Backoff, an
// OnEvent, an interceptor around a call that mq makes on its own, the
// handler of the Logger. Each call has a goroutine of its own, so that neither a
// panic nor runtime.Goexit can end ours, and a limit, after which mq goes on
// without it.
//
// A call that does not return keeps its goroutine and all that it refers to. To
// bound that, a function with maxOverdue calls beyond their limits is not called
// again until one of them has returned.
type guard struct {
	log *slog.Logger // nil for the guard of the Logger itself

	mu      sync.Mutex
	overdue map[string]int // calls beyond their limits, by the name of the function
}

// maxOverdue is how many calls of one function may be beyond their limits.
const maxOverdue = 10

// limits say how long a guarded call may take. The time that mq spends on
// functions that the call sends to serve does not count.
type limits struct {
	before time.Duration // from the beginning
	after  time.Duration // from the end of the last served function
}

// call calls f, whose name is what, and waits for it within the limits. It
// returns nil, a *PanicError, errGoexit, or an error that wraps errOverdue.
// Meanwhile functions that f sends to serve, if that is not nil, run in the
// goroutine of the caller.
func (g *guard) call(what string, in limits, serve <-chan func(), f func()) error {
	if !g.mayCall(what) {
		return fmt.Errorf("%s %w: it is not called again while %d calls are under way", what, errOverdue, maxOverdue)
	}
	c := &guarded{guard: g, what: what, done: make(chan error, 1)}
	go c.run(f)
	timer := time.NewTimer(in.before)
	defer timer.Stop()
	limit := in.before
	for {
		select {
		case err := <-c.done:
			return err
		case served := <-serve:
			served()
			limit = in.after
			timer.Reset(limit)
		case <-timer.C:
			if !c.leave() {
				return <-c.done
			}
			return fmt.Errorf("%s %w within %v", what, errOverdue, limit)
		}
	}
}

func (g *guard) mayCall(what string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.overdue[what] < maxOverdue
}

// guarded is one call. Its fields are guarded by the guard's mutex.
type guarded struct {
	guard *guard
	what  string
	done  chan error // holds the result
	ended bool
	left  bool // nobody waits any more
}

func (c *guarded) run(f func()) {
	err := errGoexit
	defer func() { c.end(err) }()
	err = recovered(func() error {
		f()
		return nil
	})
	if p, ok := err.(*PanicError); ok {
		p.function = c.what
	}
}

func (c *guarded) end(err error) {
	g := c.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	c.ended = true
	c.done <- err
	if !c.left {
		return
	}
	if g.overdue[c.what]--; g.overdue[c.what] == 0 {
		delete(g.overdue, c.what)
	}
}

// leave stops waiting, and reports false if the call has ended just now. It logs
// the first call that is left behind, and the one that makes maxOverdue.
func (c *guarded) leave() bool {
	g := c.guard
	g.mu.Lock()
	if c.ended {
		g.mu.Unlock()
		return false
	}
	c.left = true
	if g.overdue == nil {
		g.overdue = make(map[string]int)
	}
	g.overdue[c.what]++
	n := g.overdue[c.what]
	g.mu.Unlock()
	switch {
	case g.log == nil:
	case n == 1:
		g.log.Warn("mq: a function of the program does not return, going on without it", "function", c.what)
	case n == maxOverdue:
		g.log.Error("mq: a function of the program is no longer called, since its calls do not return", "function", c.what, "calls", n)
	}
	return true
}
