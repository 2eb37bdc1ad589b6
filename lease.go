package mq

import (
	"context"
	"sync"
	"time"
)

// lease is the state of one Delivery. It keeps two promises: a delivery
// settles once, and no settlement leaves while an extension of the same lease
// is under way, which could otherwise hide a message that was just given back.
type lease struct {
	mu        sync.Mutex
	deadline  time.Time // by the local clock
	settled   bool
	inTx      bool          // settled in a transaction that may still roll back
	extending int           // extensions under way
	quiet     chan struct{} // closed when extending is 0 again; made by who waits
	keeper    *keeper       // who keeps it alive, or nil
	cancel    context.CancelCauseFunc
}

// beginExtend reports whether the lease may be extended.
func (l *lease) beginExtend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled || l.inTx {
		return false
	}
	l.extending++
	return true
}

// endExtend notes the new deadline, or that the lease is lost.
func (l *lease) endExtend(err error, deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.extending--; l.extending == 0 && l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
	switch {
	case err == nil:
		l.deadline = deadline
	case isLost(err):
		l.settled = true
	}
}

// beginSettle claims the right to settle and waits for extensions under way.
func (l *lease) beginSettle(ctx context.Context) error {
	l.mu.Lock()
	if l.settled {
		l.mu.Unlock()
		return ErrStaleReceipt
	}
	l.settled, l.inTx = true, false
	k := l.keeper
	l.keeper = nil
	wait := l.awaitQuiet()
	l.mu.Unlock()
	if k != nil {
		k.drop(l)
	}
	if wait == nil {
		return nil
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		l.endSettle(ctx.Err())
		return ctx.Err()
	}
}

// awaitQuiet returns a channel to wait for, or nil. l.mu is held.
func (l *lease) awaitQuiet() chan struct{} {
	if l.extending > 0 && l.quiet == nil {
		l.quiet = make(chan struct{})
	}
	return l.quiet
}

// endSettle reopens the delivery if the settlement may be repeated.
func (l *lease) endSettle(err error) {
	if err == nil || isLost(err) {
		return
	}
	l.mu.Lock()
	l.settled = false
	l.mu.Unlock()
}

// settledInTx marks a settlement that the caller's transaction decides on.
func (l *lease) settledInTx() {
	l.mu.Lock()
	l.settled, l.inTx = false, true
	l.mu.Unlock()
}

// ends returns the local deadline.
func (l *lease) ends() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// markLost ends the lease and returns what cancels its handler, or nil.
func (l *lease) markLost() context.CancelCauseFunc {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled, l.keeper = true, nil
	return l.cancel
}

// attach sets what ends the handler's context when the lease is lost. It
// reports whether the lease still stands.
func (l *lease) attach(cancel context.CancelCauseFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel = cancel
	return !l.settled
}

func (l *lease) state() (settled, inTx bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled, l.inTx
}
