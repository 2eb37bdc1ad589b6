package mqtest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq"
)

var hangCases = []testCase{
	{name: "hang/calls", rule: "a call returns soon after its ctx ended, although the backend is silent (Provider)", needs: hasHang, run: hangCalls},
	{name: "hang/goes-on", rule: "after a silence of the backend the client goes on", needs: hasHang, run: hangGoesOn},
	{name: "hang/close", rule: "Close returns, and ends a Receive that waits, although the backend is silent", needs: hasHang, run: hangClose},
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
