package drivertest

import (
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// fuzzOps are what a sequence consists of. Those that fill and empty the
// queue are there more than once.
var fuzzOps = []struct {
	name string
	run  func(*fuzzer)
}{
	{"send", (*fuzzer).opSend},
	{"send", (*fuzzer).opSend},
	{"send delayed", (*fuzzer).opSendDelayed},
	{"send ahead", (*fuzzer).opSendAhead},
	{"send once", (*fuzzer).opSendOnce},
	{"send once", (*fuzzer).opSendOnce},
	{"receive", (*fuzzer).opReceive},
	{"receive", (*fuzzer).opReceive},
	{"receive", (*fuzzer).opReceive},
	{"settle", func(f *fuzzer) { f.opSettle(mq.Settlement{Op: mq.OpAck}) }},
	{"settle", func(f *fuzzer) { f.opSettle(f.nack(0)) }},
	{"settle", (*fuzzer).opNackDelayed},
	{"settle", func(f *fuzzer) { f.opSettle(f.nack(mq.AtTimeout)) }},
	{"settle", func(f *fuzzer) { f.opSettle(mq.Settlement{Op: mq.OpArchive, Reason: "why"}) }},
	{"settle", func(f *fuzzer) { f.opSettle(mq.Settlement{Op: mq.OpArchive, Reason: "why"}) }},
	{"settle", (*fuzzer).opSettleBatch},
	{"extend", (*fuzzer).opExtend},
	{"extend", (*fuzzer).opExtend},
	{"wrong receipt", (*fuzzer).opWrongReceipt},
	{"pop", (*fuzzer).opPop},
	{"purge", (*fuzzer).opPurge},
	{"redrive", (*fuzzer).opRedrive},
	{"redrive", (*fuzzer).opRedrive},
	{"purge archive", (*fuzzer).opPurgeArchive},
	{"browse", func(f *fuzzer) { f.browse(false) }},
	{"browse archive", func(f *fuzzer) { f.browse(true) }},
	{"stats", (*fuzzer).stats},
	{"advance", (*fuzzer).opAdvance},
	{"advance", (*fuzzer).opAdvance},
}

func (f *fuzzer) opSend() { f.send(func(*mq.Message) {}) }

func (f *fuzzer) opSendAhead() {
	if f.caps.HeadStart {
		f.send(func(m *mq.Message) { m.HeadStart = f.duration() })
		return
	}
	_, err := f.q.Send(f.Context(), &mq.Message{HeadStart: f.long()})
	f.same(err, mq.ErrNotSupported)
}

func (f *fuzzer) opSendDelayed() {
	if f.caps.Delay {
		f.send(func(m *mq.Message) { m.Delay = f.duration() })
		return
	}
	_, err := f.q.Send(f.Context(), &mq.Message{Delay: f.long()})
	f.same(err, mq.ErrNotSupported)
}

func (f *fuzzer) opSendOnce() {
	msg := &mq.Message{Body: f.body(), DedupKey: []string{"k", "K", " k"}[f.pick(3)], DedupFor: mq.WhileQueued}
	if f.pick(2) == 0 {
		msg.DedupFor = f.duration()
	}
	now := time.Now()
	id, first, err := f.q.SendOnce(f.Context(), msg)
	if deduplicates(f.h, f.q.Client().Provider(), f.caps) != "" {
		f.same(err, mq.ErrNotSupported)
		return
	}
	f.note("%q for %v: %s %t", msg.DedupKey, msg.DedupFor, id, first)
	f.must(err)
	f.must(f.m.sendOnce(msg, id, first, now))
	f.over(msg.DedupFor)
}

func (f *fuzzer) send(change func(*mq.Message)) {
	msgs := make([]*mq.Message, min(1+f.pick(3), f.caps.BatchLimit()))
	for i := range msgs {
		msgs[i] = &mq.Message{Body: f.body()}
		change(msgs[i])
		if f.caps.Headers && f.pick(2) == 0 {
			msgs[i].Headers = mq.Headers{"N": fmt.Sprint(f.bodies), "é": " x "}
		}
	}
	now := time.Now()
	ids, err := f.q.SendAll(f.Context(), msgs)
	f.note("%v", ids)
	f.must(err)
	f.must(f.m.send(msgs, ids, now))
	for _, msg := range msgs {
		f.over(msg.Delay)
	}
}

func (f *fuzzer) opReceive() {
	visibility := f.duration()
	f.take(1+f.pick(4), visibility)
	f.over(visibility)
}

// take receives. A backend that real time separates from us gets some of it.
func (f *fuzzer) take(limit int, visibility time.Duration) {
	o := mq.ReceiveOptions{Max: min(limit, f.caps.BatchLimit()), Visibility: visibility}
	if !f.h.Bubble && len(f.m.visible(time.Now())) > 0 {
		o.Wait = patience
	}
	ds, err := f.q.Receive(f.Context(), o)
	now := time.Now()
	f.note("%d for %v: %v", o.Max, visibility, idsOf(ds))
	f.must(err)
	f.must(f.m.receive(o.Max, visibility, ds, now))
	f.receipts = append(f.receipts, receiptsOf(ds)...)
}

func (f *fuzzer) opNackDelayed() {
	if !f.caps.Delay {
		return
	}
	d := f.duration()
	f.opSettle(f.nack(d))
	f.over(d)
}

// nack makes one that may be uncounted, and may have a reason.
func (f *fuzzer) nack(delay time.Duration) mq.Settlement {
	s := mq.Settlement{Op: mq.OpNack, Delay: delay, Uncounted: f.caps.Attempts && f.pick(2) == 0}
	if f.pick(2) == 0 {
		s.Reason = fmt.Sprint("error ", f.pick(10))
	}
	return s
}

func (f *fuzzer) opSettle(s mq.Settlement) {
	var ok bool
	if s.Receipt, ok = f.receipt(); ok && !f.doubtful(s.Receipt) {
		f.settle(s)
	}
}

func (f *fuzzer) opSettleBatch() {
	var batch []mq.Settlement
	seen := make(map[mq.Receipt]bool)
	for range min(2+f.pick(3), f.caps.BatchLimit()) {
		r, ok := f.receipt()
		if !ok || seen[r] || f.doubtful(r) {
			continue
		}
		seen[r] = true
		op := []mq.Settlement{{Op: mq.OpAck}, f.nack(0), {Op: mq.OpArchive, Reason: "batch"}}[f.pick(3)]
		op.Receipt = r
		batch = append(batch, op)
	}
	if len(batch) > 0 {
		f.settle(batch...)
	}
}

func (f *fuzzer) settle(batch ...mq.Settlement) {
	now := time.Now()
	errs := errorsOf(f.q.Settle(f.Context(), batch...), len(batch))
	for i, s := range batch {
		want := f.m.settle(s, now)
		f.note("%v %q: %s", s.Op, s.Receipt, brief(errs[i]))
		if s.Delay == mq.AtTimeout && errors.Is(want, mq.ErrStaleReceipt) && errs[i] == nil {
			continue // it may be carried out without a look
		}
		f.same(errs[i], want)
	}
}

func (f *fuzzer) opExtend() {
	r, ok := f.receipt()
	d := f.duration()
	if !ok || f.doubtful(r) {
		return
	}
	now := time.Now()
	if x := f.m.leases[r]; f.caps.MaxHold > 0 && now.Add(d).Sub(x.leasedAt) > f.caps.MaxHold {
		return
	}
	err := f.q.Extend(f.Context(), d, r)
	f.note("%q by %v: %s", r, d, brief(err))
	f.same(err, f.m.extend(r, d, now))
	f.over(d)
}

// opWrongReceipt tries receipts that are none, and one of another queue.
func (f *fuzzer) opWrongReceipt() {
	wrong, q := mq.Receipt("no receipt"), f.q
	if r, ok := f.receipt(); ok && f.pick(2) == 0 {
		wrong, q = r, f.other
	}
	f.note("%q", wrong)
	ops := []mq.Settlement{{Op: mq.OpAck}, {Op: mq.OpNack}, {Op: mq.OpArchive}}
	s := ops[f.pick(len(ops))]
	s.Receipt = wrong
	f.same(q.Settle(f.Context(), s), mq.ErrInvalidReceipt)
	f.same(q.Extend(f.Context(), f.long(), wrong), mq.ErrInvalidReceipt)
}

func (f *fuzzer) opPop() {
	limit := min(1+f.pick(3), f.caps.BatchLimit())
	begin := time.Now()
	for {
		ds, err := f.q.Pop(f.Context(), limit)
		if !f.supported(err) {
			return
		}
		if now := time.Now(); len(ds) > 0 || f.h.Bubble || len(f.m.visible(now)) == 0 || now.Sub(begin) > patience {
			f.note("%d: %v", limit, idsOf(ds))
			f.must(f.m.pop(limit, ds, now))
			return
		}
		time.Sleep(f.short())
	}
}

// opPurge is rare, so that queues can fill.
func (f *fuzzer) opPurge() {
	if f.pick(4) > 0 {
		return
	}
	n, err := f.q.Purge(f.Context())
	if f.supported(err) {
		f.note("%d", n)
		f.counted(n, f.m.purge())
	}
}

func (f *fuzzer) counted(got, want int64) {
	f.Helper()
	if got != want {
		f.Fatalf("got %d, want %d", got, want)
	}
}

func (f *fuzzer) opRedrive() {
	o := mq.RedriveOptions{Limit: 1 + f.pick(len(f.m.archive)+1)}
	if f.pick(2) == 0 {
		o.IDs = f.archivedIDs()
	}
	now := time.Now()
	n, err := f.q.Redrive(f.Context(), o)
	if f.supported(err) {
		f.note("%d of %v: %d", o.Limit, o.IDs, n)
		f.counted(n, f.m.redrive(o.IDs, o.Limit, now))
	}
}

// archivedIDs picks some, and one that is not in the archive.
func (f *fuzzer) archivedIDs() []string {
	ids := []string{}
	for _, x := range f.m.archive {
		if f.pick(2) == 0 {
			ids = append(ids, x.ID)
		}
	}
	if len(f.m.messages) > 0 && f.m.messages[0].ID != "" {
		ids = append(ids, f.m.messages[0].ID)
	}
	return ids
}

// opPurgeArchive is rare, so that archives can fill.
func (f *fuzzer) opPurgeArchive() {
	if f.pick(4) > 0 {
		return
	}
	olderThan := mq.AnyAge
	if f.h.Bubble && f.pick(2) == 0 {
		olderThan = f.duration()
	}
	now := time.Now()
	n, err := f.q.PurgeArchive(f.Context(), olderThan)
	if f.supported(err) {
		f.note("%v: %d", olderThan, n)
		f.counted(n, f.m.purgeArchive(max(olderThan, 0), now))
	}
}

func (f *fuzzer) browse(archive bool) {
	page := f.q.Peek
	if archive {
		page = f.q.Archived
	}
	o := mq.BrowseOptions{Limit: min(1+f.pick(5), f.caps.BatchLimit())}
	var all []mq.Record
	for {
		rs, err := page(f.Context(), o)
		if !f.supported(err) {
			return
		}
		if len(rs) == 0 {
			break
		}
		if len(rs) > o.Limit {
			f.Fatalf("a page of %d records, want up to %d", len(rs), o.Limit)
		}
		all = append(all, rs...)
		o.After = rs[len(rs)-1].ID
	}
	f.must(f.m.browse(all, archive))
}

func (f *fuzzer) stats() {
	s, err := f.q.Stats(f.Context())
	f.must(err)
	if f.caps.ExactStats {
		f.must(f.m.stats(s, time.Now()))
	}
}

func (f *fuzzer) opAdvance() {
	if f.h.Bubble {
		time.Sleep(time.Duration(1+f.pick(60)) * time.Second)
	}
}
