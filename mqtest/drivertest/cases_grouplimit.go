package drivertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// Cases of groups of which several messages may be leased at a time.
var groupLimitCases = []testCase{
	{name: "group-limit/leases", rule: "GroupBy.Limit: at most Limit messages of a group are leased at a time, and a group has room again once one is settled", needs: limited, run: limitLeases},
	{name: "group-limit/one", rule: "a Limit of 1 is the default: a group is worked on in order", needs: grouped, run: limitOne},
	{name: "group-limit/shares", rule: "the groups with the fewest leases come first", needs: limited, run: limitShares},
	{name: "group-limit/many", rule: "one ReceiveHeads may lease as many messages of a group as there is room for", needs: limited, run: limitMany},
	{name: "group-limit/plain-lease", rule: "the leases of other receives count", needs: limited, run: limitPlainLease},
	{name: "group-limit/delayed", rule: "delayed messages are not leases and hold up no others", needs: all(limited, delays), run: limitDelayed},
	{name: "group-limit/timeout", rule: "a lease that ends makes room, for the message itself too", needs: limited, run: limitTimeout},
	{name: "group-limit/extended", rule: "a lease that is extended makes no room", needs: limited, run: limitExtended},
	{name: "group-limit/no-key", rule: "messages without a key have no limit", needs: limited, run: limitNoKey},
	{name: "group-limit/path", rule: "GroupBy.Path with a limit", needs: all(limited, groupedByPath), run: limitPath},
	{name: "group-limit/header", rule: "GroupBy.Header with a limit", needs: all(limited, headers), run: limitHeader},
	{name: "group-limit/behind-full", rule: "a group with room is found behind many that have none", needs: limited, run: limitBehindFull},
	{name: "group-limit/wait", rule: "a ReceiveHeads that waits gets a message of a group that has room again", needs: limited, run: limitWait},
	{name: "group-limit/workers", rule: "8 workers on 12 groups: never more than the limit are leased at once, and all are handled", needs: limited, run: limitWorkers},
	{name: "group-limit/consumer", rule: "ConsumerConfig.Groups with a limit: at most that many messages of a group are handled at a time", needs: limited, run: limitConsumer},
	{name: "group-limit/invalid", rule: "a negative Limit, and one above 1 in ReceiveGroup, is ErrInvalid", needs: grouped, run: limitInvalid},
	{name: "unsupported/group-limit", rule: "without Caps.GroupLimit a Limit above 1 is ErrNotSupported", needs: all(grouped, lacks(limited, "Caps.GroupLimit")), run: limitUnsupported},
}

func limitLeases(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "a 1", "a 2", "a 3", "a 4", "b 1")
	ds := t.heads(q, by, 3)
	t.wantSet(ds, "a 1", "a 2", "b 1")
	for _, d := range ds {
		if d.GroupKey != d.Group {
			t.Errorf("GroupKey is %q of a message of group %q", d.GroupKey, d.Group)
		}
	}
	t.blocked(q, by, "group a has two leases")
	t.ok(ds[0].Ack(t.ctx), "ack")
	t.wantSet(t.heads(q, by, 1), "a 3")
	t.blocked(q, by, "group a has two leases again")
	t.ok(q.Settle(t.ctx, each(ds[1:], mq.Settlement{Op: mq.OpNack})...), "nack")
	t.wantSet(t.heads(q, mq.GroupBy{Limit: 3}, 3), "a 2", "a 4", "b 1")
	t.blocked(q, mq.GroupBy{Limit: 3}, "group a has three leases")
}

// wantSet checks what was received, in any order.
func (t *tester) wantSet(ds []*mq.Delivery, want ...string) {
	t.Helper()
	got := bodies(ds)
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

func limitOne(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 1}
	t.sendGroups(q, "g 1", "g 2")
	d := t.heads(q, by, 1)[0]
	t.wantSet([]*mq.Delivery{d}, "g 1")
	t.blocked(q, by, "its head is leased")
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.head(q, "g 1")
}

func limitShares(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 4}
	for _, body := range []string{"a 1", "a 2", "a 3", "a 4", "b 1", "b 2", "b 3"} {
		t.sendGroups(q, body)
	}
	first := t.heads(q, by, 1)
	t.wantSet(first, "a 1")
	t.wantSet(t.heads(q, by, 1), "b 1")
	t.wantSet(append(t.heads(q, by, 1), t.heads(q, by, 1)...), "a 2", "b 2")
	t.ok(first[0].Ack(t.ctx), "ack")
	t.wantSet(t.heads(q, by, 1), "a 3")
}

