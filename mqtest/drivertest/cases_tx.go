package drivertest

import (
	"context"
	"errors"
	"slices"

	"github.com/portmq/mq"
)

var txCases = []testCase{
	{name: "tx/commit", rule: "what a transaction has sent can be received once it has committed, and not before", needs: transactions, run: txCommit},
	{name: "tx/rollback", rule: "what a transaction that was rolled back has done has no effect", needs: transactions, run: txRollback},
	{name: "tx/ack", rule: "an ack in a transaction takes effect when it commits", needs: transactions, run: txAck},
	{name: "tx/ack-rollback", rule: "a delivery whose transaction was rolled back may still be settled", needs: transactions, run: txAckRollback},
	{name: "tx/atomic", rule: "the sends and settlements of a transaction take effect together", needs: transactions, run: txAtomic},
	{name: "tx/ack-twice", rule: "a second ack in the same transaction is ErrStaleReceipt (rule 1)", needs: transactions, run: txAckTwice},
	{name: "tx/stale-ack", rule: "an ack in a transaction of a message that was leased again is ErrStaleReceipt (rule 1)", needs: transactions, run: txStaleAck},
	{name: "tx/error-aborts", rule: "any error aborts the transaction: what was done in it before is not kept", needs: transactions, run: txErrorAborts},
	{name: "tx/error-spoils", rule: "any error aborts the transaction: what the caller does in it afterwards is not kept", needs: transactions, run: txErrorSpoils},
	{name: "tx/others-go-on", rule: "an open transaction keeps no other call waiting", needs: manyWriters, run: txOthersGoOn},
	{name: "tx/one-writer", rule: "Caps.OneWriter: a send waits for the end of an open transaction or of its ctx, and a Receive of nothing does not wait", needs: oneWriter, run: txOneWriter},
	{name: "tx/nack-archive", rule: "Nack and Archive in a transaction take effect when it commits", needs: transactions, run: txNackArchive},
	{name: "tx/wake-up", rule: "the wake-up of a send in a transaction comes with the commit", needs: transactions, run: txWakeUp},
	{name: "tx/settles-once", rule: "a delivery that was settled in a transaction is not settled again outside of it", needs: transactions, run: txSettlesOnce},
	{name: "tx/nil", rule: "a call in Queue.Tx of nil is an error, and so is one whose ctx has ended", needs: transactions, run: txNil},
}

// begin begins a transaction that does not outlive the case.
func (t *tester) begin() Tx {
	t.Helper()
	tx := t.h.Begin(t, t.c)
	t.made.began()
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// tx is q inside a new transaction.
func (t *tester) tx(q *mq.Queue) (*mq.TxQueue, Tx) {
	t.Helper()
	tx := t.begin()
	return q.Tx(tx.SQLTx), tx
}

func txCommit(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	msgs := []*mq.Message{t.movable(), {Body: []byte("second")}}
	ids, err := in.SendAll(t.ctx, msgs)
	t.ok(err, "Send")
	t.none(q, "the transaction has not committed")
	t.counted(q, counts{})
	t.ok(tx.Commit(), "commit")
	for _, d := range t.receive(q, 2) {
		i := slices.Index(ids, d.ID)
		if i < 0 {
			t.Fatalf("received message %s, sent %s", d.ID, ids)
		}
		t.sameMessage(d.Message, msgs[i])
	}
	t.none(q, "two messages were sent")
}

func txRollback(t *tester) {
	q := t.queue()
	t.send(q, "stays")
	d := t.one(q)
	in, tx := t.tx(q)
	_, err := in.Send(t.ctx, &mq.Message{Body: []byte("never")})
	t.ok(err, "Send")
	t.ok(in.Archive(t.ctx, d, "never"), "Archive")
	t.ok(tx.Rollback(), "rollback")
	t.none(q, "the transaction was rolled back")
	t.counted(q, counts{leased: 1})
	t.ok(d.Ack(t.ctx), "ack after the rollback")
	t.counted(q, counts{})
}

func txAck(t *tester) {
	q := t.queue()
	t.send(q, "acked")
	d := t.one(q)
	tx := t.begin()
	t.ok(d.AckTx(t.ctx, tx.SQLTx), "AckTx")
	t.counted(q, counts{leased: 1})
	t.ok(tx.Commit(), "commit")
	t.counted(q, counts{})
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack}), "nack after the commit")
	t.none(q, "it was acked")
}

func txAckRollback(t *tester) {
	q := t.queue()
	id := t.send(q, "acked in vain")[0]
	d := t.one(q)
	tx := t.begin()
	t.ok(d.AckTx(t.ctx, tx.SQLTx), "AckTx")
	t.ok(tx.Rollback(), "rollback")
	t.none(q, "it is still leased")
	t.ok(d.Nack(t.ctx, 0), "nack after the rollback")
	if again := t.one(q); again.ID != id {
		t.Errorf("received message %s, want %s", again.ID, id)
	}
}

func txAtomic(t *tester) {
	in, out := t.queue(), t.queue()
	for _, commit := range []bool{false, true} {
		t.send(in, "input")
		d := t.one(in)
		o, tx := t.tx(out)
		_, err := o.Send(t.ctx, &mq.Message{Body: []byte("output")})
		t.ok(err, "Send")
		t.ok(d.AckTx(t.ctx, tx.SQLTx), "AckTx")
		if !commit {
			t.ok(tx.Rollback(), "rollback")
			t.none(out, "the transaction was rolled back")
			t.ok(d.Ack(t.ctx), "ack after the rollback")
			continue
		}
		t.ok(tx.Commit(), "commit")
		t.sameBody(t.one(out).Body, []byte("output"))
		t.none(in, "its message was acked")
		t.counted(in, counts{})
	}
}

