package faults

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
)

// operation is one call on a queue, whose messages are numbered from 1.
type operation struct {
	name  string
	reads bool // it changes nothing
	run   func(ctx context.Context, b *base, q *mq.Queue) error
}

var operations = []operation{
	{"send", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Send(ctx, message())
		return err
	}},
	{"send many", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.SendAll(ctx, []*mq.Message{message(), message()})
		return err
	}},
	{"receive", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Receive(ctx, mq.ReceiveOptions{})
		return err
	}},
	{"receive waiting", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Receive(ctx, mq.ReceiveOptions{Wait: 10 * time.Millisecond})
		return err
	}},
	{"receive heads", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{})
		return err
	}},
	{"receive a group", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.ReceiveGroup(ctx, mq.ByGroup(), canary, mq.GroupOptions{})
		return err
	}},
	{"pop", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Pop(ctx, 1)
		return err
	}},
	{"ack one", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return q.Settle(ctx, mq.Settlement{Receipt: mq.Receipt("p1:1:1:0:" + q.Name()), Op: mq.OpAck})
	}},
	{"ack", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return settle(ctx, q, mq.OpAck, "1", "2") }},
	{"nack", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return settle(ctx, q, mq.OpNack, "1") }},
	{"archive", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return settle(ctx, q, mq.OpArchive, "1") }},
	{"move", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return settle(ctx, q, mq.OpMove, "1") }},
	{"extend", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return q.Extend(ctx, time.Minute, pgmq.Unfenced(q.Name(), "1"))
	}},
	{"purge", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Purge(ctx)
		return err
	}},
	{"redrive", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Redrive(ctx, mq.RedriveOptions{})
		return err
	}},
	{"purge the archive", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.PurgeArchive(ctx, mq.AnyAge)
		return err
	}},
	{"peek", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Peek(ctx, mq.BrowseOptions{})
		return err
	}},
	{"archived", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Archived(ctx, mq.BrowseOptions{})
		return err
	}},
	{"stats", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Stats(ctx)
		return err
	}},
}

// managing are the operations of those who look after a queue, and of topics and keys.
var managing = []operation{
	{"browse ids", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Peek(ctx, mq.BrowseOptions{IDs: []string{"1"}, CutBody: 10})
		return err
	}},
	{"search", true, func(ctx context.Context, _ *base, q *mq.Queue) error { return search(ctx, q, mq.Match{Group: canary}) }},
	{"search bodies", true, func(ctx context.Context, _ *base, q *mq.Queue) error { return search(ctx, q, mq.Match{Text: canary}) }},
	{"reasons", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, _, err := q.Reasons(ctx, 100)
		return err
	}},
	{"override ack", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return override(ctx, q, mq.Settlement{Op: mq.OpAck})
	}},
	{"override nack", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return override(ctx, q, mq.Settlement{Op: mq.OpNack})
	}},
	{"override archive", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		return override(ctx, q, mq.Settlement{Op: mq.OpArchive, Reason: canary})
	}},
	{"remove archived", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.RemoveArchived(ctx, []string{"1"})
		return err
	}},
	{"pause and resume", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		if err := q.Pause(ctx, canary); err != nil {
			return err
		}
		return q.Resume(ctx)
	}},
	{"paused", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().Paused(ctx)
		return err
	}},
	{"report", false, report},
	{"send once", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		m := message()
		m.DedupKey, m.DedupFor = rand.Text(), time.Microsecond
		_, _, err := q.SendOnce(ctx, m)
		return err
	}},
	{"stats of all", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().StatsAll(ctx)
		return err
	}},
	{"bind", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return q.Bind(ctx, "a.*") }},
	{"publish", false, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Client().Publish(ctx, "a.b", message())
		return err
	}},
	{"bindings", true, func(ctx context.Context, _ *base, q *mq.Queue) error {
		_, err := q.Bindings(ctx)
		return err
	}},
	{"unbind", false, func(ctx context.Context, _ *base, q *mq.Queue) error { return q.Unbind(ctx, "b.*") }},
}

func search(ctx context.Context, q *mq.Queue, m mq.Match) error {
	for _, archive := range []bool{false, true} {
		if _, err := q.Search(ctx, mq.SearchOptions{Match: m, Archive: archive}); err != nil {
			return err
		}
	}
	return nil
}

func override(ctx context.Context, q *mq.Queue, s mq.Settlement) error {
	_, err := q.Override(ctx, []string{"1", "2"}, s)
	return err
}

// report is what a Consumer does with the provider, until old reports are certain to have
// been removed, which one does now and then.
func report(ctx context.Context, _ *base, q *mq.Queue) error {
	p := q.Client().Provider().(*pgmq.Provider)
	r := driver.ConsumerReport{ID: "1", Queue: q.Name(), Name: canary}
	for range 400 {
		if err := p.Report(ctx, r, time.Hour); err != nil {
			return err
		}
	}
	if err := p.Report(ctx, r, 0); err != nil {
		return err
	}
	_, err := q.Client().Consumers(ctx, q.Name())
	return err
}

// inTransactions are operations that begin with a transaction of the caller.
var inTransactions = []operation{
	{"send in a transaction", false, func(ctx context.Context, b *base, q *mq.Queue) error {
		return b.inTx(ctx, q, func(t *mq.TxQueue) error {
			_, err := t.Send(ctx, message())
			return err
		})
	}},
}

func settle(ctx context.Context, q *mq.Queue, op driver.Op, ids ...string) error {
	var s []mq.Settlement
	for _, id := range ids {
		s = append(s, mq.Settlement{Receipt: pgmq.Unfenced(q.Name(), id), Op: op, Reason: canary, To: to(op, q)})
	}
	return q.Settle(ctx, s...)
}

func to(op driver.Op, q *mq.Queue) string {
	if op == mq.OpMove {
		return q.Name()
	}
	return ""
}

// inTx calls f in a transaction and commits it if that returns nil.
func (b *base) inTx(ctx context.Context, q *mq.Queue, f func(*mq.TxQueue) error) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	t := q.Tx(tx)
	if err := f(t); err != nil {
		if tx.Commit() == nil {
			b.Errorf("the transaction could be committed after %v", err)
		}
		return err
	}
	return tx.Commit()
}

// every runs each operation on a queue.
func every(t *testing.T, f func(t *testing.T, op operation)) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) { f(t, op) })
	}
}
