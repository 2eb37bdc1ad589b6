package drivertest

import (
	"errors"
	"slices"
	"strings"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var settleCases = []testCase{
	{name: "settle/ack", rule: "an acked message is gone", run: settleAck},
	{name: "settle/ack-batch", rule: "a batch of settlements may hold every operation", run: settleAckBatch},
	{name: "settle/ack-twice", rule: "a successful settlement ends the lease (rule 2), and a message that is gone is ErrStaleReceipt (rule 1)", run: settleAckTwice},
	{name: "settle/split", rule: "a batch of settlements above MaxBatch is carried out in parts", run: settleSplit},
	{name: "settle/twin-nacks", rule: "of two nacks of one receipt in a batch one wins, the other is stale, and the message is there once; both find none that is gone", needs: batches, run: settleTwinNacks},
	{name: "settle/duplicates", rule: "receipts in a batch may repeat, and then one of them wins", needs: batches, run: settleDuplicates},
	{name: "settle/no-operation", rule: "a settlement without an operation is ErrInvalid, and the lease stands", run: settleNoOperation},
	{name: "settle/uncounted", rule: "only a nack can be uncounted: another settlement is ErrInvalid, and the lease stands", run: settleUncounted},
	{name: "settle/nothing", rule: "settling nothing is no error", run: settleNothing},
	{name: "settle/others-stay", rule: "a settlement has no effect on other messages", run: settleOthersStay},
}

func settleAck(t *tester) {
	q := t.queue()
	t.send(q, "acked")
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.before(leased.from.Add(v), func(t *tester) { t.ok(d.Ack(t.ctx), "ack") })
	t.expire(leased.plus(v))
	t.none(q, "it was acked")
	t.counted(q, counts{})
}

func settleAckBatch(t *tester) {
	q := t.queue()
	t.post(q, numbered(4)...)
	ds := t.receive(q, 4)
	batch := each(ds, mq.Settlement{Op: mq.OpAck})
	batch[1].Op = mq.OpNack
	batch[2].Op, batch[2].Reason = mq.OpArchive, "one of a batch"
	t.ok(q.Settle(t.ctx, batch...), "Settle")
	if d := t.one(q); d.ID != ds[1].ID {
		t.Errorf("received message %s, want %s that was nacked", d.ID, ds[1].ID)
	}
	t.none(q, "the others were acked or archived")
	t.counted(q, counts{leased: 1, archived: 1})
}

func settleAckTwice(t *tester) {
	for _, op := range []driver.Op{mq.OpAck, mq.OpArchive} {
		q := t.queue()
		t.send(q, "settled once")
		d := t.one(q)
		t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: op}), "first %v", op)
		for _, again := range []driver.Op{mq.OpAck, mq.OpNack, mq.OpArchive} {
			t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: again}), again.String()+" after "+op.String())
		}
		t.stale(q.Extend(t.ctx, t.long, d.Receipt), "extend after "+op.String())
		t.none(q, "it was settled")
		archived := int64(0)
		if op == mq.OpArchive {
			archived = 1
		}
		t.counted(q, counts{archived: archived})
	}
}

func settleSplit(t *tester) {
	q := t.boundedQueue()
	n := t.caps.BatchLimit() + 3
	t.post(q, numbered(n)...)
	ds := t.receive(q, n)
	t.ok(q.Extend(t.ctx, t.long, receiptsOf(ds)...), "Extend of %d", n)
	t.ok(q.Settle(t.ctx, each(ds, mq.Settlement{Op: mq.OpAck})...), "Settle of %d", n)
	t.none(q, "all were acked")
	t.counted(q, counts{})
}

func settleDuplicates(t *tester) {
	for _, other := range []driver.Op{mq.OpAck, mq.OpArchive, mq.OpNack} {
		q := t.queue()
		t.send(q, "settled twice in one batch")
		d := t.one(q)
		err := t.p.Settle(t.ctx, q.Name(), []driver.Settlement{
			{Receipt: d.Receipt, Op: mq.OpAck},
			{Receipt: d.Receipt, Op: other, Reason: "duplicate"},
		})
		batch := (*driver.BatchError)(nil)
		if !errors.As(err, &batch) || len(batch.Errs) != 2 || (batch.Errs[0] == nil) == (batch.Errs[1] == nil) {
			t.Errorf("ack and %v of one receipt in a batch returned %v, want a *BatchError with one error", other, err)
			continue
		}
		t.stale(errors.Join(batch.Errs...), "the loser of two settlements")
		switch won := batch.Errs[1] == nil; {
		case won && other == mq.OpNack:
			t.one(q)
		case won && other == mq.OpArchive:
			t.counted(q, counts{archived: 1})
		default:
			t.counted(q, counts{})
			t.none(q, "the ack won")
		}
	}
}

