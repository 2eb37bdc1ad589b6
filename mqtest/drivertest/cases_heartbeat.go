package drivertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// heartbeat is a visibility that a busy machine has time to extend.
func (t *tester) heartbeat() time.Duration {
	return min(max(1500*time.Millisecond*t.try.times(), 10*t.unit), t.long)
}

// watched is a provider that notes whether leases of a visibility were kept
// alive: on a machine that is too slow mq extends them late.
type watched struct {
	immovable
	visibility time.Duration

	mu      sync.Mutex
	granted map[driver.Receipt]time.Time // when the call began that did
	lapsed  time.Duration                // the longest that one was left alone
}

// watch returns a queue whose leases are watched.
func (t *tester) watch(visibility time.Duration) (*watched, *mq.Queue) {
	t.Helper()
	w := &watched{immovable: immovable{t.p}, visibility: visibility, granted: make(map[driver.Receipt]time.Time)}
	c := mq.New(w, quiet())
	t.Cleanup(func() { closeClient(t, c) })
	return w, t.queueOf(c)
}

func (w *watched) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	begin := time.Now()
	ds, err := w.Provider.Receive(ctx, queue, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range ds {
		if r.Visibility == w.visibility {
			w.granted[ds[i].Receipt] = begin
		}
	}
	return ds, err
}

func (w *watched) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	begin := time.Now()
	err := w.Provider.Extend(ctx, queue, rs, d)
	errs, whole := itemErrors(err, len(rs))
	for i, r := range rs {
		if w.asked(r); errs[i] == nil && whole == nil {
			w.extended(r, begin)
		}
	}
	return err
}

func (w *watched) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	err := w.Provider.Settle(ctx, queue, s)
	for i := range s {
		w.asked(s[i].Receipt)
		w.over(s[i].Receipt)
	}
	return err
}

// asked notes how long a lease was left alone until a call that acted on it
// was answered.
func (w *watched) asked(r driver.Receipt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.granted[r]; ok {
		w.lapsed = max(w.lapsed, time.Since(at))
	}
}

func (w *watched) extended(r driver.Receipt, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.granted[r]; ok {
		w.granted[r] = at
	}
}

func (w *watched) over(r driver.Receipt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.granted, r)
}

// alone returns the longest time for which a lease was left alone, those that
// have not ended included.
func (w *watched) alone() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest := w.lapsed
	for _, at := range w.granted {
		longest = max(longest, time.Since(at))
	}
	return longest
}

// kept fails the case for what is wrong, unless there may be a lease that was not
// extended in time: then the try is void.
func (t *tester) kept(w *watched, wrong *tally) {
	t.Helper()
	problems := wrong.all()
	if len(problems) == 0 {
		return
	}
	if alone := w.alone(); alone > w.visibility-early {
		why := fmt.Sprintf("a lease of %v was left alone for %v", w.visibility, alone)
		t.unlessLast(why)
		problems = append(problems, why+t.try.String())
	}
	t.Fatal(strings.Join(problems, "; "))
}

func consumerLongJob(t *tester) {
	v := t.heartbeat()
	w, q := t.watch(v)
	t.send(q, "long")
	y, wrong := new(tally), new(tally)
	t.consume(q, func(ctx context.Context, d *mq.Delivery) error {
		if reads := t.wrongReads(d.ReadCount, 1); reads != "" {
			wrong.add(reads)
		}
		y.add("begins")
		t.doze(3 * v)
		if ctx.Err() != nil {
			wrong.add(fmt.Sprintf("the handler's ctx ended: %v", context.Cause(ctx)))
		}
		y.add("ends")
		return nil
	}, mq.ConsumerConfig{Visibility: v})
	t.handled(y, 1)
	for len(y.all()) == 1 {
		wrong.add(t.found(q, "a handler works on it")...)
		t.kept(w, wrong)
		t.sleep(t.unit)
	}
	t.eventually("the long job is acked", func() bool {
		t.kept(w, wrong)
		return t.isEmpty(q)
	})
	if calls := y.all(); len(calls) != 2 {
		wrong.add(fmt.Sprintf("the message was handled more than once: %s", calls))
	}
	t.kept(w, wrong)
}

func consumerPrefetch(t *tester) {
	v := t.heartbeat()
	w, q := t.watch(v)
	t.post(q, numbered(6)...)
	y, wrong := new(tally), new(tally)
	c, stop := t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		if reads := t.wrongReads(d.ReadCount, 1); reads != "" {
			wrong.add(reads)
		}
		t.doze(v / 2)
		y.add(d.ID)
		return nil
	}, mq.ConsumerConfig{Concurrency: 1, Prefetch: min(6, t.caps.BatchLimit()), Visibility: v})
	t.eventually("the queue is prefetched", func() bool { return c.Stats().Received > 1 })
	t.handled(y, 6)
	t.ok(stop(), "Run")
	if calls := y.all(); len(calls) != 6 || len(slices.Compact(slices.Sorted(slices.Values(calls)))) != 6 {
		wrong.add(fmt.Sprintf("handled %s, want six messages once each", calls))
	}
	wrong.add(t.found(q, "all were acked")...)
	t.kept(w, wrong)
}

// The message is settled behind the Consumer's back.
func consumerLeaseLost(t *tester) {
	v := t.heartbeat()
	w, q := t.watch(v)
	t.send(q, "lost")
	var cause error
	wrong := new(tally)
	ended := make(chan struct{})
	c, stop := t.consume(q, func(ctx context.Context, d *mq.Delivery) error {
		defer close(ended)
		if err := q.Settle(ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}); err != nil {
			wrong.add(fmt.Sprintf("ack by receipt: %v", err))
			return nil
		}
		select {
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-t.ctx.Done():
		}
		return nil
	}, mq.ConsumerConfig{Visibility: v})
	t.await("the handler ends", ended)
	t.kept(w, wrong)
	t.stale(cause, "the cause of the handler's ctx")
	t.ok(stop(), "Run")
	if s := c.Stats(); s.Lost != 1 || s.Acked != 0 {
		t.Errorf("ConsumerStats are %+v, want one lost", s)
	}
}

// A rival takes what the loop does not have: all of it, if the batch was less
// than all, and nothing twice.
func messagesKeepsLeases(t *tester) {
	v := t.heartbeat()
	w, q := t.watch(v)
	const total = 3
	t.post(q, numbered(total)...)
	wrong := new(tally)
	l := &ledger{got: make(map[string]int)}
	for d, err := range q.Messages(t.ctx, mq.ReceiveOptions{Max: min(total, t.caps.BatchLimit()), Visibility: v, Wait: t.linger()}) {
		t.ok(err, "Messages")
		t.sleep(v) // three times over, for the last one
		rival, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(total, t.caps.BatchLimit()), Visibility: t.long})
		t.ok(err, "Receive by a rival")
		if err := d.Ack(t.ctx); err != nil {
			wrong.add(fmt.Sprintf("ack: %v", err))
		}
		if l.add(append(rival, d)) >= total {
			break
		}
	}
	if len(l.got) != total || l.n != total {
		wrong.add(fmt.Sprintf("a loop and a rival got %d messages, %d of them different, want %d", l.n, len(l.got), total))
	}
	t.kept(w, wrong)
}
