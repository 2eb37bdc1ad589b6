package mq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// Natural batching: a call that finds the lane free flies at once, in its own
// goroutine and with its own ctx. Calls that arrive while Caps.Flights are
// under way wait, and leave together when one lands. There is no timer: what makes
// calls wait is what makes merging them worth while. A provider in the same
// process has no round trips to save, so there each call flies alone.

// maxFlightBytes bounds what one flight carries.
const maxFlightBytes = 1 << 20

// lanes are the ways of one queue, shared by its handles.
type lanes struct {
	send   *lane[Message]
	settle *lane[Settlement]
	extend *lane[extension]
}

// extension is one lease to prolong.
type extension struct {
	receipt    Receipt
	visibility time.Duration
}

func (c *Client) lanesOf(queue string) *lanes {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[queue]
	if l == nil {
		l = c.newLanes(queue)
		c.lanes[queue] = l
	}
	return l
}

func (c *Client) newLanes(queue string) *lanes {
	return &lanes{
		send: &lane[Message]{
			client: c,
			size:   func(m Message) int { return len(m.Body) },
			hold:   cloneMessages,
			fly: func(ctx context.Context, msgs []Message) ([]string, error) {
				return c.flySend(ctx, queue, msgs)
			},
		},
		settle: &lane[Settlement]{
			client: c,
			fly: func(ctx context.Context, s []Settlement) ([]string, error) {
				return nil, c.flySettle(ctx, queue, s)
			},
		},
		extend: &lane[extension]{
			client: c,
			fly: func(ctx context.Context, es []extension) ([]string, error) {
				return nil, c.flyExtend(ctx, queue, es)
			},
		},
	}
}

func (c *Client) flySend(ctx context.Context, queue string, msgs []Message) ([]string, error) {
	for n := 0; ; n++ {
		ids, err := c.provider.Send(ctx, queue, msgs)
		if err == nil && len(ids) != len(msgs) {
			err = fmt.Errorf("%w (driver defect: %d ids for %d messages)", ErrUnavailable, len(ids), len(msgs))
		}
		if !again(ctx, err, n) {
			return ids, theirs(err)
		}
	}
}

func (c *Client) flySettle(ctx context.Context, queue string, s []Settlement) error {
	for n := 0; ; n++ {
		if err := c.provider.Settle(ctx, queue, s); !again(ctx, err, n) {
			return theirs(err)
		}
	}
}

func cloneMessages(msgs []Message) []Message {
	out := slices.Clone(msgs)
	for i := range out {
		out[i].Body = bytes.Clone(out[i].Body)
		out[i].Headers = maps.Clone(out[i].Headers)
	}
	return out
}

// flyExtend makes one call for each visibility among es: usually one.
func (c *Client) flyExtend(ctx context.Context, queue string, es []extension) error {
	errs := make([]error, len(es))
	for d, group := range byVisibility(es) {
		err := try(ctx, func(ctx context.Context) error {
			return c.provider.Extend(ctx, queue, group.receipts, d)
		})
		for i, at := range group.at {
			errs[at] = itemError(err, i)
		}
	}
	return driver.Batch(errs)
}

type extensionGroup struct {
	receipts []Receipt
	at       []int // their positions in the flight
}

func byVisibility(es []extension) map[time.Duration]*extensionGroup {
	groups := make(map[time.Duration]*extensionGroup)
	for i, e := range es {
		g := groups[e.visibility]
		if g == nil {
			g = new(extensionGroup)
			groups[e.visibility] = g
		}
		g.receipts = append(g.receipts, e.receipt)
		g.at = append(g.at, i)
	}
	return groups
}

// lane merges the concurrent calls of one kind on one queue.
type lane[T any] struct {
	client *Client
	size   func(T) int   // bytes, or nil
	hold   func([]T) []T // copies what the caller may reuse, or nil
	fly    func(context.Context, []T) ([]string, error)

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

func (l *lane[T]) doPart(ctx context.Context, items []T) ([]string, error) {
	if l.client.caps.InProcess {
		return l.fly(ctx, items)
	}
	l.mu.Lock()
	if l.flights < l.client.caps.FlightLimit() && len(l.waiting) == 0 {
		l.flights++
		l.mu.Unlock()
		defer l.land()
		return l.fly(ctx, items)
	}
	p, done := l.newPart(items)
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()
	return l.await(ctx, p, done)
}

type landing struct {
	ids []string
	err error
}

func (l *lane[T]) newPart(items []T) (*part[T], chan landing) {
	if l.hold != nil {
		items = l.hold(items) // a caller whose ctx ends leaves before its part has landed
	}
	done := make(chan landing, 1)
	p := &part[T]{items: items, landed: func(ids []string, err error) { done <- landing{ids, err} }}
	p.bytes = l.bytes(items)
	return p, done
}

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
// withdrawn, or, if it is in the air, its fate is unknown.
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
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
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
	n, items, bytes := 0, 0, 0
	for _, p := range l.waiting {
		items += len(p.items)
		bytes += p.bytes
		if n > 0 && (items > l.client.caps.BatchLimit() || bytes > maxFlightBytes) {
			break
		}
		n++
	}
	if n == 0 {
		l.flights--
		return nil
	}
	parts := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return parts
}

// carry flies parts together. A batch that was definitely rejected as a whole
// is tried once more part by part, so that nobody fails for another's item.
func (l *lane[T]) carry(parts []*part[T]) {
	if len(parts) == 1 {
		parts[0].landed(l.flyAlone(parts[0].items))
		return
	}
	var items []T
	for _, p := range parts {
		items = append(items, p.items...)
	}
	ids, err := l.flyAlone(items)
	alone := err != nil && divisible(err)
	at := 0
	for _, p := range parts {
		n := len(p.items)
		if alone {
			p.landed(l.flyAlone(p.items))
		} else {
			p.landed(share(ids, err, at, n))
		}
		at += n
	}
}

// flyAlone flies with a deadline of its own: the callers' contexts must not
// end each other's calls.
func (l *lane[T]) flyAlone(items []T) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.client.cfg.CallTimeout)
	defer cancel()
	return l.fly(ctx, items)
}

// divisible reports whether parts of a rejected batch may fare better alone.
func divisible(err error) bool {
	if batch := (*BatchError)(nil); errors.As(err, &batch) {
		return false
	}
	for _, whole := range []error{ErrQueueNotFound, ErrClosed, ErrNotSupported} {
		if errors.Is(err, whole) {
			return false
		}
	}
	return definite(err)
}

// share returns one part's results out of a flight's.
func share(ids []string, err error, at, n int) ([]string, error) {
	if len(ids) >= at+n {
		ids = ids[at : at+n : at+n]
	}
	if err == nil {
		return ids, nil
	}
	batch := (*BatchError)(nil)
	if !errors.As(err, &batch) || len(batch.Errs) < at+n {
		return ids, err
	}
	if err := driver.Batch(batch.Errs[at : at+n]); err != nil {
		return ids, &providerError{err}
	}
	return ids, nil
}

// itemError returns the error of item i of a batch that failed with err.
func itemError(err error, i int) error {
	if err == nil {
		return nil
	}
	if batch := (*BatchError)(nil); errors.As(err, &batch) && i < len(batch.Errs) {
		if err := batch.Errs[i]; err != nil {
			return &providerError{err}
		}
		return nil
	}
	return err
}
