package drivertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var groupCases = []testCase{
	{name: "group/heads", rule: "ReceiveHeads leases the oldest message of each free group, oldest first", needs: grouped, run: groupHeads},
	{name: "group/max", rule: "ReceiveHeads leases up to Max heads, and nothing of an empty queue", needs: grouped, run: groupMax},
	{name: "group/in-order", rule: "the messages of a group come in order, one at a time", needs: grouped, run: groupInOrder},
	{name: "group/freed-by-ack", rule: "an ack frees the group for its next message", needs: grouped, run: groupFreedBy(mq.OpAck)},
	{name: "group/freed-by-archive", rule: "an archive frees the group for its next message: poison does not block it", needs: grouped, run: groupFreedBy(mq.OpArchive)},
	{name: "group/freed-by-nack", rule: "after a nack the same head comes again, before the rest", needs: grouped, run: groupFreedByNack},
	{name: "group/freed-by-timeout", rule: "after the timeout the same head comes again, and the old holder's settlements are stale", needs: grouped, run: groupFreedByTimeout},
	{name: "group/late-holder", rule: "a holder whose time ran out frees nothing: no two messages of a group are out at once", needs: grouped, run: groupLateHolder},
	{name: "group/delayed-head", rule: "a group whose oldest message is delayed is not free", needs: all(grouped, delays), run: groupDelayedHead},
	{name: "group/nack-delayed", rule: "a head that is nacked with a delay blocks its group until then", needs: all(grouped, delays), run: groupNackDelayed},
	{name: "group/plain-lease", rule: "a group with a message that a plain Receive has leased is not free", needs: grouped, run: groupPlainLease},
	{name: "group/no-key", rule: "a message without a key is a group of its own: never stuck, never serial", needs: grouped, run: groupNoKey},
	{name: "group/keys", rule: "group keys are compared as they are", needs: grouped, run: groupKeys},
	{name: "group/header", rule: "GroupBy.Header goes by the value of a header; a message without it is a group of its own", needs: all(grouped, headers), run: groupHeader},
	{name: "group/wait", rule: "a ReceiveHeads that waits gets a group that becomes free", needs: grouped, run: groupWait},
	{name: "group/workers", rule: "8 workers on 40 groups: no two messages of a group are out at once, and each group is in order", needs: grouped, run: groupWorkers},
	{name: "group/late-commit", rule: "a send that commits late follows the lease in progress", needs: all(grouped, manyWriters), run: groupLateCommit},
	{name: "group/consumer", rule: "ConsumerConfig.Groups hands out the messages of a group one at a time and in order", needs: grouped, run: groupConsumer},
}

// sendGroups sends messages whose bodies begin with their group: "g1 a".
func (t *tester) sendGroups(q *mq.Queue, bodies ...string) []string {
	t.Helper()
	msgs := make([]*mq.Message, len(bodies))
	for i, b := range bodies {
		group, _, _ := strings.Cut(b, " ")
		msgs[i] = &mq.Message{Body: []byte(b), Group: group}
	}
	return t.post(q, msgs...)
}

// heads leases n heads of groups for long.
func (t *tester) heads(q *mq.Queue, by mq.GroupBy, n int) (got []*mq.Delivery) {
	t.Helper()
	for len(got) < n {
		o := mq.ReceiveOptions{Max: min(n-len(got), t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience}
		ds, err := q.ReceiveHeads(t.ctx, &by, o)
		t.ok(err, "ReceiveHeads, with %d of %d heads received", len(got), n)
		if len(ds) == 0 {
			t.Fatalf("received %d of %d heads", len(got), n)
		}
		got = append(got, ds...)
	}
	return got
}

// head leases one head and checks that it is the right one.
func (t *tester) head(q *mq.Queue, want string) *mq.Delivery {
	t.Helper()
	d := t.heads(q, mq.GroupBy{}, 1)[0]
	if string(d.Body) != want {
		t.Fatalf("the next head is %q, want %q", d.Body, want)
	}
	return d
}

// blocked checks that no group is free.
func (t *tester) blocked(q *mq.Queue, by mq.GroupBy, why string) {
	t.Helper()
	ds, err := q.ReceiveHeads(t.ctx, &by, mq.ReceiveOptions{Max: min(10, t.caps.BatchLimit()), Visibility: t.long})
	t.ok(err, "ReceiveHeads")
	if len(ds) > 0 {
		t.Errorf("received heads %q, want none: %s", bodies(ds), why)
	}
}

func groupHeads(t *tester) {
	q := t.queue()
	t.sendGroups(q, "a 1", "b 1", "a 2", "c 1", "b 2")
	ds := t.heads(q, mq.GroupBy{}, 3)
	if got := bodies(ds); !slices.Equal(got, []string{"a 1", "b 1", "c 1"}) {
		t.Errorf("received heads %q", got)
	}
	for _, d := range ds {
		if want := string(d.Body[:1]); d.Group != want || d.GroupKey != want {
			t.Errorf("Delivery has Group %q and GroupKey %q, want %q", d.Group, d.GroupKey, want)
		}
		t.reads(d.ReadCount, 1)
	}
	t.blocked(q, mq.GroupBy{}, "each group has a lease")
}

func groupMax(t *tester) {
	q := t.queue()
	t.blocked(q, mq.GroupBy{}, "the queue is empty")
	t.sendGroups(q, "a 1", "b 1", "c 1")
	ds, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), mq.ReceiveOptions{Max: min(2, t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience})
	if err != nil || len(ds) == 0 || len(ds) > 2 {
		t.Errorf("received %d heads with Max 2, %v", len(ds), err)
	}
	t.heads(q, mq.GroupBy{}, 3-len(ds))
	t.blocked(q, mq.GroupBy{}, "each group has a lease")
}

