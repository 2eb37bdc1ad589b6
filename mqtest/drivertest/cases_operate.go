package drivertest

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var operateCases = []testCase{
	{name: "override/ack", rule: "Override with OpAck deletes messages whatever their state, and the receipt of a lease is stale", needs: canOverride, run: overrideAck},
	{name: "override/nack", rule: "Override with OpNack makes messages visible at once, and the receipt of a lease is stale", needs: canOverride, run: overrideNack},
	{name: "override/nack-wakes", rule: "a Receive that waits gets a message that an Override makes visible", needs: canOverride, run: overrideWakes},
	{name: "override/nack-delay", rule: "Override with OpNack and a delay hides messages for that long, visible ones as well", needs: all(canOverride, delays), run: overrideDelay},
	{name: "override/archive", rule: "Override with OpArchive sets messages aside with the reason, and loses nothing", needs: all(canOverride, canSeeArchive), run: overrideArchive},
	{name: "override/move", rule: "Override with OpMove makes new messages in the other queue, with HeaderOrigin", needs: all(canOverride, moves), run: overrideMove},
	{name: "override/others", rule: "Override passes over ids that are not there, or cannot be ids, and counts one that repeats once", needs: all(canOverride, batches), run: overrideOthers},
	{name: "override/keys", rule: "an Override that removes a message frees its key, if it is held WhileQueued", needs: all(canOverride, deduplicates), run: overrideKeys},
	{name: "override/groups", rule: "an Override that ends the lease of a group's head frees the group", needs: all(canOverride, grouped), run: overrideGroups},
	{name: "override/missing", rule: "Override in a missing queue, or a move to one, is ErrQueueNotFound", needs: canOverride, run: overrideMissing},
	{name: "override/invalid", rule: "an Override with a receipt, no operation, or what only leases have is ErrInvalid", needs: canOverride, run: overrideInvalid},
	{name: "override/archived", rule: "RemoveArchived deletes messages from the archive, and no others", needs: all(canRemoveArchived, canSeeArchive), run: overrideArchived},
	{name: "pause/stops", rule: "Consumers of another client fetch nothing from a queue that is paused, and go on when it is resumed", needs: all(canPause, shared), run: pauseStops},
	{name: "pause/before", rule: "a Consumer that begins on a paused queue fetches nothing", needs: canPause, run: pauseBefore},
	{name: "pause/others", rule: "a pause stops neither sends nor receives, nor Consumers of other queues", needs: canPause, run: pauseOthers},
	{name: "pause/listed", rule: "Paused names who has paused a queue, and when; a second SetPaused changes nothing", needs: canPause, run: pauseListed},
	{name: "pause/missing", rule: "SetPaused of a missing queue is ErrQueueNotFound", needs: canPause, run: pauseMissing},
	{name: "pause/dropped", rule: "a queue that is dropped and made again is not paused", needs: all(canPause, canDrop), run: pauseDropped},
	{name: "pause/await", rule: "AwaitPause returns after d at the latest, and soon after its ctx ended", needs: canPause, run: pauseAwait},
	{name: "report/held", rule: "Registry: a Consumer's report names the messages that it holds, until it ends", needs: canReport, run: reportHeld},
	{name: "report/replaced", rule: "a report replaces the one with the same ID, and a ttl of 0 removes it", needs: canReport, run: reportReplaced},
	{name: "report/expires", rule: "a report is kept for its ttl", needs: canReport, run: reportExpires},
	{name: "report/queues", rule: "Consumers returns the reports on one queue, or on all, sorted by queue, name and ID", needs: canReport, run: reportQueues},
}

// overrides acts on messages, and checks how many it has found.
func (t *tester) overrides(q *mq.Queue, s mq.Settlement, want int64, ids ...string) {
	t.Helper()
	n, err := q.Override(t.ctx, ids, s)
	if t.ok(err, "Override with %v", s.Op); n != want {
		t.Errorf("Override with %v found %d messages, want %d", s.Op, n, want)
	}
}

// ofAllStates makes a message of each state, and returns their ids and the one that is
// leased.
func (t *tester) ofAllStates(q *mq.Queue) (ids []string, leased *mq.Delivery) {
	t.Helper()
	ids = t.send(q, "leased")
	leased = t.one(q)
	ids = append(ids, t.send(q, "visible")...)
	if t.caps.Delay {
		ids = append(ids, t.post(q, &mq.Message{Body: []byte("delayed"), Delay: t.long})...)
	}
	return ids, leased
}

