package drivertest

import (
	"time"

	"github.com/portmq/mq"
)

var headStartCases = []testCase{
	{name: "head-start/overtakes", rule: "Caps.HeadStart: a plain Receive takes a message as if it had been sent that much earlier", needs: headStart, run: headStartOvertakes},
	{name: "head-start/batch", rule: "each message of a batch has its own head start", needs: headStart, run: headStartBatch},
	{name: "head-start/ages", rule: "a message that has waited for longer than another one's head start comes first", needs: headStart, run: headStartAges},
	{name: "head-start/once", rule: "a message that was given back has no head start any more", needs: headStart, run: headStartOnce},
	{name: "head-start/at-once", rule: "a message with a head start is visible at once, and EnqueuedAt is when it was sent (rule 4)", needs: headStart, run: headStartAtOnce},
	{name: "head-start/tx", rule: "a message that is sent in a transaction may have a head start", needs: all(headStart, transactions), run: headStartTx},
	{name: "head-start/group", rule: "a head start does not change the order of a group", needs: all(headStart, grouped), run: headStartGroup},
	{name: "head-start/negative", rule: "a negative head start, and one beside a delay, is ErrInvalid, and nothing is sent", run: headStartNegative},
	{name: "unsupported/head-start", rule: "without Caps.HeadStart a send with one is ErrNotSupported, and nothing is sent", needs: lacks(headStart, "Caps.HeadStart"), run: refuses(mq.Message{HeadStart: time.Second})},
}

// inOrder checks in which order messages are received one by one.
func (t *tester) inOrder(q *mq.Queue, ids ...string) {
	t.Helper()
	for i, id := range ids {
		if d := t.one(q); d.ID != id {
			t.Errorf("message %s was received as number %d of %s", d.ID, i+1, ids)
		}
	}
}

func headStartOvertakes(t *tester) {
	q := t.queue()
	plain := t.send(q, "plain")[0]
	some := t.post(q, &mq.Message{HeadStart: time.Hour})[0]
	more := t.post(q, &mq.Message{HeadStart: 2 * time.Hour})[0]
	last := t.send(q, "last")[0]
	less := t.post(q, &mq.Message{HeadStart: 30 * time.Minute})[0]
	t.inOrder(q, more, some, less, plain, last)
}

func headStartBatch(t *tester) {
	q := t.queue()
	ids := t.post(q, &mq.Message{}, &mq.Message{HeadStart: time.Hour}, &mq.Message{HeadStart: 2 * time.Hour})
	t.inOrder(q, ids[2], ids[1], ids[0])
}

func headStartAges(t *tester) {
	q := t.queue()
	waited := t.send(q, "waited")[0]
	time.Sleep(4 * t.unit)
	late := t.post(q, &mq.Message{HeadStart: t.unit})[0]
	early := t.post(q, &mq.Message{HeadStart: time.Hour})[0]
	t.inOrder(q, early, waited, late)
}

func headStartOnce(t *tester) {
	q := t.queue()
	urgent := t.post(q, &mq.Message{HeadStart: time.Hour})[0]
	plain := t.send(q, "plain")[0]
	d := t.one(q)
	if d.ID != urgent {
		t.Fatalf("message %s was received first, want %s", d.ID, urgent)
	}
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.inOrder(q, plain, urgent)
}

func headStartAtOnce(t *tester) {
	q := t.queue()
	sent := timed(func() { t.post(q, &mq.Message{Body: []byte("urgent"), HeadStart: time.Hour}) })
	t.counted(q, counts{visible: 1})
	d := t.one(q)
	t.sameMessage(d.Message, &mq.Message{Body: []byte("urgent")})
	t.reads(d.ReadCount, 1)
	if age := time.Since(d.EnqueuedAt); age > time.Since(sent.from)+time.Minute {
		t.Errorf("EnqueuedAt is %v ago, which counts the head start", age)
	}
	t.counted(q, counts{leased: 1})
}

func headStartTx(t *tester) {
	q := t.queue()
	plain := t.send(q, "plain")[0]
	in, tx := t.tx(q)
	urgent, err := in.Send(t.ctx, &mq.Message{HeadStart: time.Hour})
	t.ok(err, "Send")
	t.ok(tx.Commit(), "commit")
	t.inOrder(q, urgent, plain)
}

func headStartGroup(t *tester) {
	q := t.queue()
	first := t.post(q, &mq.Message{Group: "g"})[0]
	second := t.post(q, &mq.Message{Group: "g", HeadStart: time.Hour})[0]
	for _, id := range []string{first, second} {
		ds, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), mq.ReceiveOptions{Max: 2, Visibility: t.long, Wait: t.patience})
		t.ok(err, "ReceiveHeads")
		if len(ds) != 1 || ds[0].ID != id {
			t.Fatalf("received %d heads, want message %s alone", len(ds), id)
		}
		t.ok(ds[0].Ack(t.ctx), "ack")
	}
}

func headStartNegative(t *tester) {
	q := t.queue()
	_, err := q.Send(t.ctx, &mq.Message{HeadStart: -time.Second})
	t.is(err, "Send with a negative head start", mq.ErrInvalid)
	if t.caps.HeadStart {
		_, err = q.Send(t.ctx, &mq.Message{HeadStart: time.Second, Delay: time.Second})
		t.is(err, "Send with a head start and a delay", mq.ErrInvalid)
	}
	t.none(q, "the message was refused")
}