func groupInOrder(t *tester) {
	q := t.queue()
	var sent []string
	for i := range 6 {
		sent = append(sent, fmt.Sprintf("g %d", i))
	}
	t.sendGroups(q, sent...)
	for _, want := range sent {
		d := t.head(q, want)
		t.blocked(q, mq.GroupBy{}, "its head is leased")
		t.ok(d.Ack(t.ctx), "ack")
	}
	t.blocked(q, mq.GroupBy{}, "the queue is empty")
}

func groupFreedBy(op driver.Op) func(t *tester) {
	return func(t *tester) {
		q := t.queue()
		t.sendGroups(q, "g 1", "g 2")
		d := t.head(q, "g 1")
		t.blocked(q, mq.GroupBy{}, "its head is leased")
		t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: op}), "%v", op)
		t.head(q, "g 2")
	}
}

func groupFreedByNack(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	t.ok(t.head(q, "g 1").Nack(t.ctx, 0), "nack")
	d := t.head(q, "g 1")
	t.reads(d.ReadCount, 2)
	t.blocked(q, mq.GroupBy{}, "its head is leased again")
	t.ok(d.Ack(t.ctx), "ack")
	t.head(q, "g 2")
}

// leaseHead leases the head of the only free group for d.
func (t *tester) leaseHead(q *mq.Queue, o mq.ReceiveOptions) (d *mq.Delivery, when span) {
	t.Helper()
	when = timed(func() {
		ds, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), o)
		t.ok(err, "ReceiveHeads")
		if len(ds) != 1 {
			t.Fatalf("received %d heads, want 1", len(ds))
		}
		d = ds[0]
	})
	return d, when
}

func groupFreedByTimeout(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	v := 3 * t.unit
	old, leased := t.leaseHead(q, mq.ReceiveOptions{Visibility: v, Wait: t.patience})
	now, again := t.leaseHead(q, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	if now.ID != old.ID {
		t.Errorf("after the timeout the head is %q, want %q", now.Body, old.Body)
	}
	t.reads(now.ReadCount, 2)
	t.wokeWithin(again.to, leased.plus(v))
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack by the holder whose time ran out")
	t.ok(now.Ack(t.ctx), "ack by the holder")
	t.head(q, "g 2")
}

func groupLateHolder(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3")
	v := 2 * t.unit
	old, leased := t.leaseHead(q, mq.ReceiveOptions{Visibility: v, Wait: t.patience})
	t.expire(leased.plus(v))
	now := t.head(q, "g 1")
	for _, op := range []driver.Op{mq.OpAck, mq.OpNack, mq.OpArchive} {
		t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: op}), op.String()+" by the holder whose time ran out")
		t.blocked(q, mq.GroupBy{}, "another holder has its head")
	}
	t.ok(now.Ack(t.ctx), "ack by the holder")
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpNack}), "nack after the holder's ack")
	t.head(q, "g 2")
	t.blocked(q, mq.GroupBy{}, "its head is leased")
}

