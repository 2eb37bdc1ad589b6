package drivertest

import (
	"errors"
	"math"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var leaseCases = []testCase{
	{name: "lease/hidden", rule: "a leased message is hidden until its visibility timeout, and then comes again", run: leaseHidden},
	{name: "lease/redelivered", rule: "ID, EnqueuedAt, body and headers survive redelivery, and the read count grows by one (rule 4)", run: leaseRedelivered},
	{name: "lease/read-counts", rule: "the read count grows by one per lease (rule 4)", run: leaseReadCounts},
	{name: "lease/short", rule: "durations work down to Caps.Resolution (rule 4)", run: leaseShort},
	{name: "lease/several", rule: "each message of a batch comes back when its own lease ends", run: leaseSeveral},
	{name: "lease/limit", rule: "a lease above MaxVisibility or MaxHold is ErrInvalid, and one of that length works", needs: leaseLimit, run: leaseLimits},
	{name: "lease/longest", rule: "without MaxVisibility and MaxHold a lease may be as long as a Duration can be", needs: lacks(leaseLimit, "MaxVisibility and MaxHold"), run: leaseLongest},
	{name: "lease/extend", rule: "Extend keeps a message hidden beyond its first timeout", run: leaseExtend},
	{name: "lease/extend-from-now", rule: "Extend counts from now, not from the end of the lease (rule 4)", run: leaseExtendFromNow},
	{name: "lease/extend-shortens", rule: "an extension may also shorten a lease", run: leaseExtendShortens},
	{name: "lease/extend-twins", rule: "receipts that repeat in an Extend have the same answer, so that several callers may extend one lease", needs: batches, run: leaseExtendTwins},
	{name: "lease/extend-range", rule: "an extension by nothing or less is ErrInvalid, and the lease stands", run: leaseExtendRange},
	{name: "lease/extend-late", rule: "extending after the timeout is always stale (rule 2)", run: leaseExtendLate},
	{name: "lease/extend-batch", rule: "in a batch of extensions the rest takes effect (rule 1)", needs: batches, run: leaseExtendBatch},
	{name: "lease/extend-keeps-count", rule: "an extension is not a read (rule 4)", run: leaseExtendKeepsCount},
	{name: "lease/late-ack", rule: "after the timeout and before redelivery an ack succeeds under Caps.LateSettle, and else is stale (rule 2)", run: lateSettle(mq.OpAck)},
	{name: "lease/late-nack", rule: "after the timeout and before redelivery a nack succeeds under Caps.LateSettle, and else is stale (rule 2)", run: lateSettle(mq.OpNack)},
	{name: "lease/late-archive", rule: "after the timeout and before redelivery an archive succeeds under Caps.LateSettle, and else is stale (rule 2)", run: lateSettle(mq.OpArchive)},
}

func leaseHidden(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	v := 4 * t.unit
	d, leased := t.lease(q, v)
	if d.ID != id {
		t.Errorf("received message %s, sent %s", d.ID, id)
	}
	t.hidden(q, leased.from.Add(v), "it is leased")
	t.comesBack(q, id, leased.plus(v))
	t.none(q, "it is leased again")
}

func leaseRedelivered(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte(`{"n":1}`)}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "v"}
	}
	id := t.post(q, m)[0]
	v := 2 * t.unit
	first, leased := t.lease(q, v)
	t.reads(first.ReadCount, 1)
	again := t.comesBack(q, id, leased.plus(v))
	t.reads(again.ReadCount, 2)
	t.sameMessage(again.Message, m)
	if !again.EnqueuedAt.Equal(first.EnqueuedAt) {
		t.Errorf("EnqueuedAt changed from %v to %v", first.EnqueuedAt, again.EnqueuedAt)
	}
	if again.Receipt == first.Receipt {
		t.Error("two leases have one receipt")
	}
}

func leaseReadCounts(t *tester) {
	q := t.queue()
	t.send(q, "read often")
	for n := 1; n <= 5; n++ {
		d := t.one(q)
		t.reads(d.ReadCount, n)
		t.ok(d.Nack(t.ctx, 0), "nack")
	}
}

func leaseShort(t *tester) {
	q := t.queue()
	v := max(20*time.Millisecond, t.caps.Resolution)
	id := t.send(q, "leased")[0]
	_, leased := t.lease(q, v)
	d := t.comesBack(q, id, leased.plus(v))
	extended := timed(func() { t.ok(d.Extend(t.ctx, v), "extend") })
	t.comesBack(q, id, extended.plus(v))
}

func leaseSeveral(t *tester) {
	q := t.queue()
	ids := t.send(q, "long", "short")
	first := t.one(q)
	short := ids[1]
	if first.ID == ids[1] {
		short = ids[0]
	}
	v := 3 * t.unit
	_, leased := t.lease(q, v)
	t.comesBack(q, short, leased.plus(v))
	t.none(q, "the first lease is long")
	t.ok(first.Ack(t.ctx), "ack within the long lease")
}

func leaseLimits(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	limit := t.caps.MaxVisibility
	if limit == 0 || t.caps.MaxHold > 0 && t.caps.MaxHold < limit {
		limit = t.caps.MaxHold
	}
	_, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: limit + 1})
	t.is(err, "Receive above the limit", mq.ErrInvalid)
	d, _ := t.lease(q, limit)
	t.reads(d.ReadCount, 1)
	t.is(d.Extend(t.ctx, limit+1), "Extend above the limit", mq.ErrInvalid)
	t.none(q, "it is leased for as long as is possible")
	t.ok(d.Ack(t.ctx), "ack")
}

