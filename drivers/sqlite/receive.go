package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// claimBytes is how much of bodies one receive leases, and a page of Browse shows;
// one message at least.
const claimBytes = 64 << 20

// Receive leases the messages that have been visible longest.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) (ds []driver.Delivery, err error) {
	return p.receive(ctx, name, r.Wait, demand{
		look: func(ctx context.Context) (chance, error) { return p.look(ctx, name) },
		claim: func(t *txn) ([]driver.Delivery, error) {
			return t.claim(name, r)
		},
	})
}

// demand is what a receiver wants.
type demand struct {
	// look returns whether claim would get something. It takes no lock: a receive
	// that gets nothing does not wait for the writer.
	look  func(context.Context) (chance, error)
	claim func(*txn) ([]driver.Delivery, error)

	removes bool // claim does more than to lease
}

// chance is what there is to receive.
type chance struct {
	now  bool
	next int64 // when there will be more, unless something happens, or 0
}

// receive meets a demand, now or within wait.
func (p *Provider) receive(ctx context.Context, name string, wait time.Duration, d demand) (ds []driver.Delivery, err error) {
	if err := p.ensureOpen(ctx); err != nil {
		return nil, err
	}
	until := time.Now().Add(wait)
	var woken <-chan struct{}
	if wait > 0 {
		var leave func()
		woken, leave = p.hub.subscribe(name)
		defer leave()
	}
	for {
		c, err := d.look(ctx)
		if err != nil {
			return nil, err
		}
		if c.now || c.next > 0 && c.next <= now() { // the look may have waited, with an old time
			write := p.writeLazily
			if d.removes {
				write = p.write
			}
			err := write(ctx, func(t *txn) (err error) {
				ds, err = d.claim(t)
				return err
			})
			if err != nil {
				return nil, err // what was claimed has been rolled back
			}
			if len(ds) > 0 {
				return ds, nil
			}
		}
		left := time.Until(until)
		if left <= 0 {
			return nil, nil
		}
		if err := p.await(ctx, woken, left, c); err != nil {
			return nil, err
		}
	}
}

// await waits until there may be something to receive, for d at most. A claim that
// got nothing although there was a chance is repeated at the next wake-up.
func (p *Provider) await(ctx context.Context, woken <-chan struct{}, d time.Duration, c chance) error {
	if c.next > 0 {
		d = min(d, max(0, time.Until(timeOf(c.next)))+time.Microsecond)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return driver.ErrClosed
	}
	return nil
}

// look looks for visible messages.
func (p *Provider) look(ctx context.Context, name string) (c chance, err error) {
	var found bool
	var next sql.NullInt64
	err = p.read(ctx, func(run driver.SQLTx) error {
		return query(ctx, run, into(&found, &c.now, &next), sqlLook, name, now())
	})
	if err == nil && !found {
		err = driver.ErrQueueNotFound
	}
	c.next = next.Int64
	return c, err
}

// claim leases visible messages.
func (t *txn) claim(name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	q, err := t.queue(name)
	if err != nil {
		return nil, err
	}
	due := later(t.now, r.Visibility)
	var counted bool
	var largest sql.NullInt64
	if err := t.query(into(&counted, &largest), sqlLargest, q.id, t.now, r.Max); err != nil || !largest.Valid {
		return nil, err
	}
	lease := newLease()
	text, args := sqlClaim, []any{q.id, t.now, due, r.Max, lease}
	if largest.Int64*int64(r.Max) > claimBytes {
		text, args = sqlClaimSome, append(args, claimBytes)
	}
	found, err := t.messages(text, args...)
	if err != nil {
		return nil, err
	}
	t.hide(q.id, due, true, int64(len(found)))
	return deliveries(name, q, found, due, lease)
}

// newLease returns the number of a lease: see receipt.
func newLease() int64 { return 1 + rand.Int64N(1<<leaseBits-1) }

// message is a row as a receiver needs it.
type message struct {
	id, reads, uncounted, answered, unanswered, sent, size int64

	group   sql.NullString
	headers sql.NullString
	body    []byte
	key     string // of the group, by the GroupBy of the receive
}

// messages returns the rows of a statement, the oldest first, with their bodies.
func (t *txn) messages(text string, args ...any) (found []message, err error) {
	err = t.query(func(rows *sql.Rows) error {
		var m message
		err := rows.Scan(&m.id, &m.reads, &m.uncounted, &m.answered, &m.unanswered, &m.sent, &m.size, &m.group, &m.headers, &m.body)
		found = append(found, m)
		return err
	}, text, args...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b message) int { return cmp.Compare(a.id, b.id) })
	for i := range found {
		if m := &found[i]; m.size > 0 && m.body == nil {
			var there bool
			if err := t.query(into(&there, &m.body), sqlBody, m.id); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// deliveries makes deliveries of rows that have a lease until due, or are popped if it
// is 0.
func deliveries(name string, q queueRow, found []message, due, lease int64) ([]driver.Delivery, error) {
	ds := make([]driver.Delivery, len(found))
	for i := range found {
		m, d := &found[i], &ds[i]
		var err error
		if d.Headers, err = parseHeaders(m.headers); err != nil {
			return nil, err
		}
		d.Body, d.Group, d.GroupKey = m.body, m.group.String, m.key
		d.ID = formatID(m.id)
		d.ReadCount = int(m.reads)
		d.Attempt = int(max(1, m.reads-m.uncounted))
		d.Unanswered = int(unanswered(m.unanswered, m.reads, m.answered))
		d.EnqueuedAt = timeOf(m.sent)
		if due != 0 {
			d.VisibleAt = timeOf(due)
			d.Receipt = receipt{numberOf(m.id), m.reads, lease, q.mark}.encode(name)
		}
	}
	return ds, nil
}

// unanswered returns how many attempts nobody has answered, not counting the last
// lease, since the last counted nack.
func unanswered(before, reads, answered int64) int64 { return max(0, before+reads-1-answered) }

func parseHeaders(text sql.NullString) (h driver.Headers, err error) {
	if !text.Valid || text.String == "{}" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(text.String), &h)
	return h, err
}

// Pop removes the messages that have been visible longest.
func (p *Provider) Pop(ctx context.Context, name string, limit int) ([]driver.Delivery, error) {
	return p.receive(ctx, name, 0, demand{
		look: func(ctx context.Context) (chance, error) { return p.look(ctx, name) },
		claim: func(t *txn) ([]driver.Delivery, error) {
			return t.pop(name, limit)
		},
		removes: true,
	})
}

func (t *txn) pop(name string, limit int) ([]driver.Delivery, error) {
	q, err := t.queue(name)
	if err != nil {
		return nil, err
	}
	found, err := t.messages(sqlPop, q.id, t.now, limit, claimBytes)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(found))
	for i := range found {
		ids[i] = found[i].id
	}
	if err := t.remove(q, ids, true); err != nil {
		return nil, err
	}
	t.freed(name, q)
	return deliveries(name, q, found, 0, 0)
}

// remove deletes messages, and their bodies unless they live on elsewhere.
func (t *txn) remove(q queueRow, ids []int64, bodies bool) error {
	if len(ids) == 0 {
		return nil
	}
	list := idList(ids)
	n, err := t.exec(sqlDelete, list)
	if err == nil && bodies {
		_, err = t.exec(sqlDeleteBodies, list)
	}
	t.counts.of(q.id).total -= n
	return err
}

// freed wakes the receivers of a queue by group: a settlement may have freed one.
func (t *txn) freed(name string, q queueRow) {
	if q.groupings > 0 {
		t.wake(name)
	}
}