func settleTwinNacks(t *tester) {
	q := t.queue()
	t.send(q, "nacked twice")
	d := t.one(q)
	nack := driver.Settlement{Receipt: d.Receipt, Op: mq.OpNack}
	err := t.p.Settle(t.ctx, q.Name(), []driver.Settlement{nack, nack})
	batch := (*driver.BatchError)(nil)
	if !errors.As(err, &batch) || len(batch.Errs) != 2 || (batch.Errs[0] == nil) == (batch.Errs[1] == nil) {
		t.Fatalf("two nacks of one receipt returned %v, want a *BatchError with one error", err)
	}
	if err = errors.Join(batch.Errs...); !errors.Is(err, mq.ErrStaleReceipt) || errors.Is(err, mq.ErrMessageNotFound) {
		t.Errorf("the loser of two nacks: %v, want ErrStaleReceipt: the message is there", err)
	}
	last := t.one(q)
	t.none(q, "there is one message")
	t.ok(last.Ack(t.ctx), "ack")
	nack.Receipt = last.Receipt
	err = t.p.Settle(t.ctx, q.Name(), []driver.Settlement{nack, nack})
	if !errors.As(err, &batch) || len(batch.Errs) != 2 || errors.Is(batch.Errs[0], mq.ErrMessageNotFound) != errors.Is(batch.Errs[1], mq.ErrMessageNotFound) {
		t.Errorf("two nacks of a message that is gone returned %v, want the same error twice", err)
	}
}

func settleNoOperation(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	for _, op := range []driver.Op{0, -1, mq.OpMove + 1} {
		t.is(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: op}), "Settle with "+op.String(), mq.ErrInvalid)
	}
	t.is(d.Archive(t.ctx, "a\x00b"), "archive with a NUL in the reason", mq.ErrInvalid)
	t.is(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Reason: "\xff"}), "nack with a reason that is not UTF-8", mq.ErrInvalid)
	t.none(q, "the lease stands")
	t.ok(d.Ack(t.ctx), "ack")
}

func settleUncounted(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	for _, op := range []driver.Op{mq.OpAck, mq.OpArchive} {
		t.is(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: op, Uncounted: true}), "uncounted "+op.String(), mq.ErrInvalid)
	}
	t.none(q, "the lease stands")
	t.ok(d.Ack(t.ctx), "ack")
}

func settleNothing(t *tester) {
	q := t.queue()
	t.ok(q.Settle(t.ctx), "Settle of nothing")
	t.ok(q.Extend(t.ctx, t.long), "Extend of nothing")
}

func settleOthersStay(t *tester) {
	q := t.queue()
	ids := t.post(q, numbered(10)...)
	ds := t.receive(q, 5)
	t.ok(q.Settle(t.ctx, each(ds[:2], mq.Settlement{Op: mq.OpAck})...), "Settle")
	t.counted(q, counts{visible: 5, leased: 3})
	rest := t.receive(q, 5)
	t.none(q, "three are leased")
	all := append(idsOf(ds), idsOf(rest)...)
	slices.Sort(all)
	if want := slices.Sorted(slices.Values(ids)); !slices.Equal(all, want) {
		t.Errorf("received ids %s, want %s", all, want)
	}
}