func leaseLongest(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d, _ := t.lease(q, math.MaxInt64)
	t.none(q, "it is leased for as long as can be said")
	t.ok(d.Extend(t.ctx, math.MaxInt64), "extend")
	t.none(q, "it is leased for as long as can be said")
	t.ok(d.Ack(t.ctx), "ack")
	t.counted(q, counts{})
}

func leaseExtend(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	v := 10 * t.unit
	d, leased := t.lease(q, v)
	var extended span
	t.before(leased.from.Add(v), func(t *tester) {
		extended = timed(func() { t.ok(d.Extend(t.ctx, 2*v), "extend") })
	})
	t.expire(leased.plus(v))
	t.hidden(q, extended.from.Add(2*v), "its lease was extended")
	t.comesBack(q, id, extended.plus(2*v))
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), "ack after the extended lease, and a new one")
}

func leaseExtendFromNow(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	d, _ := t.lease(q, t.long)
	v := 4 * t.unit
	t.sleep(2 * t.unit)
	extended := timed(func() { t.ok(d.Extend(t.ctx, v), "extend") })
	t.comesBack(q, id, extended.plus(v))
}

func leaseExtendShortens(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	d := t.one(q)
	shortened := timed(func() { t.ok(q.Extend(t.ctx, t.unit, d.Receipt), "extend") })
	t.reads(t.comesBack(q, id, shortened.plus(t.unit)).ReadCount, 2)
}

func leaseExtendTwins(t *tester) {
	q := t.queue()
	t.send(q, "leased", "over")
	ds := t.receive(q, 2)
	t.ok(ds[1].Ack(t.ctx), "ack")
	stands, over := ds[0].Receipt, ds[1].Receipt
	err := t.p.Extend(t.ctx, q.Name(), []driver.Receipt{stands, over, stands, over}, t.long)
	batch := (*driver.BatchError)(nil)
	if !errors.As(err, &batch) || len(batch.Errs) != 4 || batch.Errs[0] != nil || batch.Errs[2] != nil {
		t.Fatalf("extension of a lease and one that is over, each twice: %v, want errors of the latter", err)
	}
	t.dead(batch.Errs[1], "extend")
	t.dead(batch.Errs[3], "extend")
	t.together(8, func(int) error { return ds[0].Extend(t.ctx, t.long) })
	t.ok(ds[0].Ack(t.ctx), "ack of a lease that many have extended at once")
}

func leaseExtendRange(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	for _, v := range []time.Duration{0, -1, -time.Hour} {
		t.is(d.Extend(t.ctx, v), "extend by "+v.String(), mq.ErrInvalid)
		t.is(q.Extend(t.ctx, v, d.Receipt), "Queue.Extend by "+v.String(), mq.ErrInvalid)
	}
	t.none(q, "the lease stands")
	t.ok(d.Ack(t.ctx), "ack")
}

func leaseExtendLate(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.expire(leased.plus(v))
	t.stale(q.Extend(t.ctx, t.long, d.Receipt), "extend after the timeout")
	t.stale(d.Extend(t.ctx, t.long), "Delivery.Extend after the timeout")
	if again := t.one(q); again.ID != id {
		t.Errorf("received message %s, want %s", again.ID, id)
	}
}

func leaseExtendBatch(t *tester) {
	q := t.queue()
	t.post(q, numbered(4)...)
	ds := t.receive(q, 4)
	t.ok(ds[1].Ack(t.ctx), "ack")
	rs := receiptsOf(ds)
	rs[2] = "garbage"
	err := t.p.Extend(t.ctx, q.Name(), rs, t.unit)
	t.batchErrors(err, nil, mq.ErrStaleReceipt, mq.ErrInvalidReceipt, nil)
	back := idsOf(t.receive(q, 2))
	for _, d := range []*mq.Delivery{ds[0], ds[3]} {
		if back[0] != d.ID && back[1] != d.ID {
			t.Errorf("message %s did not come back after its lease was shortened", d.ID)
		}
	}
	t.none(q, "the third one's lease was not touched")
}

func leaseExtendKeepsCount(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	for range 3 {
		t.ok(d.Extend(t.ctx, t.long), "extend")
	}
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.reads(t.one(q).ReadCount, 2)
}

// lateSettle returns the case of one operation after the timeout.
func lateSettle(op driver.Op) func(t *tester) {
	return func(t *tester) {
		q := t.queue()
		id := t.send(q, "leased")[0]
		v := 2 * t.unit
		d, leased := t.lease(q, v)
		t.expire(leased.plus(v))
		err := q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: op, Reason: "late"})
		if !t.caps.LateSettle {
			t.stale(err, "late "+op.String())
		} else if err != nil {
			t.Errorf("late %v: %v", op, err)
		}
		if t.caps.LateSettle && op != mq.OpNack {
			t.none(q, "the late settlement succeeded")
			return
		}
		if again := t.one(q); again.ID != id {
			t.Errorf("received message %s, want %s", again.ID, id)
		}
	}
}
