package mem

import (
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// player does the same random operations on the provider and on the model.
type player struct {
	client
	*rand.Rand
	model    model
	name     string // of the queue of this operation
	queue    *modelQueue
	known    map[string]map[driver.Receipt]int // by queue, with the message's id
	receipts []driver.Receipt                  // all of them, in order
	tx       *Tx                               // or nil
	pending  map[*modelQueue][]*modelMessage   // sent inside tx
}

func TestRandomOperations(t *testing.T) {
	runs, steps := 20, 1000
	if testing.Short() {
		runs, steps = 8, 500
	}
	for seed := range runs {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &player{
					client: client{New(), t},
					Rand:   rand.New(rand.NewPCG(uint64(seed), 0)),
					model:  model{},
					known:  map[string]map[driver.Receipt]int{},
				}
				for range steps {
					p.step()
				}
			})
		})
	}
}

func (p *player) step() {
	p.t.Helper()
	p.name = []string{"q", "p"}[p.IntN(2)]
	if p.queue = p.model[p.name]; p.queue == nil {
		p.queue = &modelQueue{name: p.name}
		p.model[p.name] = p.queue
		p.known[p.name] = map[driver.Receipt]int{}
		p.ensure(p.name)
	}
	if p.IntN(300) == 0 {
		p.reset()
		return
	}
	ops := []struct {
		weight int
		do     func()
	}{
		{10, p.sendSome},
		{10, p.receiveSome},
		{12, p.settleSome},
		{4, p.extendSome},
		{8, p.sleep},
		{2, p.popSome},
		{5, p.receiveHeads},
		{5, p.receiveRest},
		{2, p.redriveSome},
		{1, p.purgeOld},
		{3, p.compare},
		{2, p.sendInTx},
		{1, p.endTx},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	n := p.IntN(total)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			op.do()
			return
		}
	}
}

func (p *player) duration() time.Duration { return time.Duration(1+p.IntN(5)) * time.Second }

func (p *player) sleep() { time.Sleep(p.duration() / 2) }

func (p *player) sendSome() {
	msgs := p.messages()
	ids := p.send(p.name, msgs...)
	for i, m := range msgs {
		p.equal("id", ids[i], strconv.Itoa(p.queue.add(m).id))
	}
}

func (p *player) sendInTx() {
	if p.tx == nil {
		p.tx, p.pending = p.Begin(), map[*modelQueue][]*modelMessage{}
	}
	msgs := p.messages()
	ids := p.sendIn(p.tx, p.name, msgs...)
	for i, msg := range msgs {
		m := p.queue.reserve(msg)
		p.equal("id", ids[i], strconv.Itoa(m.id))
		p.pending[p.queue] = append(p.pending[p.queue], m)
	}
}

// endTx commits, so that ids come late, or rolls back.
func (p *player) endTx() {
	if p.tx == nil {
		return
	}
	if p.IntN(4) == 0 {
		p.must(p.tx.Rollback())
		p.tx = nil
		return
	}
	p.must(p.tx.Commit())
	p.tx = nil
	for q, ms := range p.pending {
		for _, m := range ms {
			q.insert(m)
		}
	}
}

