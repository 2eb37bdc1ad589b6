package drivertest

import (
	"errors"
	"slices"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// unsupportedCases check the other way: what a provider does not declare
// answers ErrNotSupported before any effect.
var unsupportedCases = slices.Concat([]testCase{
	{name: "unsupported/delay", rule: "without Caps.Delay a delayed send is ErrNotSupported, and nothing is sent", needs: lacks(delays, "Caps.Delay"), run: refuses(mq.Message{Delay: time.Second})},
	{name: "unsupported/headers", rule: "without Caps.Headers a send with headers is ErrNotSupported, and nothing is sent", needs: lacks(headers, "Caps.Headers"), run: refuses(mq.Message{Headers: mq.Headers{"k": "v"}})},
	{name: "unsupported/group", rule: "without Caps.Groups a send with a group is ErrNotSupported, and nothing is sent", needs: lacks(grouped, "Caps.Groups"), run: refuses(mq.Message{Group: "g"})},
	{name: "unsupported/nack-delay", rule: "without Caps.Delay a nack with a delay is ErrNotSupported, and the lease stands", needs: lacks(delays, "Caps.Delay"), run: unsupportedNackDelay},
	{name: "unsupported/uncounted", rule: "without Caps.Attempts an uncounted nack is ErrNotSupported, the lease stands, and deliveries have no Attempt", needs: lacks(attempts, "Caps.Attempts"), run: unsupportedUncounted},
	{name: "unsupported/nack-reason", rule: "without Caps.NackReasons a nack passes over its reason", needs: lacks(nackReasons, "Caps.NackReasons"), run: unsupportedNackReason},
	{name: "unsupported/move", rule: "without Caps.AtomicMove a move is ErrNotSupported, and the lease stands", needs: lacks(moves, "Caps.AtomicMove"), run: unsupportedMove},
	{name: "unsupported/tx", rule: "without a driver.Transactor Queue.Tx is ErrNotSupported (Harness.Begin is required for one)", needs: lacks(transactions, "driver.Transactor"), run: unsupportedTx},
	{name: "unsupported/dead-letter", rule: "without Caps.AtomicMove ConsumerConfig.DeadLetter is ErrNotSupported", needs: lacks(moves, "Caps.AtomicMove"), run: unsupportedDeadLetter},
	{name: "unsupported/group-consumer", rule: "without Caps.Groups ConsumerConfig.Groups is ErrNotSupported", needs: lacks(grouped, "Caps.Groups"), run: unsupportedGroupConsumer},
}, unsupportedMethods())

// unsupportedMethods is a case for each method of an optional interface.
func unsupportedMethods() (all []testCase) {
	for _, m := range []struct {
		name, method string
		can          need
		call         func(t *tester, q *mq.Queue) error
	}{
		{"drop", "QueueManager.DropQueue", canDrop, func(t *tester, q *mq.Queue) error { return t.c.DropQueue(t.ctx, q.Name()) }},
		{"list", "QueueManager.ListQueues", canList, func(t *tester, _ *mq.Queue) error { _, err := t.c.Queues(t.ctx); return err }},
		{"purge", "QueueManager.PurgeQueue", canPurge, func(t *tester, q *mq.Queue) error { _, err := q.Purge(t.ctx); return err }},
		{"pop", "Popper", canPop, func(t *tester, q *mq.Queue) error { _, err := q.Pop(t.ctx, 1); return err }},
		{"publish", "Router", routes, func(t *tester, _ *mq.Queue) error { _, err := t.c.Publish(t.ctx, t.topic(), &mq.Message{}); return err }},
		{"bind", "Router", routes, func(t *tester, q *mq.Queue) error { return q.Bind(t.ctx, t.topic()) }},
		{"unbind", "Router", routes, func(t *tester, q *mq.Queue) error { return q.Unbind(t.ctx, t.topic()) }},
		{"bindings", "Router.Bindings", listsBindings, func(t *tester, q *mq.Queue) error { _, err := q.Bindings(t.ctx); return err }},
		{"all-bindings", "Router.Bindings", listsBindings, func(t *tester, _ *mq.Queue) error { _, err := t.c.Bindings(t.ctx); return err }},
		{"peek", "Browser", canPeek, func(t *tester, q *mq.Queue) error { _, err := q.Peek(t.ctx, mq.BrowseOptions{}); return err }},
		{"archived", "Browser with Archive", canSeeArchive, func(t *tester, q *mq.Queue) error { _, err := q.Archived(t.ctx, mq.BrowseOptions{}); return err }},
		{"search", "Browser", canPeek, func(t *tester, q *mq.Queue) error { _, err := q.Search(t.ctx, mq.SearchOptions{}); return err }},
		{"reasons", "ReasonCounter", canCountReasons, func(t *tester, q *mq.Queue) error { _, _, err := q.Reasons(t.ctx, 0); return err }},
		{"override", "Overrider", canOverride, func(t *tester, q *mq.Queue) error {
			_, err := q.Override(t.ctx, []string{"1"}, mq.Settlement{Op: mq.OpAck})
			return err
		}},
		{"remove-archived", "Overrider.RemoveArchived", canRemoveArchived, func(t *tester, q *mq.Queue) error {
			_, err := q.RemoveArchived(t.ctx, []string{"1"})
			return err
		}},
		{"pause", "Pauser", canPause, func(t *tester, q *mq.Queue) error { return q.Pause(t.ctx, "") }},
		{"resume", "Pauser", canPause, func(t *tester, q *mq.Queue) error { return q.Resume(t.ctx) }},
		{"paused", "Pauser", canPause, func(t *tester, _ *mq.Queue) error { _, err := t.c.Paused(t.ctx); return err }},
		{"consumers", "Registry", canReport, func(t *tester, _ *mq.Queue) error { _, err := t.c.Consumers(t.ctx, ""); return err }},
		{"redrive", "Archivist.Redrive", canRedrive, func(t *tester, q *mq.Queue) error { _, err := q.Redrive(t.ctx, mq.RedriveOptions{}); return err }},
		{"purge-archive", "Archivist.PurgeArchive", canPurgeArchive, func(t *tester, q *mq.Queue) error { _, err := q.PurgeArchive(t.ctx, mq.AnyAge); return err }},
		{"receive-groups", "Caps.Groups", grouped, func(t *tester, q *mq.Queue) error {
			_, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), mq.ReceiveOptions{Visibility: t.long})
			return err
		}},
		{"receive-group", "Caps.Groups", grouped, func(t *tester, q *mq.Queue) error {
			o := mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}}
			_, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", o)
			return err
		}},
	} {
		all = append(all, testCase{
			name:  "unsupported/" + m.name,
			rule:  "without " + m.method + " its call is ErrNotSupported and has no effect",
			needs: lacks(m.can, m.method),
			run: func(t *tester) {
				q := t.queue()
				t.send(q, "stays")
				t.unsupported(m.call(t, q), m.method)
				t.reads(t.one(q).ReadCount, 1)
			},
		})
	}
	return all
}