func groupDelayedHead(t *tester) {
	q := t.queue()
	delay := 4 * t.unit
	sent := timed(func() {
		t.post(q, &mq.Message{Body: []byte("g 1"), Group: "g", Delay: delay})
	})
	t.before(sent.from.Add(delay), func(t *tester) {
		t.sendGroups(q, "g 2", "other 1")
		t.head(q, "other 1")
	})
	d, got := t.leaseHead(q, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	if string(d.Body) != "g 1" {
		t.Errorf("the head of the group is %q, want the delayed %q", d.Body, "g 1")
	}
	t.wokeWithin(got.to, sent.plus(delay))
}

func groupNackDelayed(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	d := t.head(q, "g 1")
	delay := 4 * t.unit
	nacked := timed(func() { t.ok(d.Nack(t.ctx, delay), "nack") })
	again, got := t.leaseHead(q, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	if again.ID != d.ID {
		t.Errorf("the head of the group is %q, want %q", again.Body, d.Body)
	}
	t.wokeWithin(got.to, nacked.plus(delay))
}

func groupPlainLease(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	ds := t.receive(q, 2)
	t.ok(ds[0].Nack(t.ctx, 0), "nack")
	t.blocked(q, mq.GroupBy{}, "a plain Receive has leased its second message")
	t.ok(ds[1].Nack(t.ctx, 0), "nack")
	t.head(q, "g 1")
}

func groupNoKey(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1")
	ids := t.send(q, "1", "2", "3")
	t.sendGroups(q, "g 2")
	ds := t.heads(q, mq.GroupBy{}, 4)
	if got := idsOf(ds)[1:]; !slices.Equal(got, ids) {
		t.Errorf("received heads %q, want all messages without a key", bodies(ds))
	}
	for _, d := range ds[1:] {
		if d.GroupKey != "" {
			t.Errorf("GroupKey of a message without a key is %q", d.GroupKey)
		}
	}
	t.blocked(q, mq.GroupBy{}, "the group's head is leased")
}

func groupKeys(t *tester) {
	q := t.queue()
	keys := []string{"a", "A", "a,b", "a b", "{", "}", `"`, "'", `\`, "1", "01", "日本", "null", "%", strings.Repeat("k", 200)}
	for range 2 {
		for _, key := range keys {
			t.post(q, &mq.Message{Group: key})
		}
	}
	got := make(map[string]int)
	for _, d := range t.heads(q, mq.GroupBy{}, len(keys)) {
		got[d.Group]++
	}
	for _, key := range keys {
		if got[key] != 1 {
			t.Errorf("group %q has %d heads, want 1", key, got[key])
		}
	}
	t.blocked(q, mq.GroupBy{}, "each group has a lease")
}

func groupHeader(t *tester) {
	q := t.queue()
	for _, tenant := range []string{"a", "a", "b", "", "", "b"} {
		m := &mq.Message{Body: []byte("of " + tenant)}
		if tenant != "" {
			m.Headers = mq.Headers{"tenant": tenant, "it's": "x"}
		}
		t.post(q, m)
	}
	by := mq.GroupBy{Header: "tenant"}
	ds := t.heads(q, by, 4)
	for _, d := range ds {
		if d.GroupKey != d.Headers["tenant"] {
			t.Errorf("GroupKey is %q of a message with headers %q", d.GroupKey, d.Headers)
		}
	}
	t.blocked(q, by, "each group has a lease")
	t.ok(q.Settle(t.ctx, each(ds, mq.Settlement{Op: mq.OpAck})...), "ack")
	for _, d := range t.heads(q, by, 2) {
		more, err := q.ReceiveGroup(t.ctx, &by, d.GroupKey, mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}})
		if err != nil || len(more) > 0 {
			t.Errorf("ReceiveGroup returned %d messages, %v, while others hold the group", len(more), err)
		}
		t.ok(d.Nack(t.ctx, 0), "nack")
	}
	t.heads(q, mq.GroupBy{Header: "it's"}, 1)
}

func groupWait(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	d := t.head(q, "g 1")
	var got *mq.Delivery
	done := t.background(func() {
		ds, err := q.ReceiveHeads(t.ctx, mq.ByGroup(), mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
		if err != nil || len(ds) != 1 {
			t.Errorf("ReceiveHeads returned %d messages, %v", len(ds), err)
			return
		}
		got = ds[0]
	})
	t.sleep(t.unit)
	select {
	case <-done:
		t.Fatal("a ReceiveHeads returned while no group was free")
	default:
	}
	acked := timed(func() { t.ok(d.Ack(t.ctx), "ack") })
	t.await("a ReceiveHeads that waits gets the next message of a group", done)
	t.wokeWithin(time.Now(), acked)
	if got != nil && string(got.Body) != "g 2" {
		t.Errorf("received %q, want %q", got.Body, "g 2")
	}
}

// fifo checks that each group is worked on by one holder at a time, in order.
type fifo struct {
	mu   sync.Mutex
	busy map[string]bool
	next map[string]int
	done int
}

func newFIFO() *fifo { return &fifo{busy: make(map[string]bool), next: make(map[string]int)} }

// begin takes note of a message "group n" that has been received.
func (f *fifo) begin(d *mq.Delivery) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[d.Group] {
		err = fmt.Errorf("received %q while another message of its group was out", d.Body)
	}
	if want := fmt.Sprintf("%s %d", d.Group, f.next[d.Group]); string(d.Body) != want {
		err = fmt.Errorf("received %q, want %q", d.Body, want)
	}
	f.busy[d.Group] = true
	return err
}

// acked returns how many messages have been acked.
func (f *fifo) acked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// end takes note that a message is about to be acked, or given back.
func (f *fifo) end(d *mq.Delivery, acked bool) (total int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[d.Group] = false
	if acked {
		f.next[d.Group]++
		f.done++
	}
	return f.done
}