func overrideAck(t *tester) {
	q := t.queue()
	ids, d := t.ofAllStates(q)
	stays := t.send(q, "stays")
	t.overrides(q, mq.Settlement{Op: mq.OpAck}, int64(len(ids)), ids...)
	t.dead(d.Ack(t.ctx), "ack of a message that was removed")
	if got := idsOf(t.receive(q, 1)); !slices.Equal(got, stays) {
		t.Errorf("received %s, want %s", got, stays)
	}
	t.counted(q, counts{leased: 1})
}

func overrideNack(t *tester) {
	q := t.queue()
	ids, d := t.ofAllStates(q)
	t.overrides(q, mq.Settlement{Op: mq.OpNack}, int64(len(ids)), ids...)
	t.stale(d.Ack(t.ctx), "ack of a message that was taken back")
	t.stale(q.Extend(t.ctx, t.long, d.Receipt), "Extend of a message that was taken back")
	t.counted(q, counts{visible: int64(len(ids))})
	got := idsOf(t.receive(q, len(ids)))
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("received %s, want %s", got, ids)
	}
}

func overrideWakes(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	t.one(q)
	var ds []*mq.Delivery
	waited := t.background(func() {
		ds, _ = q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	})
	t.sleep(t.unit)
	t.overrides(q, mq.Settlement{Op: mq.OpNack}, 1, id)
	t.await("the Receive returns", waited)
	if len(ds) != 1 || ds[0].ID != id {
		t.Fatalf("received %s, want %s", idsOf(ds), id)
	}
	t.reads(ds[0].ReadCount, 2)
}

func overrideDelay(t *tester) {
	q := t.queue()
	ids, d := t.ofAllStates(q)
	from := time.Now()
	delay := 3 * t.unit
	t.overrides(q, mq.Settlement{Op: mq.OpNack, Delay: delay}, 3, ids...)
	until := span{from, time.Now()}.plus(delay)
	t.hidden(q, from.Add(delay), "they were delayed")
	t.expire(until)
	t.receive(q, 3)
	t.stale(d.Ack(t.ctx), "ack of a message that was taken back")
}

func overrideArchive(t *tester) {
	q := t.queue()
	m := t.movable()
	ids := t.post(q, m)
	d := t.one(q)
	t.overrides(q, mq.Settlement{Op: mq.OpArchive, Reason: "by hand"}, 1, ids...)
	t.dead(d.Ack(t.ctx), "ack of a message that was archived")
	t.counted(q, counts{archived: 1})
	for _, r := range t.archived(q) {
		t.sameBody(r.Body, m.Body)
		t.sameHeaders(r.Headers, m.Headers, mq.Headers{driver.HeaderReason: "by hand"})
		if r.ID != ids[0] || r.Group != m.Group {
			t.Errorf("the record has id %q and group %q, want %q and %q", r.ID, r.Group, ids[0], m.Group)
		}
		t.reads(r.ReadCount, 1)
		t.near(r.ArchivedAt, "ArchivedAt")
	}
}

func overrideMove(t *tester) {
	q, to := t.queue(), t.queue()
	m := t.movable()
	ids := t.post(q, m)
	d := t.one(q)
	t.overrides(q, mq.Settlement{Op: mq.OpMove, To: to.Name(), Reason: "by hand"}, 1, ids...)
	t.dead(d.Ack(t.ctx), "ack of a message that was moved")
	t.counted(q, counts{})
	got := t.one(to)
	t.sameBody(got.Body, m.Body)
	t.sameHeaders(got.Headers, m.Headers, mq.Headers{driver.HeaderReason: "by hand", driver.HeaderOrigin: q.Name() + "/" + ids[0]})
	t.reads(got.ReadCount, 1)
}

func overrideOthers(t *tester) {
	q := t.queue()
	ids := t.send(q, "1", "2")
	t.overrides(q, mq.Settlement{Op: mq.OpAck}, 1, ids[0], ids[0], "no id", "")
	t.overrides(q, mq.Settlement{Op: mq.OpAck}, 0, ids[0])
	t.overrides(q, mq.Settlement{Op: mq.OpNack}, 0)
	t.counted(q, counts{visible: 1})
}

