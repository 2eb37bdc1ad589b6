package mq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/portmq/mq/driver"
)

// Natural batching. Each queue has three lanes: for sends, settlements and
// extensions. A call that finds its lane free flies at once, in its own
// goroutine and with its own ctx. Calls that arrive while Caps.Flights are
// under way wait as parts, and leave together when a flight lands. There is no
// timer: what makes calls wait is what makes merging them worth while. A
// provider in the same process has no round trips to save, so there each call
// flies alone.
//
// No flight outlasts Config.CallTimeout, whatever its ctx, so a connection that
// hangs holds up the others no longer than that.
//
// The words are those of an airport. A flight is one call of the provider, a lane is
// the runway of one kind of call on one queue, a part is one caller's share of a
// flight, and a part lands when its caller gets its answer.
//
// Who runs what: the first caller flies in its own goroutine, with its own ctx. When
// it lands, the parts that have come meanwhile fly in a new goroutine, whose ctx is
// the client's, since no caller's ctx may end the calls of others. That goroutine goes
// on until nobody waits. lane.mu is held for moments only, never while a flight is in
// the air or a part lands; no other lock is taken under it.

// maxFlightBytes bounds what one flight carries.
const maxFlightBytes = 1 << 20

// lane merges the concurrent calls of one kind on one queue.
//
// Parts wait only while all flights are taken, and a call that ends a flight
// takes the next parts before it gives the flight up. So a waiting part is never
// forgotten.
type lane[T any] struct {
	client  *Client
	size    func(T) int          // bytes, or nil
	most    int                  // items that one flight carries for several callers; 0 is the batch limit
	hold    func([]T) []T        // copies what the caller may reuse, or nil
	timeout func([]T) *timeLimit // of one flight, or nil for CallTimeout
	merges  func(a, b T) bool    // whether two may share a flight, or nil
	apart   bool                 // after a refusal, items of one caller may fly apart
	mixed   bool                 // and it does not matter whose they are
	fly     func(context.Context, []T) ([]string, error)

	mu      sync.Mutex
	flights int
	waiting []*part[T]
}

// part is one caller's share of a flight.
type part[T any] struct {
	items  []T
	bytes  int
	landed func(ids []string, err error)
}

// do carries out items in flights of at most the provider's batch limit.
func (l *lane[T]) do(ctx context.Context, items []T) ([]string, error) {
	limit := l.client.caps.BatchLimit()
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) <= limit {
		ids, err := l.doPart(ctx, items)
		if len(items) == 1 {
			err = itemError(err, 0)
		}
		return ids, err
	}
	return l.doParts(ctx, items, limit)
}

// doParts goes through a batch above the limit, in order, and stops at a part
// that failed as a whole.
func (l *lane[T]) doParts(ctx context.Context, items []T, limit int) ([]string, error) {
	ids := make([]string, 0, len(items))
	errs := make([]error, 0, len(items))
	for chunk := range slices.Chunk(items, limit) {
		got, err := l.doPart(ctx, chunk)
		for i := range chunk {
			errs = append(errs, itemError(err, i))
		}
		ids = append(ids, append(got, make([]string, len(chunk)-len(got))...)...)
		if batch := (*BatchError)(nil); err != nil && !errors.As(err, &batch) {
			if len(errs) == len(chunk) {
				return nil, err
			}
			break
		}
	}
	for len(errs) < len(items) {
		ids, errs = append(ids, ""), append(errs, errNotTried)
	}
	return ids, driver.Batch(errs)
}

var errNotTried = errors.New("not tried, because an earlier part of the batch failed")

// doPart flies at once if the lane is free, and else waits to be carried. Nobody
// overtakes parts that wait, so that the calls of one goroutine keep their order.
func (l *lane[T]) doPart(ctx context.Context, items []T) ([]string, error) {
	if l.client.caps.InProcess {
		return l.flyApart(ctx, items)
	}
	l.mu.Lock()
	if l.flights < l.client.caps.FlightLimit() && len(l.waiting) == 0 {
		l.flights++
		l.mu.Unlock()
		defer l.land()
		return l.flyApart(ctx, items)
	}
	p, done := l.newPart(items) // under the lock, so that it keeps its place
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()
	return l.await(ctx, p, done)
}

// landing is what a part comes to.
type landing struct {
	ids []string
	err error
}

// newPart returns a part whose caller waits for done. done has room for the result, so
// that a flight is never held up by a caller that has left.
func (l *lane[T]) newPart(items []T) (*part[T], chan landing) {
	if l.hold != nil {
		items = l.hold(items) // a caller whose ctx ends leaves before its part has landed
	}
	done := make(chan landing, 1)
	p := &part[T]{items: items, landed: func(ids []string, err error) { done <- landing{ids, err} }}
	p.bytes = l.bytes(items)
	return p, done
}

