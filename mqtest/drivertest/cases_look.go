package drivertest

import (
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var popCases = []testCase{
	{name: "pop/removes", rule: "Pop receives and deletes in one step, without a receipt and VisibleAt, and counts the read", needs: canPop, run: popRemoves},
	{name: "pop/limit", rule: "Pop removes up to max visible messages, in the order of Receive", needs: canPop, run: popLimit},
	{name: "pop/only-visible", rule: "Pop leaves leased messages alone", needs: canPop, run: popOnlyVisible},
	{name: "pop/after-timeout", rule: "Pop takes a message whose lease has ended, and the old receipt is ErrStaleReceipt", needs: canPop, run: popAfterTimeout},
	{name: "pop/each-once", rule: "of concurrent pops each message is popped once", needs: canPop, run: popEachOnce},
}

func popRemoves(t *tester) {
	q := t.queue()
	m := t.movable()
	id := t.post(q, m)[0]
	ds, err := q.Pop(t.ctx, 1)
	t.ok(err, "Pop")
	if len(ds) != 1 || ds[0].ID != id || ds[0].Receipt != "" {
		t.Fatalf("Pop returned %d messages, want message %s without a receipt", len(ds), id)
	}
	t.sameMessage(ds[0].Message, m)
	t.reads(ds[0].ReadCount, 1)
	t.near(ds[0].EnqueuedAt, "EnqueuedAt")
	if !ds[0].VisibleAt.IsZero() {
		t.Errorf("VisibleAt of a popped message is %v, want none", ds[0].VisibleAt)
	}
	t.stale(ds[0].Ack(t.ctx), "ack of a popped message")
	t.none(q, "it was popped")
	t.counted(q, counts{})
}

func popLimit(t *tester) {
	q := t.queue()
	if ds, err := q.Pop(t.ctx, 1); len(ds) > 0 || err != nil {
		t.Errorf("Pop of an empty queue returned %d messages, %v", len(ds), err)
	}
	ids := t.post(q, numbered(5)...)
	var got []string
	for len(got) < 5 {
		ds, err := q.Pop(t.ctx, min(3, t.caps.BatchLimit()))
		t.ok(err, "Pop")
		if len(ds) > 3 {
			t.Errorf("Pop of 3 returned %d messages", len(ds))
		}
		got = append(got, idsOf(ds)...)
	}
	if t.caps.Order == driver.Unordered {
		slices.Sort(got)
		slices.Sort(ids)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("popped %s, sent %s", got, ids)
	}
	for _, limit := range []int{-1, t.caps.BatchLimit() + 1} {
		_, err := q.Pop(t.ctx, limit)
		t.is(err, "Pop with a limit outside its range", mq.ErrInvalid)
	}
}

func popOnlyVisible(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d := t.one(q)
	if ds, err := q.Pop(t.ctx, 1); len(ds) > 0 || err != nil {
		t.Errorf("Pop of a leased message returned %d messages, %v", len(ds), err)
	}
	t.unharmed(q, d)
}

func popAfterTimeout(t *tester) {
	q := t.queue()
	id := t.send(q, "leased")[0]
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.expire(leased.plus(v))
	ds, err := q.Pop(t.ctx, 1)
	t.ok(err, "Pop")
	if len(ds) != 1 || ds[0].ID != id || ds[0].Receipt != "" {
		t.Fatalf("Pop returned %d messages, want message %s without a receipt", len(ds), id)
	}
	t.reads(ds[0].ReadCount, 2)
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack}), "nack of a popped message")
	t.none(q, "it was popped")
}

func popEachOnce(t *tester) {
	q := t.queue()
	const total = 200
	t.post(q, numbered(total)...)
	l := &ledger{got: make(map[string]int)}
	ctx, enough := t.growing(l.total)
	defer enough()
	t.together(8, func(int) error {
		for ctx.Err() == nil {
			ds, err := q.Pop(t.ctx, min(3, t.caps.BatchLimit()))
			if err != nil || l.add(ds) >= total {
				return err
			}
		}
		return nil
	})
	if len(l.got) != total || l.n != total {
		t.Errorf("%d pops of %d different messages, want %d", l.n, len(l.got), total)
	}
}