var nackCases = []testCase{
	{name: "nack/now", rule: "a nacked message is visible at once, with a read count one higher on the next read", run: nackNow},
	{name: "nack/delay", rule: "Caps.Delay: a nack with a delay hides the message for that long", needs: delays, run: nackDelay},
	{name: "nack/delay-limits", rule: "a nack with a negative delay, or one above MaxDelay, is ErrInvalid, and the lease stands", run: nackDelayLimits},
	{name: "nack/at-timeout", rule: "a nack with AtTimeout leaves the message to its visibility timeout", run: nackAtTimeout},
	{name: "nack/at-timeout-bad", rule: "a nack with AtTimeout needs no I/O, but a receipt that is known to be wrong without any is still an error", run: nackAtTimeoutBad},
	{name: "nack/order", rule: "Caps.Order: a nacked message goes behind those that wait (due), or in front of younger ones (id)", needs: ordered, run: nackOrder},
	{name: "nack/many", rule: "of 100 messages nacked at once each is delivered again, once", run: nackMany},
}

func nackNow(t *tester) {
	q := t.queue()
	id := t.send(q, "nacked")[0]
	d := t.one(q)
	t.sleep(t.unit / 4)
	when := timed(func() { t.ok(d.Nack(t.ctx, 0), "nack") })
	again := t.comesBack(q, id, when)
	t.reads(again.ReadCount, 2)
	if !again.EnqueuedAt.Equal(d.EnqueuedAt) {
		t.Errorf("EnqueuedAt changed from %v to %v", d.EnqueuedAt, again.EnqueuedAt)
	}
}

func nackDelay(t *tester) {
	q := t.queue()
	id := t.send(q, "nacked")[0]
	d := t.one(q)
	delay := 4 * t.unit
	when := timed(func() { t.ok(d.Nack(t.ctx, delay), "nack") }).plus(delay)
	t.hidden(q, when.from, "it was nacked with a delay")
	t.reads(t.comesBack(q, id, when).ReadCount, 2)
}

func nackDelayLimits(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	t.is(d.Nack(t.ctx, -1), "nack with a negative delay", mq.ErrInvalid)
	if limit := t.caps.MaxDelay; limit > 0 {
		t.is(d.Nack(t.ctx, limit+1), "nack with a delay above MaxDelay", mq.ErrInvalid, mq.ErrNotSupported)
	}
	t.none(q, "the lease stands")
	t.ok(d.Ack(t.ctx), "ack")
}

func nackAtTimeout(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	v := 4 * t.unit
	d, leased := t.lease(q, v)
	t.before(leased.from.Add(v), func(t *tester) {
		t.ok(d.Nack(t.ctx, mq.AtTimeout), "nack")
		t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Delay: mq.AtTimeout}), "Settle with AtTimeout")
	})
	t.reads(t.comesBack(q, id, leased.plus(v)).ReadCount, 2)
}

func nackAtTimeoutBad(t *tester) {
	q := t.queue()
	for _, r := range garbage {
		err := q.Settle(t.ctx, mq.Settlement{Receipt: r, Op: mq.OpNack, Delay: mq.AtTimeout})
		t.is(err, "nack with AtTimeout of a malformed receipt", mq.ErrInvalidReceipt)
	}
}

