package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// atOnce is how close signals come that count as one: timeout(1) sends its own
// to the process and to the group of the process.
const atOnce = 100 * time.Millisecond

// signals returns a context that ends with the first SIGINT or SIGTERM. The
// second one ends the program. A closed pipe is an error of the write to it,
// and not the end: what was received but not shown can be given back.
func (a *app) signals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		<-c
		first := time.Now()
		cancel(errInterrupted)
		for range c {
			if time.Since(first) > atOnce {
				break
			}
		}
		a.aborted.Store(true)
		a.callAbort()
		os.Exit(exitInterrupted)
	}()
	return ctx, func() { cancel(nil) }
}

// atAbort has f called before a second signal ends the program.
func (a *app) atAbort(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.abort = append(a.abort, f)
}

func (a *app) callAbort() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.abort {
		f()
	}
}