func overrideKeys(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte("keyed"), DedupKey: "k", DedupFor: mq.WhileQueued}
	id, _, err := q.SendOnce(t.ctx, m)
	t.ok(err, "SendOnce")
	t.overrides(q, mq.Settlement{Op: mq.OpNack}, 1, id)
	if _, first, err := q.SendOnce(t.ctx, m); err != nil || first {
		t.Errorf("SendOnce while the key is held: first %v, %v", first, err)
	}
	t.overrides(q, mq.Settlement{Op: mq.OpAck}, 1, id)
	if _, first, err := q.SendOnce(t.ctx, m); err != nil || !first {
		t.Errorf("SendOnce after the message was removed: first %v, %v", first, err)
	}
}

func overrideGroups(t *tester) {
	q := t.queue()
	t.sendGroups(q, "a 1", "a 2")
	d := t.head(q, "a 1")
	t.overrides(q, mq.Settlement{Op: mq.OpAck}, 1, d.ID)
	d = t.head(q, "a 2")
	t.overrides(q, mq.Settlement{Op: mq.OpNack}, 1, d.ID)
	t.head(q, "a 2")
}

func overrideMissing(t *tester) {
	q := t.c.Queue(t.name())
	_, err := q.Override(t.ctx, []string{"1"}, mq.Settlement{Op: mq.OpAck})
	t.is(err, "Override in a missing queue", mq.ErrQueueNotFound)
	if t.caps.AtomicMove {
		there := t.queue()
		ids := t.send(there, "stays")
		_, err = there.Override(t.ctx, ids, mq.Settlement{Op: mq.OpMove, To: q.Name()})
		t.is(err, "Override that moves to a missing queue", mq.ErrQueueNotFound)
		t.reads(t.one(there).ReadCount, 1)
	}
}

func overrideInvalid(t *tester) {
	q := t.queue()
	ids := t.send(q, "stays")
	for what, s := range map[string]mq.Settlement{
		"no operation":        {},
		"a receipt":           {Op: mq.OpAck, Receipt: "r"},
		"AtTimeout":           {Op: mq.OpNack, Delay: mq.AtTimeout},
		"a reason of a nack":  {Op: mq.OpNack, Reason: "why"},
		"Uncounted":           {Op: mq.OpNack, Uncounted: true},
		"a reason with a NUL": {Op: mq.OpArchive, Reason: "\x00"},
	} {
		_, err := q.Override(t.ctx, ids, s)
		t.is(err, "Override with "+what, mq.ErrInvalid)
	}
	t.reads(t.one(q).ReadCount, 1)
}

func overrideArchived(t *tester) {
	q := t.queue()
	ids := t.archiveMany(q, 3)
	stays := t.send(q, "stays")
	n, err := q.RemoveArchived(t.ctx, slices.Concat(ids[:1], ids[:1], stays, []string{"no id"})[:min(4, t.caps.BatchLimit())])
	if t.ok(err, "RemoveArchived"); n != 1 {
		t.Errorf("RemoveArchived removed %d messages, want 1", n)
	}
	if got := recordIDs(t.archived(q)); !slices.Equal(got, ids[1:]) {
		t.Errorf("the archive has %s, want %s", got, ids[1:])
	}
	t.one(q)
}

// pausable runs a Consumer that counts what it handles.
func (t *tester) pausable(q *mq.Queue) (y *tally, c *mq.Consumer) {
	t.Helper()
	y = new(tally)
	c, _ = t.consume(q, func(_ context.Context, d *mq.Delivery) error {
		y.add(string(d.Body))
		return nil
	}, mq.ConsumerConfig{})
	return y, c
}

func pauseStops(t *tester) {
	q := t.queue()
	y, c := t.pausable(t.again().Queue(q.Name()))
	t.send(q, "before")
	t.handled(y, 1)
	t.ok(q.Pause(t.ctx, "drivertest"), "Pause")
	t.eventually("the Consumer pauses", func() bool { return c.Stats().Paused })
	t.eventually("its message is acked", func() bool { return c.Stats().Acked == 1 })
	t.ok(c.Health(), "Health of a Consumer whose queue is paused")
	t.sleep(t.unit) // the fetch under way ends
	t.send(q, "in between")
	t.sleep(4 * t.unit)
	if n := len(y.all()); n != 1 {
		t.Errorf("%d messages were handled during a pause", n-1)
	}
	t.counted(q, counts{visible: 1})
	t.ok(q.Resume(t.ctx), "Resume")
	t.handled(y, 2)
	if c.Stats().Paused {
		t.Error("the Consumer is paused although the queue was resumed")
	}
}

