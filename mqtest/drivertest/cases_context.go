package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var contextCases = []testCase{
	{name: "context/ended", rule: "every method with a ctx that has ended answers its error and has no effect", run: contextEnded},
	{name: "context/cause-kept", rule: "the error of a call whose ctx ended is context.Canceled or DeadlineExceeded (rule 7)", run: contextDeadline},
	{name: "context/provider", rule: "Provider: every method returns soon after ctx ended (rule 3)", run: contextProvider},
}

func contextEnded(t *tester) {
	q := t.queue()
	t.send(q, "leased", "visible")
	d := t.one(q)
	ended, cancel := context.WithCancel(t.ctx)
	cancel()
	for what, call := range t.everyCall(t.c, q, d) {
		t.is(call(ended), what+" with a ctx that has ended", context.Canceled)
	}
	_, err := t.c.EnsureQueue(ended, t.name(), mq.QueueOptions{})
	t.is(err, "EnsureQueue with a ctx that has ended", context.Canceled)
	t.counted(q, counts{visible: 1, leased: 1})
	t.ok(d.Ack(t.ctx), "ack")
	t.reads(t.one(q).ReadCount, 1)
}

func contextDeadline(t *tester) {
	q := t.queue()
	ctx, cancel := context.WithTimeout(t.ctx, t.unit)
	defer cancel()
	var err error
	took := timed(func() {
		_, err = q.Receive(ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
	})
	t.is(err, "Receive until its deadline", context.DeadlineExceeded)
	if d := took.length(); d < t.unit-early {
		t.Errorf("Receive with a deadline in %v returned after %v", t.unit, d)
	}
	t.soon("Receive with a deadline", took, t.unit)
	wrapped := (*mq.Error)(nil)
	if !errors.As(err, &wrapped) || wrapped.Op != "receive" || wrapped.Queue != q.Name() {
		t.Errorf("the error is %#v, want an *mq.Error of a receive", err)
	}
}

func contextProvider(t *tester) {
	q := t.queue()
	t.send(q, "stays")
	ended, cancel := context.WithCancel(t.ctx)
	cancel()
	name := q.Name()
	for what, call := range map[string]func() error{
		"EnsureQueue": func() error { return t.p.EnsureQueue(ended, name, driver.QueueOptions{}) },
		"Receive":     func() error { _, err := t.p.Receive(ended, name, probe); return err },
		"Settle":      func() error { return t.p.Settle(ended, name, []driver.Settlement{{Receipt: "garbage", Op: mq.OpAck}}) },
		"Extend":      func() error { return t.p.Extend(ended, name, []driver.Receipt{"garbage"}, t.long) },
		"Stats":       func() error { _, err := t.p.Stats(ended, name); return err },
		"Ping":        func() error { return t.p.Ping(ended) },
	} {
		var err error
		took := timed(func() { err = call() })
		t.soon(what+" with a ctx that has ended", took, 0)
		if err != nil && what != "Settle" && what != "Extend" {
			t.is(err, what, context.Canceled, mq.ErrUnavailable)
		}
	}
	t.reads(t.one(q).ReadCount, 1)
}

var concurrencyCases = []testCase{
	{name: "concurrency/opposite-orders", rule: "batches that name the same messages in opposite orders do not lock each other out", run: oppositeOrders},
	{name: "concurrency/opposite-moves", rule: "moves between two queues in opposite directions do not lock each other out", needs: moves, run: oppositeMoves},
	{name: "concurrency/mixed", rule: "16 goroutines do anything at once: every message is acked or archived exactly once", run: concurrencyMixed},
	{name: "concurrency/queues", rule: "many queues are used side by side", run: concurrencyQueues},
}

func oppositeOrders(t *tester) {
	q := t.queue()
	n := min(100, t.caps.BatchLimit())
	t.post(q, numbered(n)...)
	up := receiptsOf(t.receive(q, n))
	down := slices.Clone(up)
	slices.Reverse(down)
	t.together(4, func(i int) error {
		rs := up
		if i%2 == 1 {
			rs = down
		}
		for range 20 {
			if err := t.p.Extend(t.ctx, q.Name(), rs, t.long); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	acked := make(map[mq.Receipt]int)
	t.together(4, func(i int) error {
		rs := up
		if i%2 == 1 {
			rs = down
		}
		settlements := make([]mq.Settlement, n)
		for j, r := range rs {
			settlements[j] = mq.Settlement{Receipt: r, Op: mq.OpAck}
		}
		errs, err := itemErrors(t.p.Settle(t.ctx, q.Name(), settlements), n)
		mu.Lock()
		defer mu.Unlock()
		for j, itemErr := range errs {
			if itemErr == nil && err == nil {
				acked[rs[j]]++
			} else if err == nil && !errors.Is(itemErr, mq.ErrStaleReceipt) {
				err = itemErr
			}
		}
		return err
	})
	for _, r := range up {
		if acked[r] != 1 {
			t.Errorf("one of four acks of a receipt must succeed, %d did", acked[r])
		}
	}
	t.counted(q, counts{})
}

// itemErrors splits the result of a batch of n into errors of its items, and
// one of the whole.
func itemErrors(err error, n int) (errs []error, whole error) {
	batch := (*driver.BatchError)(nil)
	if errors.As(err, &batch) && len(batch.Errs) == n {
		return batch.Errs, nil
	}
	return make([]error, n), err
}

func oppositeMoves(t *tester) {
	a, b := t.queue(), t.queue()
	const total = 40
	t.post(a, numbered(total)...)
	t.post(b, numbered(total)...)
	t.together(8, func(i int) error {
		from, to := a.Name(), b.Name()
		if i%2 == 1 {
			from, to = to, from
		}
		for range 40 {
			ds, err := t.p.Receive(t.ctx, from, driver.ReceiveRequest{Max: min(4, t.caps.BatchLimit()), Visibility: t.long})
			if err != nil {
				return err
			}
			moves := make([]driver.Settlement, len(ds))
			for j := range ds {
				moves[j] = driver.Settlement{Receipt: ds[j].Receipt, Op: mq.OpMove, To: to}
			}
			if len(moves) == 0 {
				continue
			}
			if err := t.p.Settle(t.ctx, from, moves); err != nil {
				return err
			}
		}
		return nil
	})
	if n := len(t.rest(a, 0)) + len(t.rest(b, 0)); n != 2*total {
		t.Errorf("%d messages are left of %d that were moved around", n, 2*total)
	}
}

// mixed counts how each message ended.
type mixed struct {
	mu    sync.Mutex
	sent  []string
	ended map[string]int
}

func (m *mixed) send(ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, ids...)
}

func (m *mixed) end(d *mq.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended[d.ID]++
}

func concurrencyMixed(t *tester) {
	q := t.queue()
	m := &mixed{ended: make(map[string]int)}
	short := 2 * t.unit
	t.together(16, func(int) error {
		for range 30 {
			if err := t.mixedStep(q, m, short); err != nil {
				return err
			}
		}
		return nil
	})
	t.reaches("all messages are settled", len(m.sent), func() int {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: t.caps.BatchLimit(), Visibility: t.long, Wait: short})
		t.ok(err, "Receive")
		for _, d := range ds {
			t.ok(d.Ack(t.ctx), "ack")
			m.end(d)
		}
		return len(m.ended)
	})
	for _, id := range m.sent {
		if n := m.ended[id]; n != 1 {
			t.Errorf("message %s was acked or archived %d times", id, n)
		}
	}
	t.none(q, "all were settled")
}

// mixedStep sends some, or leases one for a short time and does something with
// it. That it comes too late is no error.
func (t *tester) mixedStep(q *mq.Queue, m *mixed, short time.Duration) error {
	if rand.N(3) == 0 {
		ids, err := q.SendAll(t.ctx, numbered(1+rand.N(3)))
		m.send(ids)
		return err
	}
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: short})
	if err != nil || len(ds) == 0 {
		return err
	}
	d := ds[0]
	switch rand.N(6) {
	case 0:
		err = d.Nack(t.ctx, 0)
	case 1:
		err = d.Extend(t.ctx, short)
	case 2: // forgotten
	case 3:
		if err = d.Archive(t.ctx, "mixed"); err == nil {
			m.end(d)
		}
	default:
		if err = d.Ack(t.ctx); err == nil {
			m.end(d)
		}
	}
	if errors.Is(err, mq.ErrStaleReceipt) {
		return nil
	}
	return err
}

func concurrencyQueues(t *tester) {
	t.together(12, func(i int) error {
		q, err := t.c.EnsureQueue(t.ctx, t.name(), mq.QueueOptions{})
		for n := 0; n < 10 && err == nil; n++ {
			err = t.sendAndAck(q, fmt.Sprintf("%d %d", i, n))
		}
		return err
	})
}

// sendAndAck sends a message to an empty queue and takes it back.
func (t *tester) sendAndAck(q *mq.Queue, body string) error {
	if _, err := q.Send(t.ctx, &mq.Message{Body: []byte(body)}); err != nil {
		return err
	}
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	if err != nil {
		return err
	}
	if len(ds) != 1 || string(ds[0].Body) != body {
		return fmt.Errorf("received %q, want %q", bodies(ds), body)
	}
	return ds[0].Ack(t.ctx)
}