// unsupported checks an error that is ErrNotSupported.
func (t *tester) unsupported(err error, what string) {
	t.Helper()
	t.is(err, what, mq.ErrNotSupported)
	t.is(err, what, errors.ErrUnsupported)
}

func refuses(m mq.Message) func(t *tester) {
	return func(t *tester) {
		q := t.queue()
		_, err := q.SendAll(t.ctx, []*mq.Message{{Body: []byte("good")}, &m})
		t.unsupported(err, "Send")
		t.none(q, "the batch was refused")
		t.counted(q, counts{})
	}
}

func unsupportedNackDelay(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	t.unsupported(d.Nack(t.ctx, time.Second), "Delivery.Nack with a delay")
	t.unsupported(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Delay: time.Second}), "nack with a delay")
	t.unharmed(q, d)
}

func unsupportedUncounted(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	ds, err := t.p.Receive(t.ctx, q.Name(), driver.ReceiveRequest{Max: 1, Visibility: t.long, Wait: t.patience})
	t.ok(err, "Receive")
	for _, d := range ds {
		if d.Attempt != 0 || d.Unanswered != 0 {
			t.Errorf("Attempt is %d and Unanswered %d, want 0", d.Attempt, d.Unanswered)
		}
		t.unsupported(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true}), "uncounted nack")
		t.none(q, "the nack was refused")
		t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), "ack after a refused nack")
	}
}

func unsupportedNackReason(t *tester) {
	q := t.queue()
	t.send(q, "failed")
	t.giveBack(q, t.one(q), mq.Settlement{Reason: "EOF"})
	if d := t.one(q); d.Headers[driver.HeaderError] != "" {
		t.Errorf("the message has header %s: %q", driver.HeaderError, d.Headers[driver.HeaderError])
	}
}

func unsupportedMove(t *tester) {
	q, to := t.queue(), t.queue()
	t.send(q, "leased")
	d := t.one(q)
	t.unsupported(d.Move(t.ctx, to.Name(), "no"), "Delivery.Move")
	t.unsupported(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpMove, To: to.Name()}), "move")
	t.none(to, "the move was refused")
	t.unharmed(q, d)
}

func unsupportedTx(t *tester) {
	_, err := t.queue().Tx(noTx{}).Send(t.ctx, &mq.Message{})
	t.unsupported(err, "Send in Queue.Tx")
}

// noTx is no transaction.
type noTx struct{ mq.SQLTx }

func unsupportedDeadLetter(t *tester) {
	q := t.queue()
	err := q.Consume(t.ctx, nothing, mq.ConsumerConfig{Visibility: t.long, DeadLetter: t.name()})
	t.unsupported(err, "Consume with a DeadLetter queue")
}

func unsupportedGroupConsumer(t *tester) {
	err := t.queue().Consume(t.ctx, nothing, mq.ConsumerConfig{Visibility: t.long, Groups: &mq.GroupBy{}})
	t.unsupported(err, "Consume by group")
}
