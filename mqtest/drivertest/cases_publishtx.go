package drivertest

import (
	"github.com/portmq/mq"
)

// publishTx publishes in a new transaction, and checks that nothing can be seen of it.
func (t *tester) publishTx(topic string, msgs []*mq.Message, want ...*mq.Queue) (tx Tx, ids [][]string) {
	t.Helper()
	tx = t.begin()
	out, err := t.c.PublishTx(t.ctx, tx.SQLTx, topic, msgs...)
	t.ok(err, "PublishTx to %s", topic)
	for _, q := range want {
		t.none(q, "the transaction has not committed")
		t.counted(q, counts{})
	}
	return tx, t.published(out, len(msgs), want...)
}

func topicTxCommit(t *tester) {
	base := t.topic()
	queues, other := []*mq.Queue{t.boundTo(base+".*", base+".a"), t.boundTo(base + ".#")}, t.queue()
	msgs := []*mq.Message{{Body: []byte("first")}, {Body: []byte("second")}}
	tx, ids := t.publishTx(base+".a", msgs, queues...)
	out, err := t.c.PublishTx(t.ctx, tx.SQLTx, base, &mq.Message{})
	if t.ok(err, "PublishTx that nothing is bound to"); len(out) > 0 {
		t.Errorf("PublishTx that nothing is bound to returned %v", out)
	}
	_, err = other.Tx(tx.SQLTx).Send(t.ctx, &mq.Message{Body: []byte("sent")})
	t.ok(err, "Send in the same transaction")
	t.ok(tx.Commit(), "commit")
	for i, q := range queues {
		t.sameSet(t.receive(q, 2), ids[i], msgs)
		t.none(q, "all have been received")
	}
	t.sameBody(t.one(other).Body, []byte("sent"))
}

func topicTxRollback(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base)}
	tx, _ := t.publishTx(base, numbered(2), queues...)
	t.ok(tx.Rollback(), "rollback")
	for _, q := range queues {
		t.none(q, "the transaction was rolled back")
		t.counted(q, counts{})
	}
	t.publish(base, numbered(1), queues...)
}

func topicTxOpen(t *tester) {
	base := t.topic()
	q, other := t.boundTo(base), t.boundTo(base)
	tx, _ := t.publishTx(base, []*mq.Message{{Body: []byte("in the transaction")}}, q, other)
	t.publish(base, []*mq.Message{{Body: []byte("meanwhile")}}, q, other)
	t.send(q, "sent")
	t.receive(q, 2)
	t.boundTo(base)
	t.ok(tx.Commit(), "commit")
	for _, q := range []*mq.Queue{q, other} {
		t.sameBody(t.rest(q, 1)[0].Body, []byte("in the transaction"))
	}
}
