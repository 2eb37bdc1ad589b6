package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq"
)

var hangCases = []testCase{
	{name: "hang/calls", rule: "a call returns soon after its ctx ended, although the backend is silent (Provider)", needs: hasHang, run: hangCalls},
	{name: "hang/goes-on", rule: "after a silence of the backend the client goes on", needs: hasHang, run: hangGoesOn},
	{name: "hang/close", rule: "Close returns, and ends a Receive that waits, although the backend is silent", needs: hasHang, run: hangClose},
	{name: "hang/manage", rule: "a call that manages a queue returns an error while the backend is silent, and repeated afterwards it takes effect once", needs: hasHang, run: hangManage},
	{name: "hang/tx", rule: "a call in a transaction returns soon after its ctx ended, although the backend is silent, and nothing of the transaction takes effect", needs: all(hasHang, transactions), run: hangTx},
	{name: "hang/consumer", rule: "a Consumer goes on after a silence of the backend, and every message is handled", needs: hasHang, run: hangConsumer},
}

// hang makes the backend silent for c. The case may end that before its end.
func (t *tester) hang(c *mq.Client) (resume func()) {
	t.Helper()
	resume = sync.OnceFunc(t.h.Hang(t, c))
	t.Cleanup(resume)
	return resume
}

// returns runs f, and ends the case if it does not return in time.
func (t *tester) returns(what string, f func(), resume func()) span {
	t.Helper()
	done := make(chan struct{})
	from := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(t.patience):
		resume()
		t.Fatalf("%s has not returned after %v", what, t.patience)
	}
	return span{from, time.Now()}
}

func hangCalls(t *tester) {
	q := t.queue()
	t.send(q, "leased", "visible")
	d := t.one(q)
	calls := t.everyCall(t.c, q, d)
	calls["EnsureQueue"] = func(ctx context.Context) error {
		_, err := t.c.EnsureQueue(ctx, q.Name(), mq.QueueOptions{})
		return err
	}
	resume := t.hang(t.c)
	for what, call := range calls {
		ctx, cancel := context.WithTimeout(t.ctx, t.unit)
		var err error
		took := t.returns(what, func() { err = call(ctx) }, resume)
		cancel()
		t.soon(what+" with a deadline", took, t.unit)
		if err == nil && slices.Contains([]string{"Send", "Receive", "Stats", "Ping", "EnsureQueue"}, what) {
			t.Errorf("%s returned no error while the backend was silent", what)
		}
	}
}

// silently makes a call with a deadline while the backend is silent.
func (t *tester) silently(what string, call func(context.Context) error) (err error) {
	t.Helper()
	resume := t.hang(t.c)
	defer resume()
	ctx, cancel := context.WithTimeout(t.ctx, t.unit)
	defer cancel()
	took := t.returns(what, func() { err = call(ctx) }, resume)
	t.soon(what+" with a deadline", took, t.unit)
	if err == nil {
		t.Errorf("%s returned no error while the backend was silent", what)
	}
	return err
}

