package mq

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// leaseState says where a lease is in its life:
//
//	        ┌── failed: may be repeated ──┐
//	        ▼                             │
//	──► held ─────────────────────► settling ──────────► settled
//	        │                        ▲ │ ▲ │
//	        │      ┌──── tried again ┘ │ │ └─ rolled back, and settled again
//	        │   repeating ◄────────────┘ └──── inTx
//	        │
//	        └──► lost, givenUp: from every state except settled
type leaseState uint8

const (
	held      leaseState = iota // the message is ours, to work on, extend and settle
	settling                    // a settlement waits for its turn or is under way
	repeating                   // a Consumer's settlement failed and will be sent again
	inTx                        // settled in a transaction that may still roll back

	// The final states: nothing is extended or settled any more.

	settled // a settlement took effect
	givenUp // left to its visibility timeout
	lost    // the message is somebody else's, or may be
)

// mayBecome holds, for each state, a bit for every state that may follow.
var mayBecome = [...]uint8{
	held:      1<<settling | 1<<givenUp | 1<<lost,
	settling:  1<<held | 1<<repeating | 1<<inTx | 1<<settled | 1<<givenUp | 1<<lost,
	repeating: 1<<settling | 1<<givenUp | 1<<lost,
	inTx:      1<<settling | 1<<givenUp | 1<<lost,
	settled:   0,
	givenUp:   0,
	lost:      0,
}

// lossReason says how a lease was lost, for the log.
type lossReason uint8

const (
	lostRefused lossReason = iota // the backend called the receipt stale
	lostByClock                   // no extension got through in time
	lostByLimit                   // Caps.MaxHold is over
)

func (r lossReason) String() string {
	switch r {
	case lostByClock:
		return "the visibility timeout ended before an extension got through"
	case lostByLimit:
		return "the message was held for as long as the provider allows (Caps.MaxHold)"
	}
	return "the backend refused the receipt: the visibility timeout ended, or the message was settled elsewhere"
}

// Error and Unwrap make it the cause of an EventLeaseLost.
func (r lossReason) Error() string { return r.String() }
func (r lossReason) Unwrap() error { return ErrStaleReceipt }

// lease is the state of one Delivery. The keeper, the Consumer, the iterator
// and the delivery's own methods all change it here, so each of them sees what
// the others did. It keeps three promises:
//
//   - A delivery settles once.
//   - No settlement that an extension could undo leaves while one is under way:
//     see still.
//   - A lease that is lost ends the context of its handler and leaves the
//     keeper, no matter which of them finds out.
//
// Who changes it: a claim (beginSettle, claim) gives one goroutine the right to settle,
// and endSettle, pauseSettle, settledInTx or giveUp end it. Extensions may overlap with
// each other and with a settlement; they are counted, and move the end of the lease only
// as far as the earliest of those under way allows. The keeper reads and ends leases
// under their own locks.
//
// Lock order: lease.mu, then keeper.mu. A Delivery with its lease fits into
// 320 bytes, which is why the fields are small.
type lease struct {
	mu        sync.Mutex
	ends      instant                 // when it is over by the local clock, as far as is known
	floor     instant                 // earliest end that an extension of this group may have set
	keeper    *keeper                 // who extends it, or nil
	cancel    context.CancelCauseFunc // ends its handler's context, or nil
	rare      *rare                   // nil for most
	extending uint16                  // extensions under way
	state     leaseState
	why       lossReason // set with lost
	op        driver.Op  // of the last settlement that was claimed
	still     bool       // no extension may begin until the settlement under way has ended
	doubted   driver.Op  // the settlement that may have arrived although it failed, or 0
}

// rare is what few leases need.
type rare struct {
	limit    instant       // the latest that ends can become, by Caps.MaxHold
	quiet    chan struct{} // closed when extending is 0 again; made by the settlement that waits
	original *original     // what a copying move sends; nil where moves are atomic
	expires  instant       // when its message does; 0 if it does not
	over     chan struct{} // closed when the claim ends; made by a Consumer that waits for it
}

// begins sets the end of a lease that began at begun, which nobody else has seen
// yet.
func (l *lease) begins(begun instant, visibility, maxHold time.Duration) {
	l.ends = begun.add(visibility)
	if maxHold > 0 {
		l.rare = &rare{limit: begun.add(maxHold)}
	}
}