// bytes returns the size of items, 0 where only their number counts.
func (l *lane[T]) bytes(items []T) (n int) {
	if l.size == nil {
		return 0
	}
	for _, it := range items {
		n += l.size(it)
	}
	return n
}

// await waits for a part that others may carry. If ctx ends first the part is
// withdrawn, or, if it is in the air, its fate is unknown: unless it has landed
// at the same moment.
func (l *lane[T]) await(ctx context.Context, p *part[T], done chan landing) ([]string, error) {
	select {
	case r := <-done:
		return r.ids, r.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, p)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i >= 0 {
		return nil, ended(ctx)
	}
	select {
	case r := <-done:
		return r.ids, r.err
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ended(ctx))
	}
}

// start carries out items without making the caller wait.
func (l *lane[T]) start(items []T, landed func(ids []string, err error)) {
	if l.client.caps.InProcess {
		landed(l.fly(context.Background(), items))
		return
	}
	p := &part[T]{items: items, bytes: l.bytes(items), landed: landed}
	l.mu.Lock()
	if l.flights == l.client.caps.FlightLimit() || len(l.waiting) > 0 {
		l.waiting = append(l.waiting, p)
		l.mu.Unlock()
		return
	}
	l.flights++
	l.mu.Unlock()
	l.spawn([]*part[T]{p})
}

// land ends a flight whose goroutine is its caller's, and lets the waiting
// ones go in a goroutine of their own.
func (l *lane[T]) land() {
	if parts := l.next(); parts != nil {
		l.spawn(parts)
	}
}

// spawn makes flights in a goroutine that Close waits for. After Close it makes none:
// waiting callers get ErrClosed, and the flight is given up.
func (l *lane[T]) spawn(parts []*part[T]) {
	if l.client.tasks.enter() {
		go l.run(parts)
		return
	}
	for ; parts != nil; parts = l.next() {
		for _, p := range parts {
			p.landed(nil, ErrClosed)
		}
	}
}

// run flies until nobody waits.
func (l *lane[T]) run(parts []*part[T]) {
	defer l.client.tasks.leave()
	for ; parts != nil; parts = l.next() {
		l.carry(parts)
		// Those who have just landed often call again at once. To let them
		// makes the next flight fuller by half.
		runtime.Gosched()
	}
}

// next takes the parts of the next flight, or ends the flight.
func (l *lane[T]) next() []*part[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.load()
	if n == 0 {
		l.flights--
		return nil
	}
	parts := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return parts
}

// load returns how many of the waiting parts, from the first on, make the next
// flight. l.mu is held.
func (l *lane[T]) load() (n int) {
	items, bytes, most := 0, 0, cmp.Or(l.most, l.client.caps.BatchLimit())
	for _, p := range l.waiting {
		items += len(p.items)
		bytes += p.bytes
		full := items > most || bytes > maxFlightBytes
		if n > 0 && (full || l.merges != nil && !l.merges(l.waiting[0].items[0], p.items[0])) {
			break
		}
		n++
	}
	return n
}

// carry flies parts together, with no caller's context: theirs must not end
// each other's calls. A batch that was definitely refused as a whole is tried
// once more apart, so that one caller's item does not fail another's.
func (l *lane[T]) carry(parts []*part[T]) {
	ctx := l.client.flights
	if len(parts) == 1 {
		parts[0].landed(l.flyApart(ctx, parts[0].items))
		return
	}
	var items []T
	for _, p := range parts {
		items = append(items, p.items...)
	}
	ids, err := l.flyOnce(ctx, items)
	refused := err != nil && divisible(err)
	if refused && l.mixed {
		ids, err = l.search(ctx, items, err)
		refused = false
	}
	at := 0
	for _, p := range parts {
		n := len(p.items)
		if refused {
			p.landed(l.flyApart(ctx, p.items))
		} else {
			p.landed(share(ids, err, at, n))
		}
		at += n
	}
}

// flyOnce makes one flight, which ends with ctx or after the lane's timeout.
func (l *lane[T]) flyOnce(ctx context.Context, items []T) ([]string, error) {
	if l.client.caps.InProcess {
		return l.fly(ctx, items)
	}
	if l.client.flights.Err() != nil {
		return nil, ErrClosed
	}
	limit := l.client.callTimeout()
	if l.timeout != nil {
		limit = l.timeout(items)
	}
	short, cancel := limit.bound(ctx)
	defer cancel()
	ids, err := l.fly(short, items)
	return ids, l.client.cutOff(short, err)
}

// flyApart flies, and after a definite refusal of the whole tries items of the
// same caller apart, where that is allowed.
func (l *lane[T]) flyApart(ctx context.Context, items []T) ([]string, error) {
	ids, err := l.flyOnce(ctx, items)
	if err == nil || len(items) == 1 || !l.apart || !divisible(err) {
		return ids, err
	}
	return l.search(ctx, items, err)
}