func nackOrder(t *tester) {
	q := t.queue()
	ids := t.send(q, "first", "second", "third")
	d := t.one(q)
	t.sleep(t.unit/4 + t.caps.Resolution) // so that "now" is after the sends by any clock
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.sleep(t.unit/4 + t.caps.Resolution)
	want := []string{ids[1], ids[2], ids[0]}
	if t.caps.Order == driver.OrderID {
		want = ids
	}
	var got []string
	for range ids {
		got = append(got, t.one(q).ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("after a nack of the first of %s received %s, want %s", ids, got, want)
	}
}

func nackMany(t *tester) {
	q := t.queue()
	msgs := numbered(100)
	ids := t.post(q, msgs...)
	ds := t.receive(q, 100)
	t.ok(q.Settle(t.ctx, each(ds, mq.Settlement{Op: mq.OpNack})...), "Settle")
	again := t.receive(q, 100)
	t.sameSet(again, ids, msgs)
	for _, d := range again {
		t.reads(d.ReadCount, 2)
	}
	t.none(q, "each has been delivered again")
}

var receiptCases = []testCase{
	{name: "receipt/garbage", rule: "a malformed receipt is ErrInvalidReceipt (rule 1)", run: receiptGarbage},
	{name: "receipt/damaged", rule: "a damaged receipt has no effect (rule 1)", run: receiptDamaged},
	{name: "receipt/other-queue", rule: "a receipt of another queue is ErrInvalidReceipt, and has no effect (rule 1)", run: receiptOtherQueue},
	{name: "receipt/portable", rule: "Caps.PortableReceipts: a receipt works on another client (rule 1)", needs: portable, run: receiptPortable},
	{
		name: "receipt/not-portable", rule: "without Caps.PortableReceipts a receipt of another client is stale (rule 1)",
		needs: all(shared, lacks(portable, "Caps.PortableReceipts")), run: receiptNotPortable,
	},
	{name: "receipt/after-close", rule: "Caps.PortableReceipts: a receipt works after its client was closed (rule 1)", needs: portable, run: receiptAfterClose},
}

var garbage = []mq.Receipt{
	"", " ", "garbage", "null", "\x00", "日本", "{}", "';drop table q;--", "////", "::::",
	mq.Receipt(strings.Repeat("x", 5000)),
}

func receiptGarbage(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	for _, r := range garbage {
		for _, op := range []driver.Op{mq.OpAck, mq.OpNack, mq.OpArchive} {
			t.is(q.Settle(t.ctx, mq.Settlement{Receipt: r, Op: op}), op.String()+" with a malformed receipt", mq.ErrInvalidReceipt)
		}
		t.is(q.Extend(t.ctx, t.long, r), "extend with a malformed receipt", mq.ErrInvalidReceipt)
	}
	t.unharmed(q, d)
}

func receiptDamaged(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	r := string(d.Receipt)
	flipped := []byte(r)
	flipped[0] ^= 1
	for _, damaged := range []string{r[:len(r)/2], r[:len(r)-1], r + "0", r + " ", " " + r, r + r, string(flipped), "0" + r} {
		t.dead(q.Settle(t.ctx, mq.Settlement{Receipt: mq.Receipt(damaged), Op: mq.OpAck}), "ack with a damaged receipt")
		t.dead(q.Extend(t.ctx, t.long, mq.Receipt(damaged)), "extend with a damaged receipt")
	}
	t.unharmed(q, d)
}

func receiptOtherQueue(t *tester) {
	a, b := t.queue(), t.queue()
	t.send(a, "of a")
	t.send(b, "of b")
	da, db := t.one(a), t.one(b)
	for _, op := range []driver.Op{mq.OpAck, mq.OpNack, mq.OpArchive} {
		err := b.Settle(t.ctx, mq.Settlement{Receipt: da.Receipt, Op: op})
		t.is(err, op.String()+" with a receipt of another queue", mq.ErrInvalidReceipt)
	}
	t.is(b.Extend(t.ctx, t.unit, da.Receipt), "extend with a receipt of another queue", mq.ErrInvalidReceipt)
	t.unharmed(b, db)
	t.unharmed(a, da)
}

func receiptPortable(t *tester) {
	q := t.queue()
	t.post(q, numbered(3)...)
	ds := t.receive(q, 3)
	other := t.again().Queue(q.Name())
	t.ok(other.Extend(t.ctx, t.long, ds[0].Receipt), "extend on another client")
	t.ok(other.Settle(t.ctx, mq.Settlement{Receipt: ds[0].Receipt, Op: mq.OpAck}), "ack on another client")
	t.ok(other.Settle(t.ctx, mq.Settlement{Receipt: ds[1].Receipt, Op: mq.OpNack}), "nack on another client")
	t.stale(other.Settle(t.ctx, mq.Settlement{Receipt: ds[0].Receipt, Op: mq.OpAck}), "second ack on another client")
	if d := t.one(q); d.ID != ds[1].ID {
		t.Errorf("received message %s, want %s that another client nacked", d.ID, ds[1].ID)
	}
	t.none(q, "the first was acked, the third is leased")
}

func receiptNotPortable(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	other := t.again().Queue(q.Name())
	t.stale(other.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), "ack on another client")
	t.stale(other.Extend(t.ctx, t.long, d.Receipt), "extend on another client")
	t.unharmed(q, d)
}

func receiptAfterClose(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	holder := t.again()
	d := t.one(holder.Queue(q.Name()))
	t.ok(holder.Close(), "Close of the holder's client")
	t.none(q, "its lease stands")
	t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), "ack on another client")
	t.counted(q, counts{})
}