var peekCases = []testCase{
	{name: "peek/leaves-alone", rule: "Browse changes nothing: it neither leases nor counts", needs: canPeek, run: peekLeavesAlone},
	{name: "peek/all-states", rule: "Browse shows messages whatever their state", needs: canPeek, run: peekAllStates},
	{name: "peek/after-no-id", rule: "BrowseRequest.After that cannot be an id is ErrInvalid, and one of a message that is gone is a place", needs: canPeek, run: peekAfterNoID},
	{name: "peek/pages", rule: "Browse returns pages in the order of ids, oldest first", needs: canPeek, run: peekPages},
}

func peekLeavesAlone(t *tester) {
	q := t.queue()
	m := t.movable()
	id := t.post(q, m)[0]
	for range 2 {
		rs := t.peek(q)
		if len(rs) != 1 || rs[0].ID != id {
			t.Fatalf("Peek shows %s, want %s", recordIDs(rs), id)
		}
		t.sameMessage(rs[0].Message, m)
		t.reads(rs[0].ReadCount, 0)
		t.near(rs[0].EnqueuedAt, "EnqueuedAt")
		if !rs[0].ArchivedAt.IsZero() {
			t.Errorf("a message in the queue has ArchivedAt %v", rs[0].ArchivedAt)
		}
	}
	t.counted(q, counts{visible: 1})
	t.reads(t.one(q).ReadCount, 1)
	for _, r := range t.peek(q) {
		t.reads(r.ReadCount, 1)
	}
}

func peekAllStates(t *tester) {
	q := t.queue()
	if rs := t.peek(q); len(rs) != 0 {
		t.Errorf("Peek of an empty queue shows %d messages", len(rs))
	}
	ids := t.send(q, "leased", "visible", "acked")
	for _, d := range t.receive(q, 3) {
		switch string(d.Body) {
		case "visible":
			t.ok(d.Nack(t.ctx, 0), "nack")
		case "acked":
			t.ok(d.Ack(t.ctx), "ack")
		}
	}
	want := ids[:2]
	if t.caps.Delay {
		want = append(want, t.post(q, &mq.Message{Delay: t.delay()})...)
	}
	rs := t.peek(q)
	if got := recordIDs(rs); !slices.Equal(got, want) {
		t.Fatalf("Peek shows %s, want %s", got, want)
	}
	if leased, visible := rs[0].VisibleAt, rs[1].VisibleAt; !leased.After(visible) {
		t.Errorf("VisibleAt of a leased message is %v, not after that of a visible one, %v", leased, visible)
	}
}

func peekPages(t *tester) {
	q := t.queue()
	ids := t.post(q, numbered(7)...)
	for _, limit := range []int{1, 3, 7, 8} {
		if got := recordIDs(t.browse(q.Peek, min(limit, t.caps.BatchLimit()))); !slices.Equal(got, ids) {
			t.Errorf("pages of %d show %s, want %s", limit, got, ids)
		}
	}
	_, err := q.Peek(t.ctx, mq.BrowseOptions{Limit: t.caps.BatchLimit() + 1})
	t.is(err, "Peek above MaxBatch", mq.ErrInvalid)
}

func peekAfterNoID(t *tester) {
	q := t.queue()
	ids := t.send(q, "1", "2")
	_, err := q.Peek(t.ctx, mq.BrowseOptions{After: "no id", Limit: 1})
	t.is(err, "Peek after what is no id", mq.ErrInvalid)
	t.ok(t.receive(q, 1)[0].Ack(t.ctx), "ack")
	rs, err := q.Peek(t.ctx, mq.BrowseOptions{After: ids[0], Limit: 1})
	if err != nil || !slices.Equal(recordIDs(rs), ids[1:]) {
		t.Errorf("Peek after a message that was acked shows %s, %v, want %s", recordIDs(rs), err, ids[1:])
	}
}

