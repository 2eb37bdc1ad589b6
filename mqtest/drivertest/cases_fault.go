package drivertest

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

var faultCases = []testCase{
	{name: "fault/lease", rule: "the message of a holder whose connection is cut is delivered again", needs: hasBreak, run: faultLease},
	{name: "fault/goes-on", rule: "after a lost connection the next call dials again or answers ErrBadConn", needs: hasBreak, run: faultGoesOn},
	{name: "fault/portable", rule: "Caps.PortableReceipts: a receipt works after a reconnect (rule 1)", needs: all(hasBreak, portable), run: faultPortable},
	{
		name: "fault/not-portable", rule: "without Caps.PortableReceipts a receipt of an earlier connection is stale (rule 1)",
		needs: all(hasBreak, lacks(portable, "Caps.PortableReceipts")), run: faultNotPortable,
	},
	{name: "fault/sends", rule: "what was sent while connections break is stored if Send returned nil (rule 9), and not stored after ErrBadConn (rule 7)", needs: hasBreak, run: faultSends},
	{name: "fault/publishes", rule: "what was published while connections break is stored in each queue if Publish returned nil, and in none after ErrBadConn", needs: all(hasBreak, routes), run: faultPublishes},
	{name: "fault/keys", rule: "a send with a DedupKey that is repeated after an outage stores one message", needs: all(hasBreak, deduplicates), run: faultKeys},
	{name: "fault/wait", rule: "a Receive that waits survives a broken connection, or says so", needs: hasBreak, run: faultWait},
	{name: "fault/consumer", rule: "a Consumer goes on after connections break, and every message is handled", needs: hasBreak, run: faultConsumer},
	{name: "fault/restart", rule: "after a restart of the backend the client goes on", needs: hasRestart, run: faultRestart, serial: true},
	{name: "fault/durable", rule: "Caps.Durable: messages survive a restart, and so do leases that are portable", needs: all(hasRestart, durable), run: faultDurable, serial: true},
	{name: "fault/restart-consumer", rule: "Caps.Durable: a Consumer goes on after a restart of the backend, and every message is handled", needs: all(hasRestart, durable), run: faultRestartConsumer, serial: true},
}

// outage reports whether err is of the way to the backend.
func outage(err error) bool {
	return errors.Is(err, mq.ErrBadConn) || errors.Is(err, mq.ErrUnavailable)
}

