package pgmq

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// Receive claims messages with one statement. While it waits it holds no
// connection.
func (p *Provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	return p.receive(ctx, q, r.Wait, false, func(ctx context.Context) ([]driver.Delivery, error) {
		return p.take(ctx, q, r, func(ctx context.Context, r driver.ReceiveRequest, how look) (*leases, error) {
			return p.lease(ctx, q, r, how)
		})
	})
}

// lease runs the statement of Receive.
func (p *Provider) lease(ctx context.Context, q *queue, r driver.ReceiveRequest, how look) (*leases, error) {
	text := q.texts.claim
	if how != unmeasured {
		text = statement("claim", q.names.read(how))
	}
	s := &leases{unnoted: !q.names.Headers}
	err := p.run(ctx, q, text, []any{r.Max, micros(r.Visibility)}, func(rows row) error { return s.scan(rows, q.name) })
	return s, err
}

// claimGrace is how long a claim may go on when its caller's ctx has ended,
// since what it has leased would be lost until the timeout. claimLimit is for
// a server that does not answer.
const (
	claimGrace = time.Second
	claimLimit = 30 * time.Second
)

// lingering returns a ctx that outlives ctx by claimGrace, and ends for the same cause.
func lingering(ctx context.Context) (context.Context, func()) {
	c, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(claimGrace, func() { end(context.Cause(ctx)) }) })
	c, cancel := context.WithTimeout(c, claimLimit)
	return c, func() { stop(); cancel(); end(nil) }
}

// look is how a claim looks at what the messages hold.
type look int

const (
	unmeasured look = iota // it reads all of it, bounded by its size in the table
	measured               // the same, bounded by its printed size, too
	blind                  // it does not read it
)

// claiming leases messages, as many and for as long as a request says.
type claiming func(ctx context.Context, r driver.ReceiveRequest, how look) (*leases, error)

// take claims once, and returns what was leased, oldest first. A message that
// cannot be read does not keep the others back.
func (p *Provider) take(ctx context.Context, q *queue, r driver.ReceiveRequest, claim claiming) ([]driver.Delivery, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := lingering(ctx)
	defer cancel()
	r.Max = q.hub.intake.most(r.Max)
	if !q.hub.intake.wary() {
		start, how := time.Now(), q.hub.intake.look()
		s, err := claim(ctx, r, how)
		q.hub.intake.claimed(r.Max, len(s.found), time.Since(start), err)
		switch {
		case err == nil:
			left := s.split()
			if len(left) > 0 || how == measured && s.bytes >= claimBytes && len(s.found) < r.Max {
				q.hub.intake.full(len(s.found))
			}
			if len(left) > 0 {
				p.giveBack(ctx, q, left)
			}
			if len(left) > 0 && len(s.found) == 0 {
				return p.take(ctx, q, r, claim)
			}
			return s.deliveries(), nil
		case !unprintable(err):
			return nil, receiveError(err)
		}
	}
	return p.takeWarily(ctx, q, r, claim)
}

// leases reads rows of {{template "delivery"}}.
type leases struct {
	id            int64
	reads         int32
	sent, due     *time.Time // NULL where infinite
	body, headers []byte
	key           sql.NullString
	found         []found
	bytes         int    // of bodies and headers, except of those marked as left
	groupKey      string // the expression for a message's group, or ""
	unnoted       bool   // the queue has no headers, in which a nack could be noted
	deleted       bool   // by the statement, so that nothing can be left: it is measured, which bounds it
}

type found struct {
	id      int64
	left    bool // there was no room for its contents: it is given back
	unnoted bool // see leases
	driver.Delivery
}

// fill sets what the message holds.
func (f *found) fill(body, headers []byte) {
	var n notes
	f.Body = decodeBody(body)
	f.Headers, f.Group, n = decodeHeaders(headers)
	n = n.of(f.ReadCount)
	n.none = n.none || f.unnoted
	f.Attempt, f.Unanswered = max(1, n.attempt(f.ReadCount)), n.unanswered(f.ReadCount)
}