var statsCases = []testCase{
	{name: "stats/transitions", rule: "Stats adds up through every change of state", run: statsTransitions},
	{name: "stats/timeout", rule: "Stats counts a message whose lease has ended as visible", needs: exactStats, run: statsTimeout},
	{name: "stats/ages", rule: "OldestAge and NewestAge are ages since the send, -1 on an empty queue", run: statsAges},
	{name: "stats/lag", rule: "Lag is how long what has been due longest has waited since it became due, 0 if nothing is visible", run: statsLag},
	{name: "stats/blocked", rule: "Stats.Blocked counts what is due behind an earlier message of its group that is leased or delayed", needs: all(exactStats, grouped), run: statsBlocked},
	{name: "stats/total-sent", rule: "TotalSent counts every message ever put into the queue, redriven and moved ones included", needs: exactStats, run: statsTotalSent},
	{name: "stats/all", rule: "StatsAll counts every queue as Stats does", needs: canList, run: statsAll},
	{name: "stats/known", rule: "Caps.ExactStats: no figure is -1 or an estimate; otherwise none is below -1", run: statsKnown},
}

func statsTransitions(t *tester) {
	q := t.queue()
	t.counted(q, counts{})
	t.send(q, "1", "2", "3", "4")
	t.counted(q, counts{visible: 4})
	ds := t.receive(q, 3)
	t.counted(q, counts{visible: 1, leased: 3})
	t.ok(ds[0].Ack(t.ctx), "ack")
	t.counted(q, counts{visible: 1, leased: 2})
	t.ok(ds[1].Nack(t.ctx, 0), "nack")
	t.counted(q, counts{visible: 2, leased: 1})
	t.ok(ds[2].Archive(t.ctx, "counted"), "archive")
	t.counted(q, counts{visible: 2, archived: 1})
	for _, d := range t.receive(q, 2) {
		t.ok(d.Ack(t.ctx), "ack")
	}
	t.counted(q, counts{archived: 1})
}

func statsTimeout(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	v := 3 * t.unit
	_, leased := t.lease(q, v)
	t.expire(leased.plus(v))
	t.counted(q, counts{visible: 1})
}

func statsAges(t *tester) {
	q := t.queue()
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	if s.OldestAge != -1 || s.NewestAge != -1 {
		t.Errorf("ages of an empty queue are %v and %v, want -1", s.OldestAge, s.NewestAge)
	}
	start := time.Now()
	t.send(q, "old")
	t.sleep(4 * t.unit)
	between := time.Now()
	t.send(q, "new")
	t.one(q)
	s, err = q.Stats(t.ctx)
	t.ok(err, "Stats")
	if s.OldestAge == -1 && s.NewestAge == -1 && !t.caps.ExactStats {
		return
	}
	if s.OldestAge < 4*t.unit-early || s.OldestAge > time.Since(start)+early {
		t.Errorf("OldestAge is %v, want %v to %v", s.OldestAge, 4*t.unit, time.Since(start))
	}
	if s.NewestAge < -early || s.NewestAge > time.Since(between)+early {
		t.Errorf("NewestAge is %v, want at most %v", s.NewestAge, time.Since(between))
	}
	t.near(s.ScrapedAt, "ScrapedAt")
}

func statsLag(t *tester) {
	q := t.queue()
	t.lags(q, 0, 0)
	start := time.Now()
	t.send(q, "waits")
	t.sleep(3 * t.unit)
	t.lags(q, 3*t.unit-early, time.Since(start)+early)
	v := 3 * t.unit
	_, leased := t.lease(q, v)
	t.before(leased.from.Add(v), func(t *tester) { t.lags(q, 0, 0) })
	t.expire(leased.plus(v))
	t.lags(q, 0, time.Since(leased.from.Add(v))+early)
}

// lags checks the lag of a queue, if the provider can tell it. The call itself may
// take long.
func (t *tester) lags(q *mq.Queue, low, high time.Duration) {
	t.Helper()
	start := time.Now()
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	if high > 0 {
		high += time.Since(start)
	}
	if unknown := s.Lag == -1 && !t.caps.ExactStats; !unknown && (s.Lag < low || s.Lag > high) {
		t.Errorf("Lag is %v, want %v to %v", s.Lag, low, high)
	}
}

