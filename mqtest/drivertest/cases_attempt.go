package drivertest

import (
	"fmt"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var attemptCases = []testCase{
	{name: "nack/uncounted", rule: "Caps.Attempts: a lease that ends with an uncounted nack is read and is no attempt; one that ends with another nack, or with its timeout, is one (rule 4)", needs: attempts, run: nackUncounted},
	{name: "nack/uncounted-delay", rule: "Caps.Attempts: an uncounted nack may have a delay", needs: all(attempts, delays), run: nackUncountedDelay},
	{name: "nack/uncounted-batch", rule: "Caps.Attempts: a batch may hold uncounted nacks and any other settlement", needs: all(attempts, batches), run: nackUncountedBatch},
	{name: "nack/uncounted-twice", rule: "Caps.Attempts: an uncounted nack that is repeated leaves out one lease", needs: attempts, run: nackUncountedTwice},
	{name: "nack/uncounted-at-timeout", rule: "Caps.Attempts: Uncounted has no effect on a nack with AtTimeout", needs: attempts, run: nackUncountedAtTimeout},
	{name: "receive/unanswered", rule: "Caps.Attempts: Unanswered counts the leases since the last nack that nobody settled", needs: attempts, run: receiveUnanswered},
	{name: "archive/attempts", rule: "Caps.Attempts: an archived message keeps its attempts (rule 5)", needs: all(attempts, canSeeArchive), run: archiveAttempts},
	{name: "redrive/attempts", rule: "Caps.Attempts: attempts of a redriven message begin anew (rule 6)", needs: all(attempts, canRedrive), run: redriveAttempts},
	{name: "move/attempts", rule: "Caps.Attempts: attempts of a moved message begin anew (rule 6)", needs: all(attempts, moves), run: moveAttempts},
	{name: "peek/attempts", rule: "Caps.Attempts: Browse shows the attempts", needs: all(attempts, canPeek), run: peekAttempts},
	{name: "pop/attempts", rule: "Caps.Attempts: what Pop returns has its attempts", needs: all(attempts, canPop), run: popAttempts},
	{name: "group/attempts", rule: "Caps.Attempts: what is received by group has its attempts", needs: all(attempts, grouped), run: groupAttempts},
	{name: "tx/uncounted", rule: "Caps.Attempts: an uncounted nack in a transaction takes effect when it commits", needs: all(attempts, transactions), run: txUncounted},
}

// giveBack nacks d.
func (t *tester) giveBack(q *mq.Queue, d *mq.Delivery, s mq.Settlement) {
	t.Helper()
	s.Receipt, s.Op = d.Receipt, mq.OpNack
	t.ok(q.Settle(t.ctx, s), "nack")
}

// tried checks the counts of a delivery: uncounted of its leases were no
// attempts, and answered of them count for what was answered.
func (t *tester) tried(d *mq.Delivery, reads, uncounted, answered int) {
	t.Helper()
	t.reads(d.ReadCount, reads)
	if wrong := wrongAttempts(t.caps, d, reads, uncounted, answered); wrong != "" {
		t.Error(wrong)
	}
}

// wrongAttempts says what is wrong with the attempts of a delivery, or "". Where
// read counts are estimates Unanswered may be too high, since a nack may leave no
// trace.
func wrongAttempts(c driver.Caps, d *mq.Delivery, reads, uncounted, answered int) string {
	unanswered := reads - 1 - answered
	switch {
	case !c.Attempts:
		return ""
	case d.Attempt != max(1, d.ReadCount-uncounted):
		return fmt.Sprintf("attempt is %d at read number %d, of which %d do not count", d.Attempt, d.ReadCount, uncounted)
	case c.ExactReadCount && d.Unanswered != unanswered:
		return fmt.Sprintf("Unanswered is %d, want %d", d.Unanswered, unanswered)
	case d.Unanswered < min(unanswered, d.ReadCount-1) || d.Unanswered > max(0, d.ReadCount-1):
		return fmt.Sprintf("Unanswered is %d at read number %d, want %d or more", d.Unanswered, d.ReadCount, unanswered)
	}
	return ""
}

func nackUncounted(t *tester) {
	q := t.queue()
	id := t.send(q, "given back")[0]
	for n := 1; n <= 3; n++ {
		d := t.one(q)
		t.tried(d, n, n-1, n-1)
		t.giveBack(q, d, mq.Settlement{Uncounted: true})
	}
	d := t.one(q)
	t.tried(d, 4, 3, 3)
	t.ok(d.Nack(t.ctx, 0), "nack")
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.tried(d, 5, 3, 4)
	d = t.comesBack(q, id, leased.plus(v))
	t.tried(d, 6, 3, 4)
	t.giveBack(q, d, mq.Settlement{Uncounted: true})
	t.tried(t.one(q), 7, 4, 5) // nobody has answered more than before
}

func nackUncountedDelay(t *tester) {
	q := t.queue()
	id := t.send(q, "given back for a while")[0]
	d := t.one(q)
	for n := 1; n <= 3; n++ {
		t.tried(d, n, (n-1)/2, n-1)
		uncounted := n == 2
		when := timed(func() { t.giveBack(q, d, mq.Settlement{Delay: t.unit, Uncounted: uncounted}) })
		d = t.comesBack(q, id, when.plus(t.unit))
	}
	t.tried(d, 4, 1, 3)
}

func nackUncountedBatch(t *tester) {
	q := t.queue()
	t.post(q, numbered(4)...)
	t.ok(q.Settle(t.ctx, each(t.receive(q, 4), mq.Settlement{Op: mq.OpNack})...), "Settle of four nacks")
	ds := t.receive(q, 4)
	batch := each(ds, mq.Settlement{Op: mq.OpNack})
	batch[1].Uncounted = true
	batch[2].Op, batch[3].Op = mq.OpAck, mq.OpArchive
	t.ok(q.Settle(t.ctx, batch...), "Settle")
	for _, d := range t.receive(q, 2) {
		uncounted := 0
		if d.ID == ds[1].ID {
			uncounted = 1
		}
		t.tried(d, 3, uncounted, 2)
	}
	t.none(q, "the others were acked or archived")
}

func nackUncountedTwice(t *tester) {
	q := t.queue()
	t.send(q, "given back twice")
	t.giveBack(q, t.one(q), mq.Settlement{})
	d := t.one(q)
	t.giveBack(q, d, mq.Settlement{Uncounted: true})
	again := q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true})
	if again != nil || t.caps.NackFences {
		t.stale(again, "second nack")
	}
	t.tried(t.one(q), 3, 1, 2)
}