// hangManage has two messages, one of them in the archive. A repeated call may find
// that the first one took effect, or has yet to end.
func hangManage(t *tester) {
	holds := func(c counts) func(*mq.Queue) string {
		return func(q *mq.Queue) string { return t.wrong(q, c) }
	}
	gone := func(q *mq.Queue) string {
		if _, err := q.Stats(t.ctx); !errors.Is(err, mq.ErrQueueNotFound) {
			return fmt.Sprintf("Stats says %v", err)
		}
		return ""
	}
	topic := t.topic()
	for what, m := range map[string]struct {
		call  func(context.Context, *mq.Queue) error
		wrong func(*mq.Queue) string
	}{
		"EnsureQueue": {func(ctx context.Context, q *mq.Queue) error {
			_, err := t.c.EnsureQueue(ctx, q.Name(), mq.QueueOptions{})
			return err
		}, holds(counts{visible: 1, archived: 1})},
		"Purge": {func(ctx context.Context, q *mq.Queue) error { _, err := q.Purge(ctx); return err }, holds(counts{archived: 1})},
		"Redrive": {func(ctx context.Context, q *mq.Queue) error {
			_, err := q.Redrive(ctx, mq.RedriveOptions{})
			return err
		}, holds(counts{visible: 2})},
		"PurgeArchive": {func(ctx context.Context, q *mq.Queue) error { _, err := q.PurgeArchive(ctx, mq.AnyAge); return err }, holds(counts{visible: 1})},
		"Bind":         {func(ctx context.Context, q *mq.Queue) error { return q.Bind(ctx, topic) }, holds(counts{visible: 1, archived: 1})},
		"Unbind":       {func(ctx context.Context, q *mq.Queue) error { return q.Unbind(ctx, topic) }, holds(counts{visible: 1, archived: 1})},
		"DropQueue":    {func(ctx context.Context, q *mq.Queue) error { return t.c.DropQueue(ctx, q.Name()) }, gone},
	} {
		q := t.queue()
		t.send(q, "archived", "stays")
		ds := t.receive(q, 2)
		t.ok(ds[0].Archive(t.ctx, "an incident"), "Archive")
		t.ok(ds[1].Nack(t.ctx, 0), "Nack")
		err := t.silently(what, func(ctx context.Context) error { return m.call(ctx, q) })
		if errors.Is(err, mq.ErrNotSupported) {
			continue
		}
		if !outage(err) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while the backend was silent: %v", what, err)
		}
		wrong := ""
		t.grows(1, func() int {
			t.patiently(what+" again", func() error { return m.call(t.ctx, q) })
			t.patiently("Ping", func() error { return t.c.Ping(t.ctx) })
			if wrong = m.wrong(q); wrong == "" {
				return 1
			}
			return 0
		})
		if wrong != "" {
			t.Errorf("after %s twice: %s", what, wrong)
		}
	}
}

func hangTx(t *tester) {
	for what, call := range map[string]func(context.Context, *mq.TxQueue, Tx, *mq.Delivery) error{
		"Send": func(ctx context.Context, in *mq.TxQueue, _ Tx, _ *mq.Delivery) error {
			_, err := in.Send(ctx, &mq.Message{Body: []byte("never")})
			return err
		},
		"AckTx": func(ctx context.Context, _ *mq.TxQueue, tx Tx, d *mq.Delivery) error { return d.AckTx(ctx, tx.SQLTx) },
		"Nack":  func(ctx context.Context, in *mq.TxQueue, _ Tx, d *mq.Delivery) error { return in.Nack(ctx, d, 0) },
		"Archive": func(ctx context.Context, in *mq.TxQueue, _ Tx, d *mq.Delivery) error {
			return in.Archive(ctx, d, "never")
		},
	} {
		q := t.queue()
		t.send(q, "leased")
		d := t.one(q)
		in, tx := t.tx(q)
		_, err := in.Send(t.ctx, &mq.Message{Body: []byte("never")})
		t.ok(err, "Send")
		what += " in a transaction"
		_ = t.silently(what, func(ctx context.Context) error { return call(ctx, in, tx, d) })
		t.returns("Commit after "+what, func() { _ = tx.Commit() }, func() {}) // of an aborted transaction
		t.patiently("Ping", func() error { return t.c.Ping(t.ctx) })
		t.anyway("ack after "+what, func() error { return d.Ack(t.ctx) })
		if ds := t.take(q, 2); len(ds) > 0 {
			t.Errorf("received %q after %s that was not answered", bodies(ds), what)
		}
		t.counted(q, counts{})
	}
}

func hangGoesOn(t *tester) {
	for _, body := range []string{"1", "2"} {
		q := t.queue()
		t.roundTrip(q, "before "+body)
		resume := t.hang(t.c)
		ctx, cancel := context.WithTimeout(t.ctx, t.unit)
		var err error
		t.returns("Stats", func() { _, err = q.Stats(ctx) }, resume)
		cancel()
		if err == nil {
			t.Error("Stats answered while the backend was silent")
		}
		resume()
		t.goesOn(q, body)
	}
}

func hangClose(t *tester) {
	c := t.open()
	q := t.queueOf(c)
	var err error
	waited := t.background(func() {
		_, err = q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
	})
	t.sleep(t.unit)
	resume := t.hang(c)
	t.returns("Close", func() { _ = c.Close() }, resume)
	t.await("Receive ends by Close", waited)
	t.is(err, "Receive that waits when Close is called", mq.ErrClosed)
}

func hangConsumer(t *tester) {
	t.faultConsumption(func() {
		for range 2 {
			resume := t.hang(t.c)
			t.sleep(2 * t.unit)
			resume()
			t.sleep(t.unit)
		}
	})
}
