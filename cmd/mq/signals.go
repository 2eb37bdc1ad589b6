package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// atOnce is how close two signals come that count as one: timeout(1) sends its
// own to the process and to the group of the process. It is measured when the
// signals are handled, so that it leaves room for a busy machine. A third
// signal within it is not taken for the first one.
const atOnce = time.Second

// stopSignals are those that end a command in order. SIGHUP comes when a
// terminal is closed, SIGQUIT from Ctrl-\. If they were ignored when mq was
// started, as under nohup, they stay ignored.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	return signals
}

// signals returns a context that ends with the first signal. The second one
// ends the program. A closed pipe is an error of the write to it, and not the
// end: what was received but not shown can be given back.
func (a *app) signals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 8)
	signal.Notify(c, stopSignals()...)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		<-c
		cancel(errInterrupted)
		awaitSecond(c)
		a.aborted.Store(true)
		a.callAbort()
		os.Exit(exitInterrupted)
	}()
	return ctx, func() { cancel(nil) }
}

// awaitSecond returns when somebody wants the end at once. A terminal that is
// closed may send several SIGHUP, the last ones much later.
func awaitSecond(c <-chan os.Signal) {
	first, more := time.Now(), 0
	for s := range c {
		if s == syscall.SIGHUP {
			continue
		}
		if more++; more > 1 || time.Since(first) > atOnce {
			return
		}
	}
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