// to changes the state, and is all that does. It reports whether the change is
// allowed. l.mu is held.
func (l *lease) to(s leaseState) bool {
	if mayBecome[l.state]>>s&1 == 0 {
		return false
	}
	l.state, l.still = s, false
	if r := l.rare; r != nil && r.over != nil && s != settling {
		close(r.over)
		r.over = nil
	}
	if s < settled {
		return true
	}
	if k := l.keeper; k != nil {
		l.keeper = nil
		k.drop(l)
	}
	if s == lost && l.cancel != nil {
		l.cancel(ErrStaleReceipt) // runs no foreign code: AfterFuncs have goroutines of their own
	}
	return true
}

// lose ends a lease that is over. l.mu is held.
func (l *lease) lose(why lossReason) bool {
	if !l.to(lost) {
		return false
	}
	l.why = why
	return true
}

// keepOriginal keeps what a copying move will send. Nobody else has seen the lease yet.
func (l *lease) keepOriginal(m Message) {
	if l.rare == nil {
		l.rare = &rare{limit: never}
	}
	l.rare.original = &original{Message: m}
}

// loseByClock ends a lease whose time is over. l.mu is held.
func (l *lease) loseByClock() {
	if l.atLimit() {
		l.lose(lostByLimit)
	} else {
		l.lose(lostByClock)
	}
}

// atLimit reports whether no extension can add to the lease. l.mu is held.
func (l *lease) atLimit() bool { return l.ends >= l.limit() }

// limit returns the latest that ends can become. l.mu is held.
func (l *lease) limit() instant {
	if l.rare == nil {
		return never
	}
	return l.rare.limit
}

// claim claims the right to settle, which nobody else can until endSettle. again
// says that the caller is a failed settlement whose next try has come: while it
// waits for that, nobody else can claim either.
// If it returns a channel the settlement must not leave before that is closed.
func (l *lease) claim(op driver.Op, still, again bool) (wait <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (l.state == repeating) != again || !l.to(settling) {
		return nil, ErrStaleReceipt
	}
	l.op = op
	if l.still = still; still && l.extending > 0 {
		return l.untilQuiet(), nil
	}
	return nil, nil
}

// untilClaimEnds returns a channel that is closed when a settlement under way has
// ended, or nil if none is.
func (l *lease) untilClaimEnds() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != settling {
		return nil
	}
	if l.rare == nil {
		l.rare = &rare{limit: never}
	}
	if l.rare.over == nil {
		l.rare.over = make(chan struct{})
	}
	return l.rare.over
}

// beginSettle is claim, and waits for the extensions under way if it must.
// Each of them has a deadline.
func (l *lease) beginSettle(ctx context.Context, op driver.Op, still bool) error {
	wait, err := l.claim(op, still, false)
	if wait == nil {
		return err
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		err := ended(ctx)
		l.endSettle(err)
		return err
	}
}

// endSettle takes note of how a settlement ended. One that failed may be
// repeated, and until then the lease is kept alive again.
func (l *lease) endSettle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.to(settled)
	case l.doubted != 0 && errors.Is(err, ErrMessageNotFound):
		l.op = l.doubted
		l.to(settled)
	case isLost(err):
		l.lose(lostRefused)
	default:
		if !definite(err) {
			l.doubted = l.op
		}
		l.to(held)
	}
}

// pauseSettle lets the lease go on, without being extended, until the
// settlement is claimed again.
func (l *lease) pauseSettle() { l.change(repeating) }

// settledInTx marks a settlement that the caller's transaction decides on.
func (l *lease) settledInTx() { l.change(inTx) }

// giveUp leaves the lease to its visibility timeout.
func (l *lease) giveUp() { l.change(givenUp) }

func (l *lease) change(s leaseState) {
	l.mu.Lock()
	l.to(s)
	l.mu.Unlock()
}

// release ends the keeping of a lease that its holder is done with.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.keeper; k != nil {
		l.keeper = nil
		k.drop(l)
	}
}

// attach sets what ends the handler's context when the lease is lost.
func (l *lease) attach(cancel context.CancelCauseFunc) {
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
}

// stateAt returns the state, after a look at the clock: no work begins on a
// lease that is over.
func (l *lease) stateAt(at instant) leaseState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == held && at >= l.ends {
		l.loseByClock()
	}
	return l.state
}

// current returns the state, and why the lease was lost if it was.
func (l *lease) current() (leaseState, lossReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.why
}

// result returns the state, and the operation of the last settlement.
func (l *lease) result() (leaseState, driver.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.op
}