func pauseBefore(t *tester) {
	q := t.queue()
	t.ok(q.Pause(t.ctx, ""), "Pause")
	t.send(q, "waits")
	y, _ := t.pausable(q)
	t.sleep(4 * t.unit)
	if n := len(y.all()); n != 0 {
		t.Errorf("%d messages were handled during a pause", n)
	}
	t.ok(q.Resume(t.ctx), "Resume")
	t.handled(y, 1)
}

func pauseOthers(t *tester) {
	q, other := t.queue(), t.queue()
	t.ok(q.Pause(t.ctx, ""), "Pause")
	t.roundTrip(q, "received")
	y, _ := t.pausable(other)
	t.send(other, "consumed")
	t.handled(y, 1)
}

// pauseOf returns the pause of a queue, and whether there is one.
func (t *tester) pauseOf(q *mq.Queue) (mq.PausedQueue, bool) {
	t.Helper()
	all, err := t.c.Paused(t.ctx)
	t.ok(err, "Paused")
	if !slices.IsSortedFunc(all, func(a, b mq.PausedQueue) int { return strings.Compare(a.Queue, b.Queue) }) {
		t.Errorf("Paused returned %v, want it sorted by queue", all)
	}
	for _, p := range all {
		if p.Queue == q.Name() {
			return p, true
		}
	}
	return mq.PausedQueue{}, false
}

func pauseListed(t *tester) {
	q, second := t.queue(), t.queue()
	t.ok(q.Resume(t.ctx), "Resume of a queue that is not paused")
	if _, paused := t.pauseOf(q); paused {
		t.Error("a new queue is paused")
	}
	t.ok(q.Pause(t.ctx, "first 🐘"), "Pause")
	t.ok(second.Pause(t.ctx, ""), "Pause")
	p, paused := t.pauseOf(q)
	if !paused || p.By != "first 🐘" {
		t.Fatalf("the pause is %+v, want one by %q", p, "first 🐘")
	}
	t.near(p.Since, "Since")
	t.sleep(t.unit)
	t.ok(q.Pause(t.ctx, "second"), "Pause")
	if again, _ := t.pauseOf(q); again.By != p.By || !again.Since.Equal(p.Since) {
		t.Errorf("after a second Pause it is %+v, want %+v", again, p)
	}
	for range 2 {
		t.ok(q.Resume(t.ctx), "Resume")
	}
	if _, paused := t.pauseOf(q); paused {
		t.Error("the queue is paused after Resume")
	}
	if _, paused := t.pauseOf(second); !paused {
		t.Error("Resume of one queue resumed another")
	}
}

func pauseMissing(t *tester) {
	q := t.c.Queue(t.name())
	t.is(q.Pause(t.ctx, ""), "Pause of a missing queue", mq.ErrQueueNotFound)
	t.is(q.Resume(t.ctx), "Resume of a missing queue", mq.ErrQueueNotFound)
}

func pauseDropped(t *tester) {
	q := t.queue()
	t.ok(q.Pause(t.ctx, ""), "Pause")
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	if _, paused := t.pauseOf(q); paused {
		t.Error("a dropped queue is paused")
	}
	_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{})
	t.ok(err, "EnsureQueue")
	if _, paused := t.pauseOf(q); paused {
		t.Error("a queue made again is paused")
	}
}

func pauseAwait(t *tester) {
	p := t.p.(driver.Pauser)
	from := time.Now()
	t.ok(p.AwaitPause(t.ctx, t.unit), "AwaitPause")
	t.soon("AwaitPause", span{from, time.Now()}, t.unit)
	ctx, cancel := context.WithTimeout(t.ctx, t.unit)
	defer cancel()
	from = time.Now()
	_ = p.AwaitPause(ctx, time.Hour)
	t.soon("AwaitPause with a deadline", span{from, time.Now()}, t.unit)
}

// consumersOf returns the reports on a queue.
func (t *tester) consumersOf(q *mq.Queue) []mq.ConsumerReport {
	t.Helper()
	all, err := t.c.Consumers(t.ctx, q.Name())
	t.ok(err, "Consumers")
	return all
}