func txAckTwice(t *tester) {
	q := t.queue()
	t.send(q, "acked twice")
	d := t.one(q)
	tx := t.begin()
	t.ok(d.AckTx(t.ctx, tx.SQLTx), "AckTx")
	t.stale(d.AckTx(t.ctx, tx.SQLTx), "second AckTx")
	_ = tx.Rollback()
	t.counted(q, counts{leased: 1})
}

func txStaleAck(t *tester) {
	q := t.queue()
	old, now := t.lost(q)
	tx := t.begin()
	t.stale(old.AckTx(t.ctx, tx.SQLTx), "AckTx with a stale receipt")
	_ = tx.Rollback()
	t.unharmed(q, now)
}

func txErrorAborts(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	_, err := in.Send(t.ctx, &mq.Message{Body: []byte("never")})
	t.ok(err, "Send")
	_, err = t.c.Queue(t.name()).Tx(tx.SQLTx).Send(t.ctx, &mq.Message{})
	t.is(err, "Send to a missing queue", mq.ErrQueueNotFound)
	_ = tx.Commit() // PostgreSQL makes a rollback of it, with or without an error
	t.none(q, "the transaction had an error; where the backend goes on after one, TxProvider must see to it that a commit keeps nothing")
	t.counted(q, counts{})
}

func txErrorSpoils(t *tester) {
	table := t.name()
	tx := t.begin()
	_, err := t.c.Queue(t.name()).Tx(tx.SQLTx).Send(t.ctx, &mq.Message{})
	t.is(err, "Send to a missing queue", mq.ErrQueueNotFound)
	if _, err := tx.SQLTx.ExecContext(t.ctx, "CREATE TABLE "+table+" (n INTEGER)"); err != nil {
		return // nothing can be written any more
	}
	_ = tx.Commit()
	rows, err := t.begin().SQLTx.QueryContext(t.ctx, "SELECT n FROM "+table)
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err == nil {
		t.Errorf("a table that was created in the transaction after the error is there")
	}
}

// openTx returns a queue, and a transaction that has sent a message to it.
func (t *tester) openTx() (*mq.Queue, Tx) {
	t.Helper()
	q := t.queue()
	in, tx := t.tx(q)
	_, err := in.Send(t.ctx, &mq.Message{Body: []byte("in the transaction")})
	t.ok(err, "Send in the transaction")
	return q, tx
}

func txOthersGoOn(t *tester) {
	q, tx := t.openTx()
	t.send(q, "meanwhile")
	t.ok(t.one(q).Ack(t.ctx), "ack while a transaction is open")
	t.queue()
	t.ok(tx.Commit(), "commit")
	t.sameBody(t.one(q).Body, []byte("in the transaction"))
}

func txOneWriter(t *tester) {
	q, tx := t.openTx()
	t.none(q, "the transaction has not committed")
	ctx, cancel := context.WithTimeout(t.ctx, t.unit)
	defer cancel()
	_, err := q.Send(ctx, &mq.Message{Body: []byte("never")})
	t.is(err, "Send while the transaction is open", context.DeadlineExceeded)
	sent := make(chan error, 1)
	go func() {
		_, err := q.Send(t.ctx, &mq.Message{Body: []byte("after it")})
		sent <- err
	}()
	t.sleep(t.unit)
	t.ok(tx.Commit(), "commit")
	t.ok(<-sent, "Send that waits for the transaction") // mq's CallTimeout bounds it
	for _, want := range []string{"in the transaction", "after it"} {
		t.sameBody(t.one(q).Body, []byte(want))
	}
	t.none(q, "the send that was cut off has not taken effect")
}

func txNackArchive(t *tester) {
	q := t.queue()
	t.send(q, "1", "2")
	ds := t.receive(q, 2)
	in, tx := t.tx(q)
	t.ok(in.Nack(t.ctx, ds[0], 0), "Nack")
	t.ok(in.Archive(t.ctx, ds[1], "in a transaction"), "Archive")
	t.none(q, "the transaction has not committed")
	t.ok(tx.Commit(), "commit")
	if d := t.one(q); d.ID != ds[0].ID {
		t.Errorf("received message %s, want %s", d.ID, ds[0].ID)
	}
	t.counted(q, counts{leased: 1, archived: 1})
}

func txWakeUp(t *tester) {
	q := t.queue()
	in, tx := t.tx(q)
	result := t.waiting(q)
	_, err := in.Send(t.ctx, &mq.Message{Body: []byte("wake up")})
	t.ok(err, "Send")
	t.sleep(t.unit)
	when := timed(func() { t.ok(tx.Commit(), "commit") })
	_, at := result("a Receive that waits gets what a transaction sends")
	t.wokeWithin(at, when)
}

func txSettlesOnce(t *tester) {
	q := t.queue()
	t.send(q, "acked in a transaction")
	d := t.one(q)
	tx := t.begin()
	t.ok(d.AckTx(t.ctx, tx.SQLTx), "AckTx")
	t.stale(d.Extend(t.ctx, t.long), "extend of a delivery that was settled in a transaction")
	t.ok(tx.Commit(), "commit")
	t.stale(d.Ack(t.ctx), "ack after the commit")
	t.counted(q, counts{})
}

func txNil(t *tester) {
	_, err := t.queue().Tx(nil).Send(t.ctx, &mq.Message{})
	t.is(err, "Send in Queue.Tx(nil)", mq.ErrInvalid)
	tx := t.begin()
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err = t.queue().Tx(tx.SQLTx).Send(ctx, &mq.Message{})
	t.is(err, "Send with a ctx that has ended", context.Canceled)
}
