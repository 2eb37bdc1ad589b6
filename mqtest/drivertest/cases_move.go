package drivertest

import (
	"errors"
	"math"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var delayCases = []testCase{
	{name: "delay/send", rule: "Caps.Delay: a delayed message is hidden until its delay ends, and visible soon after", needs: delays, run: delaySend},
	{name: "delay/batch", rule: "each message of a batch has its own delay", needs: delays, run: delayBatch},
	{name: "delay/counted", rule: "Stats counts delayed messages, sent or nacked with a delay", needs: delays, run: delayCounted},
	{name: "delay/enqueued-at", rule: "a delay does not change when a message was sent (rule 4)", needs: delays, run: delayEnqueuedAt},
	{name: "delay/limit", rule: "Caps.MaxDelay: that delay works, and one above it is ErrInvalid", needs: all(delays, delayLimit), run: delayLimits},
	{name: "delay/longest", rule: "without Caps.MaxDelay a delay may be as long as a Duration can be", needs: all(delays, lacks(delayLimit, "Caps.MaxDelay")), run: delayLongest},
	{name: "delay/negative", rule: "a negative delay is ErrInvalid, and nothing is sent", run: delayNegative},
}

func delaySend(t *tester) {
	q := t.queue()
	delay := 4 * t.unit
	var id string
	sent := timed(func() { id = t.post(q, &mq.Message{Body: []byte("delayed"), Delay: delay})[0] })
	t.hidden(q, sent.from.Add(delay), "it is delayed")
	d := t.comesBack(q, id, sent.plus(delay))
	t.reads(d.ReadCount, 1)
	t.sameMessage(d.Message, &mq.Message{Body: []byte("delayed")})
}

func delayBatch(t *tester) {
	q := t.queue()
	delay := 3 * t.unit
	var ids []string
	sent := timed(func() {
		ids = t.post(q, &mq.Message{Delay: t.delay()}, &mq.Message{}, &mq.Message{Delay: delay})
	})
	t.before(sent.from.Add(delay), func(t *tester) {
		if d := t.one(q); d.ID != ids[1] {
			t.Errorf("received message %s, want %s, the only one without a delay", d.ID, ids[1])
		}
	})
	t.comesBack(q, ids[2], sent.plus(delay))
	t.none(q, "the last one has a long delay")
}

func delayCounted(t *tester) {
	q := t.queue()
	t.post(q, &mq.Message{Delay: t.delay()}, &mq.Message{}, &mq.Message{})
	t.counted(q, counts{visible: 2, delayed: 1})
	t.ok(t.one(q).Nack(t.ctx, t.delay()), "nack with a delay")
	t.counted(q, counts{visible: 1, delayed: 2})
	t.one(q)
	t.none(q, "two are delayed")
}

func delayEnqueuedAt(t *tester) {
	q := t.queue()
	const rounding = time.Second
	delay := min(max(6*t.unit, 3*rounding/2*t.try.times()), t.delay())
	start := time.Now()
	t.send(q, "at once")
	now := t.one(q)
	// After that the delay would not show beside the time between the sends.
	t.before(start.Add(delay-rounding), func(t *tester) { t.post(q, &mq.Message{Delay: delay}) })
	between := time.Since(start)
	later := t.one(q)
	if gap := later.EnqueuedAt.Sub(now.EnqueuedAt); gap < -early || gap > between+rounding {
		t.Errorf("EnqueuedAt of a delayed message is %v after that of one sent at most %v before it", gap, between)
	}
}

func delayLimits(t *tester) {
	q := t.queue()
	_, err := q.Send(t.ctx, &mq.Message{Delay: t.caps.MaxDelay + 1})
	t.is(err, "Send with a delay above MaxDelay", mq.ErrInvalid)
	t.counted(q, counts{})
	t.post(q, &mq.Message{Delay: t.caps.MaxDelay})
	t.counted(q, counts{delayed: 1})
}

func delayLongest(t *tester) {
	q := t.queue()
	t.post(q, &mq.Message{Delay: math.MaxInt64}, &mq.Message{})
	t.ok(t.one(q).Nack(t.ctx, math.MaxInt64), "nack")
	t.counted(q, counts{delayed: 2})
	t.none(q, "both are delayed")
}

func delayNegative(t *tester) {
	q := t.queue()
	_, err := q.Send(t.ctx, &mq.Message{Delay: -time.Second})
	t.is(err, "Send with a negative delay", mq.ErrInvalid)
	t.none(q, "the message was refused")
}

var moveCases = []testCase{
	{name: "move/new-message", rule: "a move makes a new message: EnqueuedAt now, read count 0, headers mq-origin and mq-reason (rule 6)", needs: moves, run: moveNewMessage},
	{name: "move/batch", rule: "a batch of moves may have several targets", needs: moves, run: moveBatch},
	{name: "move/missing", rule: "a move to a missing queue is ErrQueueNotFound and loses nothing; in a batch the rest takes effect (rule 1)", needs: moves, run: moveMissing},
	{name: "move/itself", rule: "a move to the same queue makes a new message there, and the old receipt stays dead (rule 6)", needs: moves, run: moveItself},
	{name: "move/emulated", rule: "Config.AllowDuplicateMoves: a provider without AtomicMove copies and acks", run: moveEmulated},
	{name: "move/emulated-missing", rule: "Config.AllowDuplicateMoves: a copy that fails leaves the lease as it was", run: moveEmulatedMissing},
}

// moved checks a message that was moved from q.
func (t *tester) moved(d *mq.Delivery, q *mq.Queue, id string, m *mq.Message, reason string) {
	t.Helper()
	t.sameBody(d.Body, m.Body)
	t.reads(d.ReadCount, 1)
	if d.Group != m.Group {
		t.Errorf("the moved message has group %q, want %q", d.Group, m.Group)
	}
	if t.caps.Headers {
		t.sameHeaders(d.Headers, m.Headers, mq.Headers{driver.HeaderOrigin: q.Name() + "/" + id, driver.HeaderReason: reason})
	}
}

func (t *tester) movable() *mq.Message {
	m := &mq.Message{Body: []byte(`{"moved":true}`)}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "v"}
	}
	if t.caps.Groups {
		m.Group = "g"
	}
	return m
}

