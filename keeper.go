package mq

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// keeper is the heartbeat of a Consumer and of Queue.Messages. Its goroutine
// looks at the leases that it keeps six times per visibility timeout, and
// whenever one is about to end or poke is called. A look ends what is over
// and starts a beat, in a goroutine of its own, for what is past half its time.
//
// A beat that hangs does not hold up the next one: there are three before a
// lease ends, each with a deadline, so one dead connection costs one try.
type keeper struct {
	queue      *Queue
	visibility time.Duration
	interval   time.Duration
	overdue    func(id string) // called for a handler that outstayed its limit; may be nil
	stop       context.CancelFunc
	done       chan struct{}
	wake       chan struct{} // holds a token when something has changed
	beats      sync.WaitGroup
	scratch    []keptLease // of the keeper's goroutine

	mu     sync.Mutex
	leases map[*lease]kept
	flying int     // beats under way
	next   instant // no beat begins before
	quiet  instant // no failure is logged before
}

// kept is what the keeper remembers of a lease: the fields of the Delivery
// belong to its receiver.
type kept struct {
	receipt Receipt
	id      string
	since   instant
	until   instant // not extended after that
}

type keptLease struct {
	*lease
	kept
}

const (
	// beatsPerVisibility is how often the keeper looks. A lease is extended
	// when between a half and two thirds of its time have gone, and two more
	// beats fit in if the first fails.
	beatsPerVisibility = 6
	// maxBeats bounds the beats under way, and the extensions of one lease.
	maxBeats = 3
	// heartbeatLogPause is how often a failing heartbeat is logged.
	heartbeatLogPause = 10 * time.Second
)

// newKeeper starts the heartbeat. It has the values of ctx, and goes on until
// close.
func newKeeper(ctx context.Context, q *Queue, visibility time.Duration, overdue func(id string)) *keeper {
	k := &keeper{
		queue: q, visibility: visibility, interval: max(visibility/beatsPerVisibility, time.Millisecond), overdue: overdue,
		done: make(chan struct{}), wake: make(chan struct{}, 1), leases: make(map[*lease]kept),
		next: always, quiet: always,
	}
	ctx, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	go k.run(ctx)
	return k
}

// close ends the heartbeats and waits for those under way. Leases still held
// run out.
func (k *keeper) close() {
	k.stop()
	<-k.done
}

// keep takes over deliveries that nobody else has seen yet.
func (k *keeper) keep(ds []*Delivery) {
	begun := now()
	soon := begun.add(k.visibility / 2)
	urgent := false
	k.mu.Lock()
	for _, d := range ds {
		d.lease.keeper = k
		k.leases[&d.lease] = kept{d.Receipt, d.ID, begun, never}
		urgent = urgent || d.lease.ends <= soon // it took long to arrive
	}
	k.mu.Unlock()
	if urgent {
		k.hurry()
	}
}

// hurry makes the keeper look, and beat if need be, at once.
func (k *keeper) hurry() {
	k.mu.Lock()
	k.next = always
	k.mu.Unlock()
	k.poke()
}

// drop forgets a lease. The lease's mutex is held.
func (k *keeper) drop(l *lease) {
	k.mu.Lock()
	delete(k.leases, l)
	k.mu.Unlock()
}

// limit stops extending a lease at the given time, if it is still kept then.
func (k *keeper) limit(l *lease, until instant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.leases[l]; ok {
		e.until = until
		k.leases[l] = e
	}
}

// abandon stops extending what its holders have not begun to settle.
func (k *keeper) abandon() {
	k.mu.Lock()
	all := k.list(nil)
	k.mu.Unlock()
	for _, e := range all {
		if state, _ := e.current(); state == held {
			e.release()
		}
	}
}

// list appends all leases to buf. k.mu is held.
func (k *keeper) list(buf []keptLease) []keptLease {
	for l, e := range k.leases {
		buf = append(buf, keptLease{l, e})
	}
	return buf
}