func nackUncountedAtTimeout(t *tester) {
	q := t.queue()
	id := t.send(q, "left to its timeout")[0]
	t.giveBack(q, t.one(q), mq.Settlement{})
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.before(leased.from.Add(v), func(t *tester) {
		t.giveBack(q, d, mq.Settlement{Uncounted: true, Delay: mq.AtTimeout})
	})
	t.tried(t.comesBack(q, id, leased.plus(v)), 3, 0, 1)
}

func receiveUnanswered(t *tester) {
	q := t.queue()
	id := t.send(q, "times out")[0]
	v := 2 * t.unit
	lease := func(answered, n int) {
		d, leased := t.lease(q, v)
		t.tried(d, n, 0, answered)
		t.expire(leased.plus(v))
	}
	lease(0, 1)
	lease(0, 2)
	d := t.one(q)
	t.tried(d, 3, 0, 0)
	if t.caps.Delay { // which leaves a trace everywhere
		when := timed(func() { t.giveBack(q, d, mq.Settlement{Delay: t.unit}) })
		d = t.comesBack(q, id, when.plus(t.unit))
		t.tried(d, 4, 0, 3)
		if d.ReadCount == 4 && d.Unanswered != 0 {
			t.Errorf("Unanswered is %d after a nack, want 0", d.Unanswered)
		}
	}
	t.ok(d.Nack(t.ctx, 0), "nack")
}