func (p *player) messages() []driver.Message {
	var msgs []driver.Message
	for range 1 + p.IntN(4) {
		m := driver.Message{Body: strconv.AppendInt(nil, p.Int64N(4), 10)}
		if p.IntN(3) > 0 {
			m.Group = string(rune('a' + p.IntN(3)))
		}
		if p.IntN(4) == 0 {
			m.Delay = p.duration()
		}
		if p.IntN(4) == 0 {
			m.Headers = driver.Headers{"k": strconv.Itoa(p.IntN(9))}
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func (p *player) request() driver.ReceiveRequest {
	return driver.ReceiveRequest{Max: 1 + p.IntN(4), Visibility: p.duration()}
}

func (p *player) receiveSome() {
	r := p.request()
	p.leased(p.receive(p.name, r), p.queue.choose(r.Max), r.Visibility, (*modelMessage).none)
}

func (m *modelMessage) none() string  { return "" }
func (m *modelMessage) group() string { return m.Group }
func (m *modelMessage) body() string  { return string(m.Body) }

func (p *player) by() (driver.GroupBy, bool, func(*modelMessage) string) {
	if p.IntN(2) == 0 {
		return driver.GroupBy{Path: []string{}}, true, (*modelMessage).body
	}
	return driver.GroupBy{}, false, (*modelMessage).group
}

func (p *player) receiveHeads() {
	r := p.request()
	by, path, key := p.by()
	ds, err := p.ReceiveHeads(p.t.Context(), p.name, driver.GroupRequest{ReceiveRequest: r, By: by})
	p.must(err)
	p.leased(ds, p.queue.heads(path, r.Max), r.Visibility, key)
}

func (p *player) receiveRest() {
	by, path, key := p.by()
	r := driver.GroupDrainRequest{ReceiveRequest: p.request(), By: by, IncludeDelayed: p.IntN(2) == 0}
	if len(p.queue.msgs) > 0 {
		r.Value = key(p.queue.msgs[p.IntN(len(p.queue.msgs))])
	}
	for _, m := range p.queue.msgs {
		if m.receipt != "" && p.IntN(4) > 0 {
			r.Holding = append(r.Holding, m.receipt)
		}
	}
	ds, err := p.ReceiveGroup(p.t.Context(), p.name, r)
	p.must(err)
	p.leased(ds, p.queue.rest(path, r.Value, r.Holding, r.IncludeDelayed, r.Max), r.Visibility, key)
}

// leased leases ms in the model and requires that ds are they.
func (p *player) leased(ds []driver.Delivery, ms []*modelMessage, visibility time.Duration, key func(*modelMessage) string) {
	p.t.Helper()
	p.equal("number of deliveries", len(ds), len(ms))
	for i, m := range ms {
		d := ds[i]
		if _, dup := p.known[p.name][d.Receipt]; dup || d.Receipt == "" {
			p.t.Fatalf("receipt %q is not new", d.Receipt)
		}
		p.known[p.name][d.Receipt] = m.id
		p.receipts = append(p.receipts, d.Receipt)
		m.reads++
		m.unanswered++
		m.hide(visibility, d.Receipt)
		want := driver.Delivery{Message: m.Message, ID: strconv.Itoa(m.id), Receipt: d.Receipt, ReadCount: m.reads}
		want.Attempt, want.Unanswered = m.reads-m.uncounted, m.unanswered-1
		want.GroupKey = key(m)
		p.times(d.EnqueuedAt, m.enqueued, d.VisibleAt, m.due)
		d.EnqueuedAt, d.VisibleAt = time.Time{}, time.Time{}
		p.equal("delivery", d, want)
	}
}

// times compares pairs of times.
func (p *player) times(ts ...time.Time) {
	p.t.Helper()
	for i := 0; i < len(ts); i += 2 {
		if !ts[i].Equal(ts[i+1]) {
			p.t.Fatalf("time %d is %v, want %v", i/2, ts[i], ts[i+1])
		}
	}
}

func (p *player) equal(what string, got, want any) {
	p.t.Helper()
	if !reflect.DeepEqual(got, want) {
		p.t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func (p *player) popSome() {
	limit := 1 + p.IntN(3)
	ds, err := p.Pop(p.t.Context(), p.name, limit)
	p.must(err)
	ms := p.queue.choose(limit)
	p.equal("number popped", len(ds), len(ms))
	for i, m := range ms {
		p.queue.remove(m)
		p.times(ds[i].EnqueuedAt, m.enqueued, ds[i].VisibleAt, time.Time{})
		ds[i].EnqueuedAt = time.Time{}
		p.equal("popped", ds[i], driver.Delivery{
			Message: m.Message, ID: strconv.Itoa(m.id),
			ReadCount: m.reads + 1, Attempt: m.reads + 1 - m.uncounted, Unanswered: m.unanswered,
		})
	}
}

// receipt returns one of the last receipts, of either queue, or none at all.
func (p *player) receipt() driver.Receipt {
	n := len(p.receipts)
	if n == 0 || p.IntN(50) == 0 {
		return "nonsense"
	}
	return p.receipts[n-1-p.IntN(min(n, 12))]
}

func (p *player) settleSome() {
	var batch []driver.Settlement
	for range 1 + p.IntN(4) {
		s := driver.Settlement{Receipt: p.receipt(), Op: driver.Op(1 + p.IntN(4)), To: []string{"q", "p", "missing"}[p.IntN(3)]}
		if s.Op == driver.OpNack {
			s.Delay = []time.Duration{0, 0, p.duration(), driver.AtTimeout}[p.IntN(4)]
			s.Uncounted = p.IntN(2) == 0
		}
		if p.IntN(2) == 0 {
			s.Reason = strconv.Itoa(p.IntN(9))
		}
		batch = append(batch, s)
	}
	err := p.Settle(p.t.Context(), p.name, batch)
	p.errors(err, len(batch), func(i int) error { return p.model.settle(p.queue, batch[i], p.known[p.name]) })
}

func (p *player) extendSome() {
	receipts := []driver.Receipt{p.receipt(), p.receipt()}
	d := p.duration()
	err := p.Extend(p.t.Context(), p.name, receipts, d)
	p.errors(err, len(receipts), func(i int) error { return p.queue.extend(receipts[i], d, p.known[p.name]) })
}

// errors requires that err tells of n items what want tells of each.
func (p *player) errors(err error, n int, want func(i int) error) {
	p.t.Helper()
	got := make([]error, n)
	if batch, ok := errors.AsType[*driver.BatchError](err); ok {
		got = batch.Errs
	} else {
		p.must(err)
	}
	for i := range n {
		if want := want(i); !sameError(got[i], want) {
			p.t.Fatalf("item %d: %v, want %v", i, got[i], want)
		}
	}
}

func (p *player) redriveSome() {
	var ids []string
	for range p.IntN(3) {
		ids = append(ids, strconv.Itoa(1+p.IntN(p.queue.lastID+1)))
	}
	limit := 1 + p.IntN(3)
	p.equal("redriven", p.redrive(p.name, ids, limit), p.queue.redrive(ids, limit))
}

func (p *player) purgeOld() {
	d := p.duration() * 2
	n, err := p.PurgeArchive(p.t.Context(), p.name, d)
	p.must(err)
	p.equal("purged", n, p.queue.purgeArchive(d))
}

// reset purges or drops the queue.
func (p *player) reset() {
	if p.IntN(2) == 0 {
		n, err := p.PurgeQueue(p.t.Context(), p.name)
		p.must(err)
		p.equal("purged", n, int64(len(p.queue.msgs)))
		p.queue.msgs = nil
		return
	}
	p.endTx()
	p.must(p.DropQueue(p.t.Context(), p.name))
	delete(p.model, p.name)
	names, err := p.ListQueues(p.t.Context())
	p.must(err)
	if want := slices.Sorted(maps.Keys(p.model)); !slices.Equal(names, want) {
		p.t.Fatalf("queues are %v, want %v", names, want)
	}
	p.receipts = nil
}

// compare compares all that can be seen of the queue.
func (p *player) compare() {
	got := p.stats(p.name)
	p.times(got.ScrapedAt, time.Now())
	got.ScrapedAt = time.Time{}
	p.equal("stats", got, p.queue.stats())
	p.records(p.browse(p.name, false), p.queue.msgs)
	p.records(p.browse(p.name, true), p.queue.archive)
}

func (p *player) records(got []driver.Record, want []*modelMessage) {
	p.t.Helper()
	p.equal("number of records", len(got), len(want))
	for i, m := range want {
		r := got[i]
		p.times(r.EnqueuedAt, m.enqueued, r.VisibleAt, m.due, r.ArchivedAt, m.archived)
		r.EnqueuedAt, r.VisibleAt, r.ArchivedAt = time.Time{}, time.Time{}, time.Time{}
		p.equal("record", r, driver.Record{
			Message: m.Message, ID: strconv.Itoa(m.id), State: m.stateNow(), BodySize: len(m.Body),
			ReadCount: m.reads, Attempt: m.reads - m.uncounted,
		})
	}
}
