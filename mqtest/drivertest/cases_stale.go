package drivertest

import (
	"errors"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// staleCases: what a worker whose lease is over can no longer do.
var staleCases = []testCase{
	{name: "stale/ack", rule: staleRule, run: staleSettle(mq.Settlement{Op: mq.OpAck})},
	{name: "stale/nack", rule: staleRule, run: staleSettle(mq.Settlement{Op: mq.OpNack})},
	{name: "stale/nack-delayed", rule: staleRule, needs: delays, run: staleNackDelayed},
	{name: "stale/archive", rule: staleRule, run: staleSettle(mq.Settlement{Op: mq.OpArchive, Reason: "stale"})},
	{name: "stale/move", rule: staleRule, needs: moves, run: staleMove},
	{name: "stale/extend", rule: staleRule, run: staleExtend},
	{name: "stale/after-nack", rule: "after a nack and a new lease the old receipt is ErrStaleReceipt and has no effect (rule 1)", run: staleAfterNack},
	{name: "stale/settled-by-other", rule: "acting on a message that another holder has settled is ErrStaleReceipt (rule 1)", run: staleSettledByOther},
	{name: "stale/nack-fences", rule: "Caps.NackFences: after a nack its receipt is stale at once", run: staleNackFences},
	{name: "stale/batch", rule: "in a batch with stale receipts the rest takes effect (rule 1)", needs: batches, run: staleBatch},
}

const staleRule = "acting on a message that has been leased again is ErrStaleReceipt and has no effect (rule 1)"

// lost returns a lease that is over and the one that another holder has now.
func (t *tester) lost(q *mq.Queue) (old, now *mq.Delivery) {
	t.Helper()
	id := t.send(q, "whose is it")[0]
	v := 2 * t.unit
	old, leased := t.lease(q, v)
	return old, t.comesBack(q, id, leased.plus(v))
}

// unharmed checks that nothing has happened to a lease.
func (t *tester) unharmed(q *mq.Queue, d *mq.Delivery) {
	t.Helper()
	t.none(q, "another holder has it")
	t.counted(q, counts{leased: 1})
	t.ok(d.Extend(t.ctx, t.long), "extend by the holder")
	t.ok(d.Ack(t.ctx), "ack by the holder")
	t.counted(q, counts{})
}

func staleSettle(s mq.Settlement) func(t *tester) {
	return func(t *tester) { t.staleSettle(t.queue(), s) }
}

func (t *tester) staleSettle(q *mq.Queue, s mq.Settlement) {
	t.Helper()
	old, now := t.lost(q)
	s.Receipt = old.Receipt
	t.stale(q.Settle(t.ctx, s), s.Op.String()+" with a stale receipt")
	t.unharmed(q, now)
}

func staleNackDelayed(t *tester) {
	t.staleSettle(t.queue(), mq.Settlement{Op: mq.OpNack, Delay: t.delay()})
}

func staleMove(t *tester) {
	target := t.queue()
	t.staleSettle(t.queue(), mq.Settlement{Op: mq.OpMove, To: target.Name(), Reason: "stale"})
	t.none(target, "the move was stale")
}

func staleExtend(t *tester) {
	q := t.queue()
	old, now := t.lost(q)
	t.stale(q.Extend(t.ctx, t.unit, old.Receipt), "extend with a stale receipt")
	t.sleep(2 * t.unit)
	t.unharmed(q, now)
}

func staleAfterNack(t *tester) {
	q := t.queue()
	t.send(q, "nacked")
	old := t.one(q)
	t.ok(old.Nack(t.ctx, 0), "nack")
	now := t.one(q)
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack with the receipt of a nacked lease")
	t.stale(q.Extend(t.ctx, t.unit, old.Receipt), "extend with the receipt of a nacked lease")
	t.unharmed(q, now)
}

func staleSettledByOther(t *tester) {
	q := t.queue()
	old, now := t.lost(q)
	t.ok(now.Ack(t.ctx), "ack by the holder")
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpNack}), "nack of a message that is gone")
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpArchive}), "archive of a message that is gone")
	t.stale(q.Extend(t.ctx, t.long, old.Receipt), "extend of a message that is gone")
	t.none(q, "it was acked")
	t.counted(q, counts{})
}

func staleNackFences(t *tester) {
	q := t.queue()
	id := t.send(q, "nacked")[0]
	d := t.one(q)
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.stale(d.Ack(t.ctx), "Delivery.Ack after Nack")
	err := q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
	if t.caps.NackFences || err != nil {
		t.stale(err, "ack after nack")
		if again := t.one(q); again.ID != id {
			t.Errorf("received message %s, want %s", again.ID, id)
		}
		return
	}
	t.none(q, "the ack after the nack succeeded")
}

func staleBatch(t *tester) {
	q := t.queue()
	t.post(q, numbered(3)...)
	ds := t.receive(q, 3)
	t.ok(ds[1].Nack(t.ctx, 0), "nack")
	again := t.one(q)
	if again.ID != ds[1].ID {
		t.Fatalf("received message %s, want %s", again.ID, ds[1].ID)
	}
	batch := append(each(ds, mq.Settlement{Op: mq.OpAck}), mq.Settlement{Receipt: "garbage", Op: mq.OpAck})
	err := t.p.Settle(t.ctx, q.Name(), batch)
	t.batchErrors(err, nil, mq.ErrStaleReceipt, nil, mq.ErrInvalidReceipt)
	t.unharmed(q, again)
}

// batchErrors checks the errors of a provider's batch, item by item.
func (t *tester) batchErrors(err error, want ...error) {
	t.Helper()
	batch := (*driver.BatchError)(nil)
	if !errors.As(err, &batch) {
		t.Fatalf("a batch of which some items must fail returned %v, want a *BatchError", err)
	}
	if len(batch.Errs) != len(want) {
		t.Fatalf("a BatchError has %d items, the batch has %d", len(batch.Errs), len(want))
	}
	for i, got := range batch.Errs {
		if want[i] == nil && got != nil || want[i] != nil && !errors.Is(got, want[i]) {
			t.Errorf("item %d of the batch: got error %v, want %v", i, got, want[i])
		}
	}
}