// setBack leases a message three times, once without an attempt.
func (t *tester) setBack(q *mq.Queue, m *mq.Message) *mq.Delivery {
	t.Helper()
	t.post(q, m)
	t.giveBack(q, t.one(q), mq.Settlement{})
	t.giveBack(q, t.one(q), mq.Settlement{Uncounted: true})
	return t.one(q)
}

// begunAnew checks that attempts of the only message of q count from the first.
func (t *tester) begunAnew(q *mq.Queue) {
	t.Helper()
	for n := 1; n <= 3; n++ {
		d := t.one(q)
		t.tried(d, n, 0, n-1)
		t.giveBack(q, d, mq.Settlement{})
	}
}

func archiveAttempts(t *tester) {
	q := t.queue()
	t.ok(t.setBack(q, &mq.Message{}).Archive(t.ctx, "why not"), "archive")
	t.recorded(t.archived(q))
}

// recorded checks the record of a message that was set back.
func (t *tester) recorded(rs []mq.Record) {
	t.Helper()
	if len(rs) != 1 || t.caps.ExactReadCount && rs[0].Attempt != 2 {
		t.Errorf("the records are %+v, want one with attempt 2", rs)
	}
}

func redriveAttempts(t *tester) {
	q := t.queue()
	t.ok(t.setBack(q, &mq.Message{}).Archive(t.ctx, "why not"), "archive")
	_, err := q.Redrive(t.ctx, mq.RedriveOptions{})
	t.ok(err, "Redrive")
	t.begunAnew(q)
}

func moveAttempts(t *tester) {
	q, to := t.queue(), t.queue()
	t.ok(t.setBack(q, &mq.Message{}).Move(t.ctx, to.Name(), "why not"), "move")
	t.begunAnew(to)
}

func peekAttempts(t *tester) {
	q := t.queue()
	t.setBack(q, &mq.Message{})
	t.recorded(t.peek(q))
}

func popAttempts(t *tester) {
	q := t.queue()
	t.giveBack(q, t.setBack(q, &mq.Message{}), mq.Settlement{})
	t.eventually("Pop of a message", func() bool {
		ds, err := q.Pop(t.ctx, 1)
		t.ok(err, "Pop")
		for _, d := range ds {
			t.tried(d, 4, 1, 3)
		}
		return len(ds) > 0
	})
}

func groupAttempts(t *tester) {
	q := t.queue()
	t.giveBack(q, t.setBack(q, &mq.Message{Group: "g"}), mq.Settlement{})
	o := mq.ReceiveOptions{Visibility: t.long, Wait: t.patience}
	ds, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), o)
	t.ok(err, "ReceiveHeads")
	for _, d := range ds {
		t.tried(d, 4, 1, 3)
		t.giveBack(q, d, mq.Settlement{})
	}
	ds, err = q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", mq.GroupOptions{ReceiveOptions: o})
	t.ok(err, "ReceiveGroup")
	if len(ds) != 1 {
		t.Fatalf("ReceiveGroup returned %d messages, want 1", len(ds))
	}
	t.tried(ds[0], 5, 1, 4)
}

func txUncounted(t *tester) {
	q := t.queue()
	t.send(q, "given back")
	t.giveBack(q, t.one(q), mq.Settlement{})
	d := t.one(q)
	for _, commit := range []bool{false, true} {
		tx := t.begin()
		t.ok(t.settleIn(tx, q, driver.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true, Reason: "EOF"}), "nack")
		if !commit {
			t.ok(tx.Rollback(), "rollback")
			t.none(q, "the transaction was rolled back")
			continue
		}
		t.ok(tx.Commit(), "commit")
	}
	d = t.one(q)
	t.tried(d, 3, 1, 2)
	t.failedWith(d.Headers, "EOF")
}

// settleIn settles inside a transaction what mq.TxQueue has no method for.
func (t *tester) settleIn(tx Tx, q *mq.Queue, s driver.Settlement) error {
	t.Helper()
	p, err := t.p.(driver.Transactor).Tx(tx.SQLTx)
	t.ok(err, "Tx")
	return p.Settle(t.ctx, q.Name(), []driver.Settlement{s})
}
