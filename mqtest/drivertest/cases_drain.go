package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/portmq/mq"
)

var drainCases = []testCase{
	{name: "drain/in-order", rule: "ReceiveGroup leases further messages of one group, in order, Max at most", needs: grouped, run: drainInOrder},
	{name: "drain/one-group", rule: "ReceiveGroup leases messages of its group only, and none of an unknown group", needs: grouped, run: drainOneGroup},
	{name: "drain/holding", rule: "ReceiveGroup takes nothing while anybody but the caller, by Holding, has a lease of the group", needs: grouped, run: drainHolding},
	{name: "drain/stale-holding", rule: "a receipt of a lease that another has taken over does not count as Holding", needs: grouped, run: drainStaleHolding},
	{name: "drain/bad-holding", rule: "a receipt in Holding that is not valid is ErrInvalidReceipt, and nothing is leased", needs: grouped, run: drainBadHolding},
	{name: "drain/expired-holding", rule: "a receipt whose lease has ended does not count as Holding", needs: grouped, run: drainExpiredHolding},
	{name: "drain/concurrent", rule: "of concurrent drains of a group one gets its messages", needs: grouped, run: drainConcurrent},
	{name: "drain/delayed", rule: "ReceiveGroup stops in front of a delayed message, unless IncludeDelayed", needs: all(grouped, delays), run: drainDelayed},
	{name: "drain/lease", rule: "what ReceiveGroup leases comes back after its timeout, and not before", needs: grouped, run: drainLease},
	{name: "drain/wait", rule: "a ReceiveGroup that waits gets a message of its group that is sent", needs: grouped, run: drainWait},
	{name: "drain/wait-delayed", rule: "a ReceiveGroup that waits with IncludeDelayed gets a delayed message at once", needs: all(grouped, delays), run: drainWaitDelayed},
	{name: "drain/path", rule: "ReceiveGroup by path finds the group by its text", needs: groupedByPath, run: drainPath},
	{name: "drain/blocks-heads", rule: "a group that is drained is not free until all of it is settled", needs: grouped, run: drainBlocksHeads},
}

// drainGroup leases up to limit messages of a group at once.
func (t *tester) drainGroup(q *mq.Queue, group string, limit int, o mq.GroupOptions) []*mq.Delivery {
	t.Helper()
	o.Max, o.Visibility = min(limit, t.caps.BatchLimit()), t.long
	ds, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), group, o)
	t.ok(err, "ReceiveGroup")
	return ds
}

// wantBodies checks the bodies of deliveries.
func (t *tester) wantBodies(ds []*mq.Delivery, want ...string) {
	t.Helper()
	if got := bodies(ds); !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

func drainInOrder(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "other 1", "g 3", "g 4")
	ds := t.drainGroup(q, "g", 2, mq.GroupOptions{})
	t.wantBodies(ds, "g 1", "g 2")
	for _, d := range ds {
		t.reads(d.ReadCount, 1)
		if d.GroupKey != "g" {
			t.Errorf("GroupKey is %q, want %q", d.GroupKey, "g")
		}
	}
	more := t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: receiptsOf(ds)})
	t.wantBodies(more, "g 3", "g 4")
	t.ok(q.Settle(t.ctx, each(append(ds, more...), mq.Settlement{Op: mq.OpAck})...), "ack of the group")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{}))
	t.head(q, "other 1")
}

func drainOneGroup(t *tester) {
	q := t.queue()
	t.sendGroups(q, "a 1", "b 1", "a 2", "c 1")
	t.wantBodies(t.drainGroup(q, "unknown", 10, mq.GroupOptions{}))
	t.wantBodies(t.drainGroup(q, "a", 10, mq.GroupOptions{}), "a 1", "a 2")
	t.wantBodies(t.heads(q, mq.GroupBy{}, 2), "b 1", "c 1")
}