// patiently calls f until there is no outage.
func (t *tester) patiently(what string, f func() error) {
	t.Helper()
	t.eventually(what, func() bool {
		err := f()
		if err != nil && !outage(err) {
			t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

// take receives up to limit messages whatever happens to connections.
func (t *tester) take(q *mq.Queue, limit int) (ds []*mq.Delivery) {
	t.Helper()
	t.patiently("Receive", func() (err error) {
		ds, err = q.Receive(t.ctx, mq.ReceiveOptions{Max: min(limit, t.caps.BatchLimit()), Visibility: t.long, Wait: t.linger()})
		return err
	})
	return ds
}

// anyway settles whatever happens to connections: what an earlier try has
// done is done.
func (t *tester) anyway(what string, settle func() error) {
	t.Helper()
	tries := 0
	t.patiently(what, func() error {
		err := settle()
		if tries++; tries > 1 && errors.Is(err, mq.ErrStaleReceipt) {
			return nil
		}
		return err
	})
}

// goesOn checks that a queue works again. A Send whose answer was lost may have
// been stored.
func (t *tester) goesOn(q *mq.Queue, body string) {
	t.Helper()
	t.patiently("Ping", func() error { return t.c.Ping(t.ctx) })
	t.patiently("Stats", func() error { _, err := q.Stats(t.ctx); return err })
	t.patiently("Send", func() error { _, err := q.Send(t.ctx, &mq.Message{Body: []byte(body)}); return err })
	t.eventually("the message comes", func() bool {
		ds := t.take(q, 1)
		for _, d := range ds {
			t.sameBody(d.Body, []byte(body))
		}
		return len(ds) > 0
	})
}

func faultLease(t *tester) {
	q := t.queue()
	id := t.send(q, "held by a lost connection")[0]
	v := 10 * t.unit
	d, _ := t.lease(q, v)
	t.h.Break(t, t.c)
	t.eventually("the message is delivered again", func() bool {
		ds := t.take(q, 1)
		return len(ds) == 1 && ds[0].ID == id
	})
	t.patiently("ack by the old holder", func() error {
		err := q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
		if outage(err) {
			return err
		}
		t.stale(err, "ack by the old holder")
		return nil
	})
	if ds := t.take(q, 1); len(ds) > 0 {
		t.Errorf("received %q, which has a new holder", bodies(ds))
	}
}

func faultGoesOn(t *tester) {
	for i := range 3 {
		q := t.queue()
		t.h.Break(t, t.c)
		t.goesOn(q, strconv.Itoa(i))
	}
}

func faultPortable(t *tester) {
	q := t.queue()
	t.send(q, "1", "2")
	ds := t.receive(q, 2)
	t.h.Break(t, t.c)
	t.anyway("ack after a reconnect", func() error { return ds[0].Ack(t.ctx) })
	t.patiently("extend after a reconnect", func() error { return ds[1].Extend(t.ctx, t.long) })
	if got := t.take(q, 1); len(got) > 0 {
		t.Errorf("received %q, whose lease stands", bodies(got))
	}
	t.anyway("nack after a reconnect", func() error { return ds[1].Nack(t.ctx, 0) })
	if got := t.take(q, 2); len(got) != 1 || got[0].ID != ds[1].ID {
		t.Errorf("received %q, want %q that was nacked", bodies(got), ds[1].Body)
	}
}

func faultNotPortable(t *tester) {
	q := t.queue()
	id := t.send(q, "held by a lost connection")[0]
	d := t.one(q)
	t.h.Break(t, t.c)
	t.patiently("Ping", func() error { return t.c.Ping(t.ctx) })
	t.stale(d.Ack(t.ctx), "ack with a receipt of an earlier connection")
	t.eventually("the message is delivered again", func() bool {
		ds := t.take(q, 1)
		return len(ds) == 1 && ds[0].ID == id
	})
}

// whileBreaking makes n calls from 4 goroutines while connections break, and returns
// their errors.
func (t *tester) whileBreaking(n int, call func(i int) error) []error {
	t.Helper()
	results := make([]error, n)
	var returned atomic.Int32
	done := t.background(func() {
		t.together(4, func(w int) error {
			for i := w; i < n; i += 4 {
				results[i] = call(i)
				returned.Add(1)
				time.Sleep(t.unit / 50)
			}
			return nil
		})
	})
	for range 4 {
		t.sleep(t.unit)
		t.h.Break(t, t.c)
	}
	t.reaches("all calls return", n, func() int { return int(returned.Load()) })
	t.await("all calls return", done)
	t.sleep(t.unit)
	return results
}

// stored receives all messages of q, waits for those whose call succeeded, and returns
// the count of each body.
func (t *tester) stored(q *mq.Queue, results []error) map[string]int {
	t.Helper()
	stored := make(map[string]int)
	take := func() (n int) {
		for _, d := range t.take(q, len(results)) {
			stored[string(d.Body)]++
			n++
		}
		return n
	}
	t.grows(len(results), func() (n int) { // until what must be there has come
		take()
		for i, err := range results {
			if err != nil || stored[strconv.Itoa(i)] > 0 {
				n++
			}
		}
		return n
	})
	for take() > 0 {
	}
	return stored
}

// judge compares how often messages are stored with what their sends returned.
func (t *tester) judge(what string, results []error, stored map[string]int) {
	t.Helper()
	for i, err := range results {
		n := stored[strconv.Itoa(i)]
		switch {
		case err == nil && n != 1:
			t.Errorf("%s returned nil, and the message is stored %d times", what, n)
		case err != nil && !outage(err):
			t.Errorf("%s while a connection broke: %v", what, err)
		case errors.Is(err, mq.ErrBadConn) && !errors.Is(err, mq.ErrUnavailable) && n != 0:
			t.Errorf("%s returned ErrBadConn, and the message is stored", what)
		case n > 1:
			t.Errorf("%s returned %v, and the message is stored %d times", what, err, n)
		}
	}
}

func faultSends(t *tester) {
	q := t.queue()
	results := t.whileBreaking(300, func(i int) error {
		_, err := q.Send(t.ctx, &mq.Message{Body: []byte(strconv.Itoa(i))})
		return err
	})
	t.judge("Send", results, t.stored(q, results))
}

func faultPublishes(t *tester) {
	topic := t.topic()
	queues := []*mq.Queue{t.boundTo(topic), t.boundTo(topic)}
	results := t.whileBreaking(100, func(i int) error {
		_, err := t.c.Publish(t.ctx, topic, &mq.Message{Body: []byte(strconv.Itoa(i))})
		return err
	})
	in := []map[string]int{t.stored(queues[0], results), t.stored(queues[1], results)}
	for _, stored := range in {
		t.judge("Publish", results, stored)
	}
	for i := range results {
		if body := strconv.Itoa(i); t.caps.AtomicSend && in[0][body] != in[1][body] {
			t.Errorf("Publish returned %v, and stored a message %d times in one queue and %d times in the other", results[i], in[0][body], in[1][body])
		}
	}
}

// faultKeys repeats each send until it is answered.
func faultKeys(t *tester) {
	q := t.queue()
	results := t.whileBreaking(100, func(i int) error {
		body := strconv.Itoa(i)
		for {
			_, _, err := q.SendOnce(t.ctx, &mq.Message{Body: []byte(body), DedupKey: body, DedupFor: time.Hour})
			if !outage(err) {
				return err
			}
			time.Sleep(t.unit / 10)
		}
	})
	t.judge("SendOnce", results, t.stored(q, results))
}

func faultWait(t *tester) {
	q := t.queue()
	var got []*mq.Delivery
	done := t.background(func() {
		for t.ctx.Err() == nil && len(got) == 0 {
			ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
			if got = ds; err != nil && !outage(err) {
				t.Errorf("Receive while a connection broke: %v", err)
				return
			}
		}
	})
	t.sleep(t.unit)
	t.h.Break(t, t.c)
	t.sleep(t.unit)
	t.patiently("Send", func() error { _, err := q.Send(t.ctx, &mq.Message{Body: []byte("after the break")}); return err })
	t.await("a Receive that waited gets what was sent after the break", done)
}

// faultConsumption runs a Consumer while hurt is called, and sends before and
// after.
func (t *tester) faultConsumption(hurt func()) {
	t.Helper()
	q := t.queue()
	const half = 100
	t.post(q, numbered(half)...)
	y := new(tally)
	_, stop := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		time.Sleep(t.unit / 10)
		y.add(string(d.Body))
		return nil
	}, mq.ConsumerConfig{Concurrency: 4, Visibility: t.heartbeat(), MaxAttempts: mq.Unlimited})
	t.handled(y, half/4)
	hurt()
	for _, m := range numbered(2 * half)[half:] {
		t.patiently("Send", func() error { _, err := q.Send(t.ctx, m); return err })
	}
	t.reaches("every message is handled", 2*half, func() int {
		seen := make(map[string]bool)
		for _, body := range y.all() {
			seen[body] = true
		}
		return len(seen)
	})
	t.ok(stop(), "Run")
}

func faultConsumer(t *tester) {
	t.faultConsumption(func() {
		for range 2 {
			t.h.Break(t, t.c)
			t.sleep(t.unit)
		}
	})
}

func faultRestart(t *tester) {
	q := t.queue()
	t.roundTrip(q, "before")
	t.h.Restart(t)
	t.patiently("EnsureQueue", func() error {
		_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{})
		return err
	})
	t.goesOn(q, "after")
}

func faultDurable(t *tester) {
	q := t.queue()
	const total = 10
	t.post(q, numbered(total)...)
	d := t.one(q)
	t.h.Restart(t)
	want := total
	if t.caps.PortableReceipts {
		want-- // its lease survives as well
	}
	got := make(map[string]bool)
	t.reaches("the messages are received", want, func() int {
		for _, again := range t.take(q, total) {
			got[again.ID] = true
		}
		return len(got)
	})
	if more := t.take(q, 1); len(more) > 0 || got[d.ID] == t.caps.PortableReceipts {
		t.Errorf("received %d messages, want %d, and the one that was leased: %v", len(got)+len(more), want, !t.caps.PortableReceipts)
	}
	if !t.caps.PortableReceipts {
		t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}), "ack after the restart")
		return
	}
	t.anyway("ack after the restart", func() error {
		return q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
	})
}

func faultRestartConsumer(t *tester) {
	t.faultConsumption(func() { t.h.Restart(t) })
}