func limitMany(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 3}
	t.sendGroups(q, "a 1", "a 2", "a 3", "a 4", "b 1")
	limit := min(10, t.caps.BatchLimit())
	ds, err := q.ReceiveHeads(t.ctx, &by, mq.ReceiveOptions{Max: limit, Visibility: t.long, Wait: t.patience})
	if t.ok(err, "ReceiveHeads"); limit >= 4 {
		t.wantSet(ds, "a 1", "a 2", "a 3", "b 1")
	}
	if len(ds) < 4 {
		t.heads(q, by, 4-len(ds))
	}
	t.blocked(q, by, "group a has three leases")
}

func limitPlainLease(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "g 1", "g 2", "g 3")
	plain := t.one(q)
	t.heads(q, by, 1)
	t.blocked(q, by, "a plain Receive has leased one of its messages")
	t.ok(plain.Ack(t.ctx), "ack")
	t.heads(q, by, 1)
}

func limitDelayed(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "g 1", "g 2", "g 3", "g 4")
	t.post(q, &mq.Message{Body: []byte("g later"), Group: "g", Delay: t.delay()})
	ds := t.heads(q, by, 2)
	t.wantSet(ds, "g 1", "g 2")
	for _, d := range ds {
		t.ok(d.Nack(t.ctx, t.delay()), "nack with a delay")
	}
	t.wantSet(t.heads(q, by, 2), "g 3", "g 4")
}

// leaseFor leases one message for v.
func (t *tester) leaseFor(q *mq.Queue, by mq.GroupBy, v time.Duration) (d *mq.Delivery, when span) {
	t.Helper()
	when = timed(func() {
		ds, err := q.ReceiveHeads(t.ctx, &by, mq.ReceiveOptions{Max: 1, Visibility: v, Wait: t.patience})
		if t.ok(err, "ReceiveHeads"); len(ds) != 1 {
			t.Fatalf("received %d messages, want 1", len(ds))
		}
		d = ds[0]
	})
	return d, when
}

func limitTimeout(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "g 1", "g 2")
	t.heads(q, by, 1)
	v := 3 * t.unit
	old, when := t.leaseFor(q, by, v)
	t.before(when.from.Add(v), func(t *tester) { t.blocked(q, by, "the group has two leases") })
	again := t.heads(q, by, 1)
	t.wokeWithin(time.Now(), when.plus(v))
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack by the holder whose time ran out")
	t.wantSet(again, string(old.Body))
	t.blocked(q, by, "the group has two leases again")
}

func limitExtended(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "g 1", "g 2", "g 3")
	v := 2 * t.unit
	var when span
	for range 2 {
		var d *mq.Delivery
		d, when = t.leaseFor(q, by, v)
		t.before(when.from.Add(v), func(t *tester) { t.ok(d.Extend(t.ctx, t.long), "extend") })
	}
	t.expire(when.plus(v))
	t.blocked(q, by, "both leases were extended")
}

func limitNoKey(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.send(q, "1", "2", "3", "4")
	t.sendGroups(q, "g 1", "g 2", "g 3")
	t.wantSet(t.heads(q, by, 6), "1", "2", "3", "4", "g 1", "g 2")
	t.blocked(q, by, "the group has two leases")
}

func limitPath(t *tester) {
	q, by := t.queue(), mq.GroupBy{Path: []string{"case"}, Limit: 2}
	t.send(q, `{"case":1,"n":1}`, `{"case":"1","n":2}`, `{"case":1,"n":3}`, `{"case":2}`, `{}`)
	for _, d := range t.heads(q, by, 4) {
		if want := map[string]string{"1": "1", "2": "2", "": ""}; want[d.GroupKey] != d.GroupKey {
			t.Errorf("GroupKey of %s is %q", d.Body, d.GroupKey)
		}
	}
	t.blocked(q, by, "group 1 has two leases")
}

func limitHeader(t *tester) {
	q, by := t.queue(), mq.GroupBy{Header: "tenant", Limit: 2}
	for range 3 {
		t.post(q, &mq.Message{Headers: mq.Headers{"tenant": "a"}}, &mq.Message{Headers: mq.Headers{"tenant": "b"}})
	}
	t.heads(q, by, 4)
	t.blocked(q, by, "each group has two leases")
}

// The group with room is due last, and its key is in the middle.
func limitBehindFull(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	const full = 300
	var sent []string
	for i := range full {
		for n := range 3 {
			sent = append(sent, fmt.Sprintf("k%04d %d", 2*i, n))
		}
	}
	for part := range slices.Chunk(sent, min(500, t.caps.BatchLimit())) {
		t.sendGroups(q, part...)
	}
	t.heads(q, by, 2*full)
	t.blocked(q, by, "each group has two leases")
	free := fmt.Sprintf("k%04d 1", full+1)
	t.sendGroups(q, free)
	t.wantSet(t.heads(q, by, 1), free)
}