func drainHolding(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3")
	d := t.head(q, "g 1")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{}))
	other := t.drainGroup(q, "g", 1, mq.GroupOptions{Holding: []mq.Receipt{d.Receipt}})
	t.wantBodies(other, "g 2")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: []mq.Receipt{d.Receipt}}))
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: []mq.Receipt{d.Receipt, other[0].Receipt}}), "g 3")
}

func drainStaleHolding(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	old := t.head(q, "g 1")
	t.ok(old.Nack(t.ctx, 0), "nack")
	t.head(q, "g 1")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: []mq.Receipt{old.Receipt}}))
}

func drainBadHolding(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1")
	for _, r := range garbage {
		o := mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}, Holding: []mq.Receipt{r}}
		_, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", o)
		t.is(err, "ReceiveGroup holding a malformed receipt", mq.ErrInvalidReceipt)
	}
	t.reads(t.head(q, "g 1").ReadCount, 1)
}

// Plain receives give the messages of one group to two holders.
func drainExpiredHolding(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3")
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.one(q)
	t.expire(leased.plus(v))
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: []mq.Receipt{d.Receipt}}))
}

func drainConcurrent(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3", "g 4", "g 5", "g 6")
	l := &ledger{got: make(map[string]int)}
	winners := make(chan int, 8)
	t.together(8, func(i int) error {
		ds, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Max: min(3, t.caps.BatchLimit()), Visibility: t.long}})
		l.add(ds)
		if len(ds) > 0 {
			winners <- i
		}
		return err
	})
	if n := len(winners); n > 1 {
		t.Errorf("%d concurrent drains of one group got messages", n)
	}
	if len(l.got) != l.n {
		t.Errorf("%d leases of %d messages", l.n, len(l.got))
	}
}

func drainDelayed(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1")
	t.post(q, &mq.Message{Body: []byte("g 2"), Group: "g", Delay: t.delay()})
	t.sendGroups(q, "g 3")
	first := t.drainGroup(q, "g", 10, mq.GroupOptions{})
	t.wantBodies(first, "g 1")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: receiptsOf(first)}))
	o := mq.GroupOptions{Holding: receiptsOf(first), IncludeDelayed: true}
	t.wantBodies(t.drainGroup(q, "g", 10, o), "g 2", "g 3")
	t.counted(q, counts{leased: 3})
}

func drainLease(t *tester) {
	q := t.queue()
	id := t.sendGroups(q, "g 1")[0]
	v := 3 * t.unit
	leased := timed(func() {
		ds, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: v, Wait: t.patience}})
		t.ok(err, "ReceiveGroup")
		t.wantBodies(ds, "g 1")
	})
	t.reads(t.comesBack(q, id, leased.plus(v)).ReadCount, 2)
}

func drainWait(t *tester) { t.drainWaiting(&mq.Message{Group: "g"}, mq.GroupOptions{}) }

func drainWaitDelayed(t *tester) {
	t.drainWaiting(&mq.Message{Group: "g", Delay: t.delay()}, mq.GroupOptions{IncludeDelayed: true})
}

// drainWaiting sends m while a ReceiveGroup waits.
func (t *tester) drainWaiting(m *mq.Message, o mq.GroupOptions) {
	t.Helper()
	q := t.queue()
	o.Visibility, o.Wait = t.long, mq.Forever
	var got int
	var at time.Time
	done := t.background(func() {
		ds, err := q.ReceiveGroup(t.ctx, mq.ByGroup(), "g", o)
		if err != nil {
			t.Errorf("ReceiveGroup: %v", err)
		}
		got, at = len(ds), time.Now()
	})
	t.sleep(t.unit / 2)
	if !o.IncludeDelayed {
		t.sendGroups(q, "other 1")
	}
	sent := timed(func() { t.post(q, m) })
	t.await("a ReceiveGroup that waits returns", done)
	t.wokeWithin(at, sent)
	if got != 1 {
		t.Errorf("received %d messages, want 1", got)
	}
}

