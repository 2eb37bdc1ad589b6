package drivertest

import (
	"fmt"
	"slices"

	"github.com/portmq/mq"
)

// Cases of what makes a group free, and of finding it.
var freeCases = []testCase{
	{name: "group/delayed-behind", rule: "a delayed message is not leased: behind the oldest of its group it does not block it", needs: all(grouped, delays), run: groupDelayedBehind},
	{name: "group/behind-blocked", rule: "a free group is found behind many that are not", needs: grouped, run: groupBehindBlocked},
	{name: "group/empty-key", rule: "the group of the empty key has its turn beside others", needs: groupedByPath, run: groupEmptyKey},
	{name: "drain/nacked-delayed", rule: "IncludeDelayed takes what was nacked with a delay, and without it ReceiveGroup stops in front", needs: all(grouped, delays), run: drainNackedDelayed},
	{name: "send/order-batch", rule: "Caps.Order: a batch comes after what its sender sent before", needs: ordered, run: sendOrderBatch},
}

func groupDelayedBehind(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2")
	first := t.head(q, "g 1")
	second := t.drainGroup(q, "g", 1, mq.GroupOptions{Holding: []mq.Receipt{first.Receipt}})
	t.wantBodies(second, "g 2")
	t.ok(second[0].Nack(t.ctx, t.delay()), "nack with a delay")
	t.ok(first.Nack(t.ctx, 0), "nack")
	t.head(q, "g 1")
}

// The free group is due last, and its key is in the middle.
func groupBehindBlocked(t *tester) {
	q := t.queue()
	const blocked = 400
	var sent []string
	for i := range blocked {
		sent = append(sent, fmt.Sprintf("k%04d 1", 2*i), fmt.Sprintf("k%04d 2", 2*i))
	}
	for part := range slices.Chunk(sent, min(500, t.caps.BatchLimit())) {
		t.sendGroups(q, part...)
	}
	t.heads(q, mq.GroupBy{}, blocked)
	t.blocked(q, mq.GroupBy{}, "each group has a lease")
	free := fmt.Sprintf("k%04d 1", blocked+1)
	t.sendGroups(q, free)
	t.head(q, free)
}

func groupEmptyKey(t *tester) {
	q := t.queue()
	by := mq.GroupBy{Path: []string{"g"}}
	var sent []string
	for range 250 {
		sent = append(sent, `{"g":"big"}`)
	}
	for part := range slices.Chunk(append(sent, `{"g":""}`, `{"g":""}`), t.caps.BatchLimit()) {
		t.send(q, part...)
	}
	ds := t.heads(q, by, 2)
	if keys := []string{ds[0].GroupKey, ds[1].GroupKey}; !slices.Equal(keys, []string{"big", ""}) {
		t.Errorf("received heads of groups %q", keys)
	}
	t.blocked(q, by, "each group has a lease")
}

func drainNackedDelayed(t *tester) {
	q := t.queue()
	t.sendGroups(q, "g 1", "g 2", "g 3")
	ds := t.drainGroup(q, "g", 2, mq.GroupOptions{})
	t.wantBodies(ds, "g 1", "g 2")
	t.ok(ds[1].Nack(t.ctx, t.delay()), "nack with a delay")
	t.ok(ds[0].Nack(t.ctx, 0), "nack")
	first := t.drainGroup(q, "g", 10, mq.GroupOptions{})
	t.wantBodies(first, "g 1")
	t.wantBodies(t.drainGroup(q, "g", 10, mq.GroupOptions{Holding: receiptsOf(slices.Concat(first, ds))}))
	rest := mq.GroupOptions{Holding: receiptsOf(first), IncludeDelayed: true}
	t.wantBodies(t.drainGroup(q, "g", 10, rest), "g 2", "g 3")
}

func sendOrderBatch(t *tester) {
	q := t.queue()
	batch := make([]string, min(200, t.caps.BatchLimit()))
	for i := range batch {
		batch[i] = "batch"
	}
	for range 10 {
		t.send(q, "first")
		t.send(q, batch...)
		d := t.one(q)
		if string(d.Body) != "first" {
			t.Fatal("a message of the batch came before the one that was sent before it")
		}
		t.ok(d.Ack(t.ctx), "ack")
		for left := len(batch); left > 0; {
			ds := t.receive(q, left)
			left -= len(ds)
			for _, d := range ds {
				t.ok(d.Ack(t.ctx), "ack")
			}
		}
	}
}