func limitWait(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 2}
	t.sendGroups(q, "g 1", "g 2", "g 3")
	ds := t.heads(q, by, 2)
	var got []*mq.Delivery
	done := t.background(func() {
		var err error
		got, err = q.ReceiveHeads(t.ctx, &by, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
		if err != nil {
			t.Errorf("ReceiveHeads: %v", err)
		}
	})
	t.sleep(t.unit)
	select {
	case <-done:
		t.Fatal("a ReceiveHeads returned while no group had room")
	default:
	}
	acked := timed(func() { t.ok(ds[1].Ack(t.ctx), "ack") })
	t.await("a ReceiveHeads that waits gets the next message", done)
	t.wokeWithin(time.Now(), acked)
	t.wantSet(got, "g 3")
}

// crowd counts how many messages of each group are out.
type crowd struct {
	mu    sync.Mutex
	limit int
	out   map[string]int
	most  int
	done  int
}

// begin records a message that has been received.
func (c *crowd) begin(d *mq.Delivery) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out[d.Group]++
	c.most = max(c.most, c.out[d.Group])
	if n := c.out[d.Group]; n > c.limit {
		err = fmt.Errorf("%d messages of group %q were out at once, want %d at most", n, d.Group, c.limit)
	}
	return err
}

// end records that a message is about to be acked, or given back.
func (c *crowd) end(d *mq.Delivery, acked bool) (total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out[d.Group]--
	if acked {
		c.done++
	}
	return c.done
}

func (c *crowd) acked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func limitWorkers(t *tester) {
	q, by := t.queue(), mq.GroupBy{Limit: 3}
	const groups, each = 12, 16
	for n := range each {
		var sent []string
		for g := range groups {
			sent = append(sent, fmt.Sprintf("g%d %d", g, n))
		}
		t.sendGroups(q, sent...)
	}
	c := &crowd{limit: by.Limit, out: make(map[string]int)}
	ctx, enough := t.growing(c.acked)
	defer enough()
	t.together(8, func(i int) error {
		o := mq.ReceiveOptions{Max: min(1+2*i%7, t.caps.BatchLimit()), Visibility: t.long, Wait: mq.Forever}
		for {
			ds, err := q.ReceiveHeads(ctx, &by, o)
			if ctx.Err() != nil {
				return t.ctx.Err()
			}
			for _, d := range ds {
				if err == nil {
					err = c.begin(d)
				}
			}
			for i, d := range ds {
				ack := (i+len(d.Body))%5 > 0 || d.ReadCount > 1
				last := c.end(d, ack) == groups*each
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
	if c.done != groups*each {
		t.Errorf("%d of %d messages were acked", c.done, groups*each)
	}
}

func limitConsumer(t *tester) {
	q := t.queue()
	const groups, each = 3, 20
	for n := range each {
		for g := range groups {
			t.sendGroups(q, fmt.Sprintf("g%d %d", g, n))
		}
	}
	c := &crowd{limit: 2, out: make(map[string]int)}
	done := make(chan struct{})
	t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		if err := c.begin(d); err != nil {
			t.Error(err)
		}
		time.Sleep(t.unit / 20)
		if d.ReadCount == 1 && d.Body[len(d.Body)-1] == '7' {
			c.end(d, false)
			return mq.Retry(0, nil)
		}
		if c.end(d, true) == groups*each {
			close(done)
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 8, Groups: &mq.GroupBy{Limit: 2}, MaxAttempts: mq.Unlimited})
	t.await("all messages of all groups are handled", done)
	if c.most < 2 {
		t.Errorf("at most %d messages of a group were handled at a time, want 2", c.most)
	}
}

func limitInvalid(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1")
	_, err := q.ReceiveHeads(t.ctx, &mq.GroupBy{Limit: -1}, mq.ReceiveOptions{Visibility: t.long})
	t.is(err, "ReceiveHeads with a negative Limit", mq.ErrInvalid)
	_, err = q.ReceiveGroup(t.ctx, &mq.GroupBy{Limit: 2}, "g", mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}})
	t.is(err, "ReceiveGroup with a Limit of 2", mq.ErrInvalid)
	_, err = mq.NewConsumer(q, mq.HandlerFunc(nothing), mq.ConsumerConfig{Groups: &mq.GroupBy{Limit: -1}})
	t.is(err, "a Consumer with a negative Limit", mq.ErrInvalid)
	t.head(q, "g 1")
}

func limitUnsupported(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1")
	_, err := q.ReceiveHeads(t.ctx, &mq.GroupBy{Limit: 2}, mq.ReceiveOptions{Visibility: t.long})
	t.unsupported(err, "ReceiveHeads with a Limit of 2")
	_, err = mq.NewConsumer(q, mq.HandlerFunc(nothing), mq.ConsumerConfig{Groups: &mq.GroupBy{Limit: 2}})
	t.unsupported(err, "a Consumer with a Limit of 2")
	t.head(q, "g 1")
}