func drainPath(t *tester) {
	q := t.queue()
	t.send(q, `{"id":7,"n":1}`, `{"id":8}`, `{"id":"7","n":2}`, `{"n":3}`)
	o := mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Max: min(10, t.caps.BatchLimit()), Visibility: t.long}}
	ds, err := q.ReceiveGroup(t.ctx, &mq.GroupBy{Path: []string{"id"}}, "7", o)
	t.ok(err, "ReceiveGroup by path")
	if len(ds) != 2 {
		t.Fatalf("received %q, want both of group 7", bodies(ds))
	}
	t.sameBody(ds[0].Body, []byte(`{"id":7,"n":1}`))
	t.sameBody(ds[1].Body, []byte(`{"id":"7","n":2}`))
}

func drainBlocksHeads(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3")
	ds := t.drainGroup(q, "g", 2, mq.GroupOptions{})
	t.wantBodies(ds, "g 1", "g 2")
	for _, d := range ds {
		t.blocked(q, mq.GroupBy{}, "a message of it is leased")
		t.ok(d.Ack(t.ctx), "ack")
	}
	t.head(q, "g 3")
}

func groupWorkers(t *tester) {
	q := t.queue()
	const groups, each = 40, 8
	for n := range each {
		var sent []string
		for g := range groups {
			sent = append(sent, fmt.Sprintf("g%d %d", g, n))
		}
		t.sendGroups(q, sent...)
	}
	f := newFIFO()
	ctx, enough := t.growing(f.acked)
	defer enough()
	t.together(8, func(i int) error {
		o := mq.ReceiveOptions{Max: min(1+i%4, t.caps.BatchLimit()), Visibility: t.long, Wait: mq.Forever}
		for {
			ds, err := q.ReceiveHeads(ctx, mq.ByGroup(), o)
			if ctx.Err() != nil {
				return t.ctx.Err()
			}
			for _, d := range ds {
				if err == nil {
					err = f.begin(d)
				}
			}
			for _, d := range ds {
				ack := rand.N(5) > 0
				last := f.end(d, ack) == groups*each
				switch {
				case err != nil:
				case ack:
					err = d.Ack(t.ctx)
				default:
					err = d.Nack(t.ctx, 0)
				}
				if last || err != nil {
					enough()
				}
			}
			if err != nil {
				return err
			}
		}
	})
	if f.done != groups*each {
		t.Errorf("%d of %d messages were acked", f.done, groups*each)
	}
}

// A transaction takes an id, and commits after a younger message of the group
// was leased.
func groupLateCommit(t *tester) {
	q := t.queue()
	tx := t.begin()
	_, err := q.Tx(tx.SQLTx).Send(t.ctx, &mq.Message{Body: []byte("g late"), Group: "g"})
	t.ok(err, "Send in a transaction")
	t.sendGroups(q, "g early")
	d := t.head(q, "g early")
	t.ok(tx.Commit(), "commit")
	t.blocked(q, mq.GroupBy{}, "the group has a lease")
	t.ok(d.Ack(t.ctx), "ack")
	t.head(q, "g late")
}

func groupConsumer(t *tester) {
	q := t.queue()
	const groups, each = 8, 6
	for n := range each {
		for g := range groups {
			t.sendGroups(q, fmt.Sprintf("g%d %d", g, n))
		}
	}
	f := newFIFO()
	done := make(chan struct{})
	t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		if err := f.begin(d); err != nil {
			t.Error(err)
		}
		time.Sleep(rand.N(t.unit / 20))
		if rand.N(5) == 0 {
			f.end(d, false)
			return mq.Retry(0, nil)
		}
		if f.end(d, true) == groups*each {
			close(done)
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 6, Groups: &mq.GroupBy{}, MaxAttempts: mq.Unlimited})
	t.await("all messages of all groups are handled", done)
}