func reportHeld(t *tester) {
	q := t.queue()
	id := t.send(q, "held")[0]
	release := make(chan struct{})
	_, stop := t.consume(q, func(context.Context, *mq.Delivery) error {
		select {
		case <-release:
		case <-t.ctx.Done():
		}
		return nil
	}, mq.ConsumerConfig{})
	var found []mq.ConsumerReport
	t.slowly("a report names the message", func() bool {
		found = t.consumersOf(q)
		return len(found) == 1 && len(found[0].Longest) == 1
	})
	r := found[0]
	if r.Queue != q.Name() || r.Name == "" || r.ID == "" || r.Held != 1 || r.Longest[0].ID != id || r.Running != 1 || r.Concurrency < 1 {
		t.Errorf("the report is %+v, want one handler that runs, and message %s", r, id)
	}
	t.near(r.At, "At")
	close(release)
	t.ok(stop(), "Run")
	if found = t.consumersOf(q); len(found) != 0 {
		t.Errorf("after its end the Consumer is still reported: %+v", found)
	}
}

// slowly is eventually for what happens every ten seconds.
func (t *tester) slowly(what string, met func() bool) {
	t.Helper()
	for range 2 * 30 {
		if met() {
			return
		}
		t.alive()
		time.Sleep(time.Second / 2)
	}
	t.Fatalf("never happened: %s", what)
}

// report stores a report of the case's own.
func (t *tester) report(r driver.ConsumerReport, ttl time.Duration) {
	t.Helper()
	t.ok(t.p.(driver.Registry).Report(t.ctx, r, ttl), "Report")
}

func reportReplaced(t *tester) {
	q := t.queue()
	r := driver.ConsumerReport{
		ID: "drivertest" + q.Name(), Queue: q.Name(), Name: `host/1 "🐘"`, Concurrency: 10, Running: 2, Done: 1 << 40, Failed: 3,
		LastError: "EOF", Held: 2, Longest: []driver.HeldMessage{{ID: "7", For: time.Minute}}, Age: time.Hour, Paused: true,
	}
	t.report(driver.ConsumerReport{ID: r.ID, Queue: q.Name(), Name: "before"}, time.Hour)
	t.report(r, time.Hour)
	all := t.consumersOf(q)
	if len(all) != 1 {
		t.Fatalf("%d reports, want 1", len(all))
	}
	got := all[0]
	t.near(got.At, "At")
	if got.At = r.At; !slices.Equal(got.Longest, r.Longest) {
		t.Errorf("Longest is %v, want %v", got.Longest, r.Longest)
	}
	got.Longest, r.Longest = nil, nil
	if !reflect.DeepEqual(got, r) {
		t.Errorf("the report is %+v, want %+v", got, r)
	}
	t.report(r, 0)
	if all = t.consumersOf(q); len(all) != 0 {
		t.Errorf("after a ttl of 0 there is %+v", all)
	}
}

func reportExpires(t *tester) {
	q := t.queue()
	from := time.Now()
	t.report(driver.ConsumerReport{ID: "short" + q.Name(), Queue: q.Name()}, 2*t.unit)
	t.report(driver.ConsumerReport{ID: "long" + q.Name(), Queue: q.Name()}, time.Hour)
	t.expire(span{from, time.Now()}.plus(2 * t.unit))
	if all := t.consumersOf(q); len(all) != 1 || all[0].ID != "long"+q.Name() {
		t.Errorf("the reports are %+v, want the long one", all)
	}
	t.report(driver.ConsumerReport{ID: "long" + q.Name(), Queue: q.Name()}, 0)
}

func reportQueues(t *tester) {
	q, other := t.queue(), t.queue()
	want := []string{"a1", "a2", "b0"}
	for _, r := range []driver.ConsumerReport{
		{ID: "b0" + q.Name(), Queue: q.Name(), Name: "b"},
		{ID: "a2" + q.Name(), Queue: q.Name(), Name: "a"},
		{ID: "a1" + q.Name(), Queue: q.Name(), Name: "a"},
		{ID: "o" + q.Name(), Queue: other.Name(), Name: "a"},
	} {
		t.report(r, time.Hour)
	}
	var got []string
	for _, r := range t.consumersOf(q) {
		got = append(got, r.ID[:2])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the reports are %s, want %s", got, want)
	}
	all, err := t.c.Consumers(t.ctx, "")
	t.ok(err, "Consumers of all queues")
	mine := 0
	for _, r := range all {
		if r.Queue == q.Name() || r.Queue == other.Name() {
			mine++
		}
	}
	if mine != 4 || !slices.IsSortedFunc(all, func(a, b mq.ConsumerReport) int { return strings.Compare(a.Queue, b.Queue) }) {
		t.Errorf("%d of 4 reports among those of all queues, or not sorted: %+v", mine, all)
	}
}
