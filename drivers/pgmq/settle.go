package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// Settle runs one statement, and one more for each queue that messages are
// moved to.
func (p *Provider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return err
	}
	b := newBatch(q, s)
	for _, part := range b.parts {
		if err := p.settle(ctx, b, part); err != nil {
			if len(b.parts) == 1 {
				return err
			}
			b.failAll(part, err)
		}
	}
	p.settled(q, s)
	return b.outcome()
}

func (p *Provider) settle(ctx context.Context, b *batch, of *part) error {
	if r := b.receipts[of.items[0]]; len(of.items) == 1 && of.op == driver.OpAck && r.fence == byLease {
		return p.ackOne(ctx, b, of, r)
	}
	return p.free(ctx, b, of, func(of *part) error {
		text, args, err := p.settlement(ctx, p.pool, b, of)
		if err != nil {
			return err
		}
		err = p.runAt(ctx, p.pool, callLimit, b.q, text, args, b.failures(of), of.to)
		p.detach(of.to, err)
		return err
	})
}

// lockedFor is how long a settlement or an extension goes on for a message that
// another transaction has locked, unless its ctx has less than twice that left.
const lockedFor = 2 * time.Second

// free runs a statement for a part, and for a while again for those of its
// messages that are locked. It does not wait in the server, where one locked
// message would hold up all others of the statement.
func (p *Provider) free(ctx context.Context, b *batch, of *part, run func(*part) error) error {
	limit := lockedFor
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	again := time.Millisecond
	for tries, end := 1, time.Now().Add(limit); ; tries++ {
		b.locked = nil
		switch err := run(of); {
		case err != nil && tries == 1:
			return err
		case err != nil: // what was not locked is done
			b.failAll(of, err)
			return nil
		case len(b.locked) == 0:
			return nil
		}
		of = &part{op: of.op, to: of.to, items: b.locked}
		if time.Now().After(end) || p.closed() || !pause(ctx, again/2+rand.N(again)) {
			b.failAll(of, errLocked)
			return nil
		}
		again = min(2*again, 50*time.Millisecond)
	}
}

// errLocked is the error of a message that stayed locked.
var errLocked error = &dbError{
	text: "another transaction has locked the message",
	code: "55P03", is: driver.ErrBadConn, cause: errors.New("locked"),
}

// ackOne deletes one message, and asks why only if it could not.
func (p *Provider) ackOne(ctx context.Context, b *batch, of *part, r receipt) error {
	done := false
	args := []any{r.id, r.reads, r.sentAt}
	err := p.run(ctx, b.q, b.q.texts.ackOne, args, func(row) error { done = true; return nil })
	if err != nil || done {
		return err
	}
	return p.free(ctx, b, of, func(of *part) error {
		return p.run(ctx, b.q, b.q.texts.ack, b.leases(of), b.failures(of))
	})
}

// settlement returns the statement for a part of a batch.
func (p *Provider) settlement(ctx context.Context, at querier, b *batch, part *part) (text string, args []any, err error) {
	args = b.leases(part)
	switch part.op {
	case driver.OpAck:
		return b.text(b.q.texts.ack, b.q.texts.ackWaiting), args, nil
	case driver.OpMove:
		to, err := p.attach(ctx, at, part.to)
		if err != nil {
			return "", nil, err
		}
		if !to.names.Headers {
			return "", nil, noHeaders(to)
		}
		n := b.q.names
		n.To, n.Waits = to.names.Q, b.waits
		return statement("move", n), append(args, b.reasons(part), b.q.name+"/"), nil
	}
	var ops, delays, uncounted array
	text = b.nack()
	for _, i := range part.items {
		if b.settlements[i].Op == driver.OpArchive {
			if text = b.text(b.q.texts.settle, b.q.texts.settleWaiting); len(b.q.names.Kept) == 0 {
				return "", nil, fmt.Errorf("%w: queue %q has no archive (EnsureQueue makes it)", driver.ErrNotSupported, b.q.name)
			}
		}
		ops.int(int64(b.settlements[i].Op))
		delays.int(micros(b.settlements[i].Delay))
		uncounted.bool(b.settlements[i].Uncounted)
	}
	return text, append(args, ops.String(), delays.String(), b.reasons(part), uncounted.String()), nil
}

// settled wakes those that wait for what s has made available: messages, or
// the rest of their groups.
func (p *Provider) settled(q *queue, s []driver.Settlement) {
	for _, name := range woken(q.name, s) {
		p.hub(name).inserted(p, false)
	}
	q.hub.wakeGroups()
}

// Extend sets vt, of leases that have not ended.
func (p *Provider) Extend(ctx context.Context, name string, rs []driver.Receipt, d time.Duration) error {
	at := p.forHeartbeats()
	q, err := p.attach(ctx, at, name)
	if err != nil {
		return err
	}
	first, s := leasesOf(rs)
	b := newBatch(q, s)
	for _, all := range b.parts {
		err := p.free(ctx, b, all, func(of *part) error {
			return p.runAt(ctx, at, callLimit, q, q.texts.extend, append(b.leases(of), micros(d)), b.failures(of))
		})
		if err != nil {
			return err
		}
	}
	if b.errs == nil {
		return nil
	}
	errs := make([]error, len(rs))
	for i := range rs {
		errs[i] = b.errs[first[i]]
	}
	return driver.Batch(errs)
}

