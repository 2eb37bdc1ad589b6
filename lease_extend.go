package mq

import "time"

// Extending. The holder and the keeper extend a lease, at the same time if it so
// happens, and beside a settlement. Extensions are counted, so that a settlement that
// one of them could undo can wait until there is none.

// beginExtend reports whether the lease may be extended by its holder.
func (l *lease) beginExtend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == held && l.begin()
}

// beginBeat is beginExtend for the keeper, of a lease that is due. It goes on
// while a settlement waits: one dead connection must not cost the lease as well.
func (l *lease) beginBeat(at instant, visibility time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept() && l.due(at, visibility) && l.begin()
}

// due reports whether the lease is past half its time, and can be extended.
// l.mu is held.
func (l *lease) due(at instant, visibility time.Duration) bool {
	return at < l.ends && l.ends.sub(at) <= visibility/2 && !l.atLimit() && l.extending < maxBeats
}

// kept reports whether the keeper may extend the lease. l.mu is held.
func (l *lease) kept() bool {
	return l.state == held || l.state == settling && !l.still
}

// begin counts an extension. l.mu is held.
func (l *lease) begin() bool {
	if l.extending == 0 {
		l.floor = never
	}
	l.extending++
	return true
}

// endExtend takes note of how an extension ended that began at begun. Nobody
// knows in which order the backend sees extensions that overlap, so the
// earliest of their ends counts. One in doubt may have shortened the lease, and
// does not prolong it.
func (l *lease) endExtend(err error, begun instant, visibility time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.extending--; l.extending == 0 && l.rare != nil && l.rare.quiet != nil {
		close(l.rare.quiet)
		l.rare.quiet = nil
	}
	end := min(begun.add(visibility), l.limit())
	switch {
	case err == nil:
		l.floor = min(l.floor, end)
		l.ends = l.floor
	case isLost(err):
		// While it is being settled this may be the settlement's doing,
		// whose own answer decides.
		if l.state == held {
			l.lose(lostRefused)
		}
	case !definite(err):
		l.floor = min(l.floor, end)
		l.ends = min(l.ends, end)
	}
}

// hurry lets the keeper look at once at a lease that its holder has shortened.
func (l *lease) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.keeper; k != nil && l.ends.sub(now()) <= k.visibility/2 {
		k.hurry()
	}
}

// left returns how much of the lease is left.
func (l *lease) left(at instant) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends.sub(at)
}

// inspect ends the lease if it is over, and returns whether the keeper must
// extend it now and when to look again at the latest.
func (l *lease) inspect(at instant, visibility time.Duration) (due bool, next instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := at >= l.ends
	switch {
	case !l.kept():
		return false, never
	case over && l.state == held && l.extending == 0:
		l.loseByClock()
		return false, never
	case over: // its settlement decides, or its last extension, whose end wakes the keeper
		return false, never
	}
	return l.due(at, visibility), l.ends
}

// untilQuiet returns a channel that is closed when no extension is under way any
// more. l.mu is held.
func (l *lease) untilQuiet() <-chan struct{} {
	if l.rare == nil {
		l.rare = &rare{limit: never}
	}
	if l.rare.quiet == nil {
		l.rare.quiet = make(chan struct{})
	}
	return l.rare.quiet
}
