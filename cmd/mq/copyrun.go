package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// mover moves one queue.
type mover struct {
	copying
	app      *app
	from, to *mq.Queue
	rows     *rowCopier // set if both are PGMQ's
	bar      *progress  // set if several share it

	moved    int64
	doubtful int64               // of these it is not known whether they are in one queue or in both
	skipped  map[string]refused  // by id
	copies   map[string][32]byte // the first batch at the target, digests by id
	leased   time.Time           // when the first batch was, by the source's clock
	pager    pager
	told     bool // that it waits for leases
}

// run moves messages until there are no more, or with -follow until ctx ends,
// of which it returns the cause.
func (m *mover) run(ctx context.Context) error {
	if m.bar == nil {
		m.bar = m.app.newProgress(m.total(ctx), m.from.Name(), "messages")
		defer m.bar.end()
	}
	defer m.release(ctx)
	for last := time.Now(); ; {
		ds, err := m.receive(ctx)
		if len(ds) == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(ds, m.isCopy) {
			m.giveBack(ctx, ds)
			return usagef("%s: the target is the source by another name: its copies come back", m.from.Name())
		}
		if fresh := m.fresh(ds); len(fresh) > 0 {
			if err := m.move(ctx, fresh); err != nil {
				return err
			}
			last = time.Now()
			continue
		}
		if done, err := m.done(ctx, last); done || err != nil {
			return err
		}
	}
}

// total returns how many messages there are to move, -1 if that cannot be
// told.
func (m *mover) total(ctx context.Context) int64 {
	s, err := m.from.Stats(ctx)
	if err != nil || s.Total <= 0 {
		return -1
	}
	return s.Total
}

func (m *mover) receive(ctx context.Context) ([]*mq.Delivery, error) {
	wait := m.idle
	if m.follow {
		wait = mq.Forever
	}
	ds, err := m.from.Receive(ctx, mq.ReceiveOptions{Max: m.pager.limit(m.batch), Visibility: m.visibility, Wait: wait})
	m.pager.got(len(ds), size(ds))
	return ds, err
}

// refused is a message that the target has refused, with its newest lease. It
// may be large, so that the rest of it is not kept.
type refused struct {
	d      *mq.Delivery
	digest [32]byte
}

// fresh leaves out what has been refused before.
func (m *mover) fresh(ds []*mq.Delivery) (fresh []*mq.Delivery) {
	for _, d := range ds {
		id := m.knownAs(d)
		if id == "" {
			fresh = append(fresh, d)
			continue
		}
		delete(m.skipped, id)
		m.hold(d)
	}
	return fresh
}

// knownAs returns the id under which a message was refused, or "". On RabbitMQ
// one whose sender gave no message-id has another id each time: it is the one
// with the same content whose lease is over.
func (m *mover) knownAs(d *mq.Delivery) string {
	if len(m.skipped) == 0 {
		return ""
	}
	if _, ok := m.skipped[d.ID]; ok {
		return d.ID
	}
	content := contentOf(d)
	for id, r := range m.skipped {
		if r.digest == content && !time.Now().Before(r.d.VisibleAt) {
			return id
		}
	}
	return ""
}

// contentOf identifies what a message has in it.
func contentOf(d *mq.Delivery) [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %d %s", len(d.Group), d.Group, len(d.Body), d.Body)
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		fmt.Fprintf(h, "%d %s %d %s", len(name), name, len(d.Headers[name]), d.Headers[name])
	}
	return [32]byte(h.Sum(nil))
}