func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	defer k.beats.Wait()
	timer := time.NewTimer(k.interval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(k.look(ctx))
	}
}

// look goes through the leases once, and returns when to look again.
func (k *keeper) look(ctx context.Context) time.Duration {
	at := now()
	k.mu.Lock()
	k.scratch = k.list(k.scratch[:0])
	k.mu.Unlock()
	defer clear(k.scratch)
	again := at.add(k.interval)
	var due []keptLease
	for _, e := range k.scratch {
		if at >= e.until {
			k.outstayed(e)
			continue
		}
		extend, next := e.inspect(at, k.visibility)
		again = min(again, next, e.until)
		if extend {
			due = append(due, e)
		}
	}
	if len(due) > 0 {
		again = min(again, k.start(ctx, at, due))
	}
	return max(again.sub(at), time.Millisecond)
}

// outstayed lets the lease of a handler run out that does not return, so that
// the message goes to somebody else.
func (k *keeper) outstayed(e keptLease) {
	state, _ := e.current()
	e.release()
	if state == held && k.overdue != nil {
		k.overdue(e.id)
	}
}

// start begins a beat, unless the last one is too recent or too many are under
// way, and returns when there may be another.
func (k *keeper) start(ctx context.Context, at instant, due []keptLease) (next instant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.flying >= maxBeats:
		return never // the end of one wakes the keeper
	case at < k.next:
		return k.next
	}
	k.next = at.add(k.interval)
	k.flying++
	k.beats.Go(func() { k.beat(ctx, due) })
	return k.next
}

// beat extends leases in as few calls as possible. All calls together have half
// the visibility timeout.
func (k *keeper) beat(ctx context.Context, due []keptLease) {
	defer k.landed()
	half := &timeLimit{"half the visibility timeout", k.visibility / 2}
	ctx, cancel := half.within(ctx)
	defer cancel()
	for part := range slices.Chunk(due, k.queue.client.caps.BatchLimit()) {
		if ctx.Err() == nil {
			k.extend(ctx, part)
		}
	}
}

func (k *keeper) landed() {
	k.mu.Lock()
	k.flying--
	k.mu.Unlock()
	k.poke()
}

// extend makes one call. Leases that were settled or extended since they were
// selected are left out.
func (k *keeper) extend(ctx context.Context, part []keptLease) {
	begun := now()
	leases, receipts := make([]*lease, 0, len(part)), make([]Receipt, 0, len(part))
	soonest := never
	for _, e := range part {
		if e.beginBeat(begun, k.visibility) {
			leases, receipts = append(leases, e.lease), append(receipts, e.receipt)
			soonest = min(soonest, begun.add(e.left(begun)))
		}
	}
	if len(leases) == 0 {
		return
	}
	limit := k.heartbeatTime(soonest.sub(begun))
	short, cancel := limit.within(unattended(ctx, limits{limit.d, limit.d}))
	defer cancel()
	err := k.queue.Extend(short, k.visibility, receipts...)
	for i, l := range leases {
		l.endExtend(itemError(err, i), begun, k.visibility)
	}
	k.note(ctx, err, len(leases))
}

// note logs why a heartbeat failed. Leases that are lost are their holders' to
// log.
func (k *keeper) note(ctx context.Context, err error, n int) {
	err = failure(err)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	if k.mayLog(now()) {
		k.queue.client.cfg.Logger.Warn("mq: heartbeat failed, the leases end unless a later one gets through",
			"queue", k.queue.name, "leases", n, "error", err)
	}
}

func (k *keeper) mayLog(at instant) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at < k.quiet {
		return false
	}
	k.quiet = at.add(heartbeatLogPause)
	return true
}

// failure returns the first error of a batch that is not the end of a lease.
func failure(err error) error {
	batch := (*BatchError)(nil)
	if !errors.As(err, &batch) {
		if isLost(err) {
			return nil
		}
		return err
	}
	for _, err := range batch.Errs {
		if err != nil && !isLost(err) {
			return err
		}
	}
	return nil
}