func moveNewMessage(t *tester) { t.moveBetween(t.queue(), t.queue()) }

func (t *tester) moveBetween(from, to *mq.Queue) {
	t.Helper()
	m := t.movable()
	t.post(from, m)
	t.ok(t.one(from).Nack(t.ctx, 0), "nack")
	d := t.one(from)
	t.sleep(t.unit)
	t.ok(d.Move(t.ctx, to.Name(), "too hard"), "move")
	moved := t.one(to)
	t.moved(moved, from, d.ID, m, "too hard")
	t.younger(moved, d, t.unit)
	t.none(to, "one message was moved")
	t.none(from, "its message was moved")
	t.stale(d.Ack(t.ctx), "Delivery.Ack after Move")
	t.stale(from.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack}), "nack after move")
	t.counted(from, counts{})
	t.counted(to, counts{leased: 1})
}

func moveBatch(t *tester) {
	q, a, b := t.queue(), t.queue(), t.queue()
	ids := t.send(q, "0", "1", "2", "3")
	ds := t.receive(q, 4)
	batch := each(ds, mq.Settlement{Op: mq.OpMove, To: a.Name(), Reason: "batch"})
	batch[3].To = b.Name()
	t.ok(q.Settle(t.ctx, batch...), "Settle of four moves")
	t.receive(a, 3)
	t.none(a, "three were moved there")
	if d := t.one(b); string(d.Body) != string(ds[3].Body) {
		t.Errorf("queue b has body %q, want %q", d.Body, ds[3].Body)
	}
	t.none(b, "one was moved there")
	t.none(q, "all of "+ids[0]+" and the others were moved")
}

func moveMissing(t *tester) {
	q := t.queue()
	id := t.send(q, "not lost")[0]
	d := t.one(q)
	t.is(d.Move(t.ctx, t.name(), "nowhere"), "move to a missing queue", mq.ErrQueueNotFound)
	t.is(d.Move(t.ctx, "", "nowhere"), "move to a queue without a name", mq.ErrInvalid)
	t.none(q, "it is still leased")
	t.ok(d.Nack(t.ctx, 0), "nack after a move that failed")
	again := t.one(q)
	if again.ID != id {
		t.Errorf("received message %s, want %s", again.ID, id)
	}
	t.send(q, "acked")
	err := q.Settle(t.ctx, mq.Settlement{Receipt: again.Receipt, Op: mq.OpMove, To: t.name()}, mq.Settlement{Receipt: t.one(q).Receipt, Op: mq.OpAck})
	batch, ok := errors.AsType[*mq.BatchError](err)
	if !ok || len(batch.Errs) != 2 || !errors.Is(batch.Errs[0], mq.ErrQueueNotFound) || batch.Errs[1] != nil {
		t.Errorf("Settle of a move to a missing queue and an ack: got error %v, want a *BatchError with ErrQueueNotFound for the move only", err)
	}
	t.counted(q, counts{leased: 1})
}

func moveItself(t *tester) {
	q := t.queue()
	m := t.movable()
	id := t.post(q, m)[0]
	old := t.one(q)
	t.ok(old.Move(t.ctx, q.Name(), "again"), "move to the same queue")
	d := t.one(q)
	if d.ID == id {
		t.Errorf("the moved message has the old id %s", id)
	}
	t.moved(d, q, id, m, "again")
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack with the receipt from before the move")
	t.unharmed(q, d)
}

// immovable hides AtomicMove.
type immovable struct{ driver.Provider }

func (p immovable) Caps() driver.Caps {
	c := p.Provider.Caps()
	c.AtomicMove = false
	return c
}

// QueueName forwards what mq would find on the provider itself.
func (p immovable) QueueName(name string) (string, error) {
	if n, ok := p.Provider.(driver.Namer); ok {
		return n.QueueName(name)
	}
	return name, nil
}

// emulating returns a client of the case's provider that moves in two steps.
func (t *tester) emulating() *mq.Client {
	cfg := quiet()
	cfg.AllowDuplicateMoves = true
	c := mq.New(immovable{t.p}, cfg)
	t.Cleanup(func() { closeClient(t, c) })
	return c
}

func moveEmulated(t *tester) {
	c := t.emulating()
	t.moveBetween(t.queueOf(c), t.queueOf(c))
}

func moveEmulatedMissing(t *tester) {
	q := t.queueOf(t.emulating())
	t.send(q, "not lost")
	d := t.one(q)
	t.is(d.Move(t.ctx, t.name(), "nowhere"), "move to a missing queue", mq.ErrQueueNotFound)
	t.unharmed(q, d)
}