// done decides whether a queue that gave nothing is empty. It waits for what
// somebody has leased, a copy that was killed perhaps, for as long as a batch
// of this one is leased.
func (m *mover) done(ctx context.Context, last time.Time) (bool, error) {
	if m.follow {
		return false, nil
	}
	s, err := m.from.Stats(ctx)
	if err != nil {
		return false, cmp.Or(context.Cause(ctx), err)
	}
	pending := max(s.Visible, 0) + max(s.Blocked, 0) + max(s.Leased, 0) - int64(len(m.skipped))
	if pending > 0 && time.Since(last) < m.visibility+m.idle {
		if !m.told {
			m.told = true
			m.app.note("%s: waiting up to %v for %s that somebody has leased", m.from.Name(), m.visibility, plural(pending, "message"))
		}
		return false, nil
	}
	if m.delayed && s.Delayed > 0 {
		return false, nil
	}
	m.tellLeft(s, pending)
	return true, nil
}

// tellLeft tells what stays in the source.
func (m *mover) tellLeft(s mq.Stats, leased int64) {
	var left []string
	for _, part := range []struct {
		n    int64
		what string
	}{{leased, "leased by others"}, {s.Delayed, "delayed (-delayed waits for them)"}, {s.Archived, "archived"}} {
		if part.n > 0 {
			left = append(left, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if s.Delayed < 0 || s.Leased < 0 {
		left = append(left, "what is delayed or leased by others, which "+m.from.Client().Provider().Name()+" cannot count")
	}
	if len(left) > 0 {
		m.app.note("%s: left in the source: %s", m.from.Name(), strings.Join(left, ", "))
	}
}

// copyTime is how long the sends and settlements of one batch may take. No
// signal cuts them off.
const copyTime = time.Minute

// move sends a batch and deletes at the source what the target has stored. The
// rest is given back.
func (m *mover) move(ctx context.Context, ds []*mq.Delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTime)
	defer cancel()
	var stored, back []*mq.Delivery
	var refusals refusals
	var failure error
	for i, err := range m.send(ctx, ds) {
		switch d := ds[i]; {
		case err == nil:
			stored = append(stored, d)
		case errors.Is(err, mq.ErrMessageNotFound): // somebody else has had it
		case isRefusal(err):
			refusals.add(d.ID, oneLine(err))
			if m.skip {
				m.hold(d)
			} else {
				back = append(back, d)
			}
		default:
			if errors.Is(err, mq.ErrUnavailable) {
				m.doubtful++
			}
			failure = cmp.Or(failure, err)
			back = append(back, d)
		}
	}
	m.moved += int64(len(stored))
	m.bar.add(len(stored))
	failure = cmp.Or(m.ack(ctx, stored), failure)
	m.giveBack(ctx, back)
	switch {
	case len(refusals) == 0:
	case failure == nil && !m.skip:
		// Not wrapped: the command line was right.
		return fmt.Errorf("%s: %s (-skip goes on without them)", m.from.Name(), refusals)
	default:
		m.app.fault("%s: %s", m.from.Name(), refusals)
	}
	return failure
}

// refusals are the ids of messages that the target refuses, by reason.
type refusals []refusal

type refusal struct {
	why string
	ids []string
}

func (r *refusals) add(id, why string) {
	i := slices.IndexFunc(*r, func(o refusal) bool { return o.why == why })
	if i < 0 {
		i = len(*r)
		*r = append(*r, refusal{why: why})
	}
	(*r)[i].ids = append((*r)[i].ids, id)
}

func (r refusals) String() string {
	var texts []string
	for _, o := range r {
		texts = append(texts, fmt.Sprintf("%s refused by the target and left in the source, with id %s: %s",
			plural(int64(len(o.ids)), "message"), strings.Join(o.ids, ", "), o.why))
	}
	return strings.Join(texts, "; ")
}

// isRefusal reports whether err is about the message and not about the target.
func isRefusal(err error) bool {
	return errors.Is(err, mq.ErrInvalid) || errors.Is(err, mq.ErrNotSupported)
}

// send returns an error for each message that was not stored. If a batch is
// refused as a whole it finds out for which ones.
func (m *mover) send(ctx context.Context, ds []*mq.Delivery) []error {
	errs := make([]error, len(ds))
	ids, origins, err := m.store(ctx, ds)
	m.keep(ids, origins, ds)
	batch := (*mq.BatchError)(nil)
	switch {
	case err == nil:
	case errors.As(err, &batch) && len(batch.Errs) == len(ds):
		return batch.Errs
	case len(ds) > 1 && isRefusal(err):
		for i := range ds {
			errs[i] = m.send(ctx, ds[i:i+1])[0]
			if err := errs[i]; err != nil && !isRefusal(err) && !errors.Is(err, mq.ErrMessageNotFound) {
				return fill(errs, i, err)
			}
		}
	default:
		return fill(errs, 0, err)
	}
	return errs
}

// store stores a batch at the target. It returns the new ids, and the origins that
// the headers of the copies name.
func (m *mover) store(ctx context.Context, ds []*mq.Delivery) (ids, origins []string, err error) {
	if m.rows != nil {
		return m.sendRows(ctx, ds)
	}
	msgs := make([]*mq.Message, len(ds))
	for i, d := range ds {
		msgs[i] = m.message(d)
		origins = append(origins, msgs[i].Headers[headerCopiedFrom])
	}
	ids, err = m.to.SendAll(ctx, msgs)
	return ids, origins, err
}

// origin names a message of the source.
func (m *mover) origin(d *mq.Delivery) string {
	return m.from.Client().Provider().Name() + "/" + m.from.Name() + "/" + d.ID
}

// fill sets all errors from one on.
func fill(errs []error, from int, err error) []error {
	for i := from; i < len(errs); i++ {
		errs[i] = err
	}
	return errs
}

// message makes the copy of a message.
func (m *mover) message(d *mq.Delivery) *mq.Message {
	caps := m.to.Client().Caps()
	copied := &mq.Message{Body: d.Body, Headers: maps.Clone(d.Headers), Group: d.Group}
	if m.withoutGroups && !caps.Groups {
		copied.Group = ""
	}
	if !m.withoutOrigin && caps.Headers {
		if copied.Headers == nil {
			copied.Headers = make(mq.Headers, 1)
		}
		copied.Headers[headerCopiedFrom] = m.origin(d)
	}
	return copied
}

// ack deletes at the source what is at the target.
func (m *mover) ack(ctx context.Context, ds []*mq.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	err := settleAll(ctx, ds, mq.OpAck)
	if err == nil {
		return nil
	}
	lost, other := int64(0), error(nil)
	for i := range ds {
		switch err := itemError(err, i); {
		case errors.Is(err, mq.ErrStaleReceipt):
			lost++
		case err != nil:
			m.doubtful++
			other = cmp.Or(other, err)
		}
	}
	m.doubtful += lost
	if lost > 0 {
		m.app.fault("%s: the lease of %s ended before they were deleted (raise -visibility); header %s tells their copies", m.from.Name(), plural(lost, "message"), headerCopiedFrom)
	}
	return other
}

// itemError returns the error of item i of a batch that failed with err.
func itemError(err error, i int) error {
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) && i < len(batch.Errs) {
		return batch.Errs[i]
	}
	return err
}

// hold keeps a refused message leased, so that it does not come back at once.
func (m *mover) hold(d *mq.Delivery) {
	if m.skipped == nil {
		m.skipped = make(map[string]refused)
	}
	r := refused{d, contentOf(d)}
	d.Body, d.Headers = nil, nil
	m.skipped[d.ID] = r
}

// release gives back the messages that were refused.
func (m *mover) release(ctx context.Context) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	var held []*mq.Delivery
	for _, r := range m.skipped {
		held = append(held, r.d)
	}
	m.giveBack(ctx, held)
}

// giveBack makes messages visible again. Where that fails their leases end by
// themselves.
func (m *mover) giveBack(ctx context.Context, ds []*mq.Delivery) {
	for len(ds) > 0 {
		n := min(len(ds), m.batch)
		_ = settleAll(ctx, ds[:n], mq.OpNack)
		ds = ds[n:]
	}
}