func (s *leases) scan(rows row, queue string, more ...any) error {
	s.sent, s.due, s.body, s.headers = nil, nil, nil, nil
	dest := [...]any{&s.id, &s.reads, &s.sent, &s.due, &s.body, &s.headers, nil}
	n := 6 + copy(dest[6:], more)
	if err := rows.Scan(dest[:n]...); err != nil {
		return err
	}
	d := driver.Delivery{
		ID:         strconv.FormatInt(s.id, 10),
		Receipt:    receiptOf(s.id, s.reads, s.sent).encode(queue),
		ReadCount:  int(s.reads),
		EnqueuedAt: timeOf(s.sent),
		VisibleAt:  timeOf(s.due),
	}
	if s.deleted {
		d.ReadCount, d.Receipt = d.ReadCount+1, ""
	}
	f := found{id: s.id, left: !s.deleted && s.bytes >= keptBytes, unnoted: s.unnoted, Delivery: d}
	if !f.left {
		f.fill(s.body, s.headers)
		s.bytes += len(s.body) + len(s.headers)
	}
	s.found = append(s.found, f)
	return nil
}

// split takes out the first message for which there was no room, and all that come
// after it, so that no younger message of its group is handed out.
func (s *leases) split() (left []found) {
	slices.SortFunc(s.found, func(a, b found) int { return cmp.Compare(a.id, b.id) })
	first := slices.IndexFunc(s.found, func(f found) bool { return f.left })
	if first >= 0 {
		left, s.found = s.found[first:], s.found[:first]
	}
	return left
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// receiptOf returns the receipt of a lease. Other programs may write times
// that are infinite, or too far away for the arithmetic of the fence.
func receiptOf(id int64, reads int32, sent *time.Time) receipt {
	us := timeOf(sent).UnixMicro()
	if sent == nil || us != int64(float64(us)) {
		return receipt{id: id, fence: byReads, reads: reads}
	}
	return receipt{id: id, reads: reads, sentAt: us}
}

func (s *leases) deliveries() []driver.Delivery {
	ds := make([]driver.Delivery, len(s.found))
	for i := range s.found {
		ds[i] = s.found[i].Delivery
	}
	return ds
}

// Pop claims and deletes with one statement.
func (p *Provider) Pop(ctx context.Context, name string, limit int) ([]driver.Delivery, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	ds, err := p.take(ctx, q, driver.ReceiveRequest{Max: limit}, func(ctx context.Context, r driver.ReceiveRequest, how look) (*leases, error) {
		if how == blind { // what cannot be read must not be deleted
			return p.lease(ctx, q, r, blind)
		}
		s := &leases{deleted: true, unnoted: !q.names.Headers}
		return s, p.run(ctx, q, q.texts.pop, []any{r.Max}, func(rows row) error { return s.scan(rows, q.name) })
	})
	if err == nil {
		ds, err = p.popped(ctx, q, ds)
	}
	for i := range ds {
		ds[i].Receipt, ds[i].VisibleAt = "", time.Time{}
	}
	return ds, err
}

// popped deletes what was only leased, and returns what was there to be
// deleted.
func (p *Provider) popped(ctx context.Context, q *queue, ds []driver.Delivery) ([]driver.Delivery, error) {
	if len(ds) == 0 || ds[0].Receipt == "" {
		return ds, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	acks := make([]driver.Settlement, len(ds))
	for i := range ds {
		acks[i] = driver.Settlement{Receipt: ds[i].Receipt, Op: driver.OpAck}
	}
	err := p.Settle(ctx, q.name, acks)
	if batch := (*driver.BatchError)(nil); err != nil && !errors.As(err, &batch) {
		return nil, err // they may be deleted
	}
	return without(ds, err), nil
}

// without returns ds without those that a call on their receipts failed for.
func without(ds []driver.Delivery, err error) []driver.Delivery {
	var batch *driver.BatchError
	switch {
	case err == nil:
		return ds
	case !errors.As(err, &batch):
		return nil
	}
	kept := ds[:0]
	for i := range ds {
		if batch.Errs[i] == nil {
			kept = append(kept, ds[i])
		}
	}
	return kept
}