func statsBlocked(t *tester) {
	q := t.queue()
	t.sendGroups(q, "a 1", "b 1", "a 2", "a 3")
	t.post(q, &mq.Message{Body: []byte("alone")})
	t.counted(q, counts{visible: 5})
	d := t.head(q, "a 1")
	t.counted(q, counts{visible: 2, leased: 1, blocked: 2})
	t.ok(d.Nack(t.ctx, t.long), "nack")
	t.counted(q, counts{visible: 2, delayed: 1, blocked: 2})
	all := t.receive(q, 4) // a plain receive takes them
	t.counted(q, counts{leased: 4, delayed: 1})
	for _, d := range all {
		t.ok(d.Nack(t.ctx, 0), "nack")
	}
	t.counted(q, counts{visible: 2, delayed: 1, blocked: 2})
	_, err := q.Purge(t.ctx)
	t.ok(err, "Purge")
	t.sendGroups(q, "a 4", "a 5")
	later := t.receive(q, 2)
	t.ok(later[0].Nack(t.ctx, 0), "nack")
	t.counted(q, counts{visible: 1, leased: 1}) // what comes later blocks nothing
}

func statsTotalSent(t *tester) {
	q := t.queue()
	t.post(q, numbered(5)...)
	for _, d := range t.receive(q, 5) {
		t.ok(d.Ack(t.ctx), "ack")
	}
	want := int64(5)
	if canRedrive(t.h, t.p, t.caps) == "" {
		t.archive(q, &mq.Message{}, "")
		_, err := q.Redrive(t.ctx, mq.RedriveOptions{})
		t.ok(err, "Redrive")
		t.one(q)
		want += 2
	}
	if t.caps.AtomicMove {
		t.send(q, "moved")
		t.ok(t.one(q).Move(t.ctx, q.Name(), ""), "move to the same queue")
		want += 2
	}
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	if s.TotalSent != want {
		t.Errorf("TotalSent is %d, want %d", s.TotalSent, want)
	}
}

func statsKnown(t *tester) {
	q := t.queue()
	t.post(q, numbered(3)...)
	s, err := q.Stats(t.ctx)
	t.ok(err, "Stats")
	var unknown []string
	for name, figure := range map[string]int64{
		"Total": s.Total, "Visible": s.Visible, "Leased": s.Leased, "Delayed": s.Delayed, "Blocked": s.Blocked,
		"Archived": s.Archived, "TotalSent": s.TotalSent, "OldestAge": int64(s.OldestAge), "NewestAge": int64(s.NewestAge), "Lag": int64(s.Lag),
	} {
		if figure < -1 {
			t.Errorf("%s is %d", name, figure)
		}
		if figure == -1 {
			unknown = append(unknown, name)
		}
	}
	if t.caps.ExactStats && (len(unknown) > 0 || s.Approximate) {
		t.Errorf("unknown: %s; estimated: %v", strings.Join(unknown, ", "), s.Approximate)
	}
	t.near(s.ScrapedAt, "ScrapedAt")
}

func statsAll(t *tester) {
	one, two := t.queue(), t.queue()
	t.send(one, "leased", "visible", "visible")
	t.one(one)
	all, err := t.c.StatsAll(t.ctx)
	t.ok(err, "StatsAll")
	for _, q := range []*mq.Queue{one, two} {
		want, err := q.Stats(t.ctx)
		t.ok(err, "Stats")
		got, there := all[q.Name()]
		if figures := statsFigures(got); !there || figures != statsFigures(want) {
			t.Errorf("StatsAll: %v, want %v as Stats has", figures, statsFigures(want))
		}
	}
}

// statsFigures are those that time alone does not change.
func statsFigures(s mq.Stats) [7]int64 {
	return [7]int64{s.Total, s.Visible, s.Leased, s.Delayed, s.Archived, s.Blocked, s.TotalSent}
}