// leasesOf returns settlements of which each has a receipt of its own, and which of them
// is that of each of rs: extensions of one lease are one.
func leasesOf(rs []driver.Receipt) (first []int, s []driver.Settlement) {
	first = make([]int, len(rs))
	places := make(map[driver.Receipt]int, len(rs))
	for i, r := range rs {
		at, known := places[r]
		if !known {
			at = len(s)
			places[r] = at
			s = append(s, driver.Settlement{Receipt: r, Op: driver.OpAck})
		}
		first[i] = at
	}
	return first, s
}

// batch is a Settle under way.
type batch struct {
	q           *queue
	settlements []driver.Settlement
	receipts    []receipt
	parts       []*part
	errs        []error // nil as long as nothing has failed
	twins       []twin
	locked      []int // items that others had locked when a statement last ran
	waits       bool  // it belongs to a caller's transaction
	revokes     bool  // it is an operator's
}

// text returns the statement that waits for locked messages, or does not.
func (b *batch) text(passing, waiting string) string {
	if b.waits {
		return waiting
	}
	return passing
}

// nack returns the statement for a part without archives.
func (b *batch) nack() string {
	if b.revokes {
		n := b.q.names
		n.Kept, n.Revokes = nil, true
		return statement("settle", n)
	}
	return b.text(b.q.texts.nack, b.q.texts.nackWaiting)
}

// part is what one statement does.
type part struct {
	op    driver.Op // OpAck if there is nothing else, OpMove, or 0 for a mixture
	to    string
	items []int // indexes of settlements
}

// twin is a settlement that an earlier one of the batch leaves nothing to settle.
type twin struct{ item, first int }

// newBatch fails what needs no statement to fail. Of two receipts of a message
// that could both take effect, which are equal or not fenced, the first wins.
func newBatch(q *queue, s []driver.Settlement) *batch {
	b := &batch{q: q, settlements: s, receipts: make([]receipt, len(s))}
	seen, unfenced := make(map[receipt]int, len(s)), make(map[int64]int) // where
	for i := range s {
		r, err := parseReceipt(q.name, s[i].Receipt)
		if err == nil && s[i].Op == driver.OpNack && s[i].Delay == driver.AtTimeout {
			continue
		}
		first, late := seen[r]
		if !late {
			first, late = unfenced[r.id]
		}
		switch {
		case err != nil:
			b.fail(i, err)
			continue
		case late:
			b.fail(i, overBy(s[first].Op))
			b.twins = append(b.twins, twin{i, first})
			continue
		case r.fence == byNone && slices.ContainsFunc(b.receipts[:i], func(o receipt) bool { return o.id == r.id }):
			b.fail(i, driver.ErrStaleReceipt)
			continue
		case r.fence == byNone:
			unfenced[r.id] = i
		}
		b.receipts[i], seen[r] = r, i
		b.add(i)
	}
	return b
}

// outcome returns the errors. What failed for the first of two twins fails for the other.
func (b *batch) outcome() error {
	for _, t := range b.twins {
		if err := b.errs[t.first]; err != nil {
			b.fail(t.item, err)
		}
	}
	return driver.Batch(b.errs)
}

// overBy returns what a settlement finds of a message whose lease another one has ended.
func overBy(op driver.Op) error {
	if op == driver.OpNack {
		return driver.ErrStaleReceipt
	}
	return driver.ErrMessageNotFound
}

func (b *batch) add(i int) {
	s := &b.settlements[i]
	op, to := s.Op, s.To
	if op != driver.OpMove {
		to = ""
	}
	for _, p := range b.parts {
		switch {
		case p.to != to || (p.op == driver.OpMove) != (op == driver.OpMove):
			continue
		case p.op != op:
			p.op = 0
		}
		p.items = append(p.items, i)
		return
	}
	if op == driver.OpNack || op == driver.OpArchive {
		op = 0
	}
	b.parts = append(b.parts, &part{op: op, to: to, items: []int{i}})
}

// leases returns the arrays that the fence compares with.
func (b *batch) leases(p *part) []any {
	var ids, reads, sent array
	for _, i := range p.items {
		ids.int(b.receipts[i].id)
		b.receipts[i].appendFence(&reads, &sent)
	}
	return []any{ids.String(), reads.String(), sent.String()}
}

// appendFence appends NULL for what is not compared.
func (r receipt) appendFence(reads, sent *array) {
	if r.fence == byNone {
		reads.null()
	} else {
		reads.int(int64(r.reads))
	}
	if r.fence == byLease {
		sent.int(r.sentAt)
	} else {
		sent.null()
	}
}

func (b *batch) reasons(p *part) string {
	var a array
	for _, i := range p.items {
		if reason := b.settlements[i].Reason; reason != "" {
			a.text(reason)
		} else {
			a.null()
		}
	}
	return a.String()
}

// failures reads which items of a part failed, counted from 1, and whether
// their messages are gone, or locked.
func (b *batch) failures(p *part) func(row) error {
	var i int
	var gone sql.NullBool
	return func(rows row) error {
		if err := rows.Scan(&i, &gone); err != nil {
			return err
		}
		switch item := p.items[i-1]; {
		case !gone.Valid:
			b.locked = append(b.locked, item)
		case gone.Bool:
			b.fail(item, driver.ErrMessageNotFound)
		default:
			b.fail(item, driver.ErrStaleReceipt)
		}
		return nil
	}
}

func (b *batch) fail(i int, err error) {
	if b.errs == nil {
		b.errs = make([]error, len(b.settlements))
	}
	b.errs[i] = err
}

func (b *batch) failAll(p *part, err error) {
	for _, i := range p.items {
		b.fail(i, err)
	}
}
