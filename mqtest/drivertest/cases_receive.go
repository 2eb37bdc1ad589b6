package drivertest

import (
	"context"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var receiveCases = []testCase{
	{name: "receive/max", rule: "Receive never returns more than Max (rule 3)", run: receiveMax},
	{name: "receive/fewer", rule: "Receive returns what there is if that is less than Max", run: receiveFewer},
	{name: "receive/no-wait", rule: "Receive with Wait 0 never blocks for a message (rule 3)", run: receiveNoWait},
	{name: "receive/options", rule: "options outside their range are ErrInvalid, and nothing is leased", run: receiveOptions},
	{name: "receive/cancelled", rule: "if ctx ended before the claim the result is ctx.Err, and nothing is leased (rule 3)", run: receiveCancelled},
	{name: "receive/each-once", rule: "while leases hold each message is delivered to one receiver", run: receiveEachOnce},
	{name: "receive/two-clients", rule: "while leases hold each message is delivered to one client", needs: shared, run: receiveTwoClients},
	{name: "receive/order", rule: "Caps.Order: messages come in the order they were sent", needs: ordered, run: receiveOrder},
	{name: "receive/sorted", rule: "Caps.Order: within one Receive messages are sorted by age, retried or not", needs: ordered, run: receiveSorted},
	{name: "receive/read-count", rule: "ReadCount is 1 on the first delivery (rule 4)", run: receiveReadCount},
	{name: "receive/enqueued-at", rule: "EnqueuedAt is when the message was sent, in order (rule 4)", run: receiveEnqueuedAt},
	{name: "receive/visible-at", rule: "VisibleAt is when the lease ends", run: receiveVisibleAt},
	{name: "receive/receipts", rule: "a receipt names one lease, and is valid UTF-8 (rule 1)", run: receiveReceipts},
	{name: "receive/own-queue", rule: "a queue delivers only what was sent to it", run: receiveOwnQueue},
}

func receiveMax(t *tester) {
	q := t.queue()
	t.post(q, numbered(10)...)
	for left := 10; left > 0; {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(3, t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience})
		t.ok(err, "Receive")
		if len(ds) > 3 || len(ds) == 0 {
			t.Fatalf("received %d messages with Max 3 and %d there", len(ds), left)
		}
		left -= len(ds)
	}
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long})
	if len(ds) > 0 || err != nil {
		t.Errorf("received %d more messages, %v", len(ds), err)
	}
}

func receiveFewer(t *tester) {
	q := t.queue()
	msgs := numbered(3)
	ids := t.post(q, msgs...)
	var got []*mq.Delivery
	for len(got) < 3 {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: t.caps.BatchLimit(), Visibility: t.long, Wait: t.patience})
		t.ok(err, "Receive of %d", t.caps.BatchLimit())
		got = append(got, ds...)
	}
	t.sameSet(got, ids, msgs)
}

func receiveNoWait(t *tester) {
	q := t.queue()
	took := timed(func() {
		for range 3 {
			t.none(q, "nothing was sent")
		}
	})
	t.soon("three times Receive with Wait 0", took, 0)
}

func receiveOptions(t *tester) {
	q := t.queue()
	t.send(q, "never leased")
	bad := map[string]mq.ReceiveOptions{
		"negative Max":        {Max: -1, Visibility: t.long},
		"Max above MaxBatch":  {Max: t.caps.BatchLimit() + 1, Visibility: t.long},
		"negative Visibility": {Visibility: -time.Second},
		"negative Wait":       {Visibility: t.long, Wait: -1},
	}
	for what, o := range bad {
		ds, err := q.Receive(t.ctx, o)
		t.is(err, "Receive with "+what, mq.ErrInvalid)
		if len(ds) > 0 {
			t.Errorf("Receive with %s returned %d messages", what, len(ds))
		}
	}
	t.reads(t.one(q).ReadCount, 1)
}

func receiveCancelled(t *tester) {
	q := t.queue()
	t.send(q, "never leased")
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err := q.Receive(ctx, mq.ReceiveOptions{Visibility: t.long})
	t.is(err, "Receive", context.Canceled)
	ds, err := t.p.Receive(ctx, q.Name(), driver.ReceiveRequest{Max: 1, Visibility: t.long})
	t.is(err, "Provider.Receive", context.Canceled)
	if len(ds) > 0 {
		t.Errorf("Provider.Receive returned %d messages", len(ds))
	}
	t.reads(t.one(q).ReadCount, 1)
}

// ledger notes who has received what.
type ledger struct {
	mu  sync.Mutex
	got map[string]int
	n   int
}

func (l *ledger) add(ds []*mq.Delivery) (total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range ds {
		l.got[d.ID]++
	}
	l.n += len(ds)
	return l.n
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// receiveAllOnce lets 16 receivers on clients take 2,000 messages.
func receiveAllOnce(t *tester, q *mq.Queue, clients ...*mq.Client) {
	const total = 2000
	ids := t.post(q, numbered(total)...)
	l := &ledger{got: make(map[string]int)}
	ctx, enough := t.growing(l.total)
	defer enough()
	t.together(16, func(i int) error {
		from := clients[i%len(clients)].Queue(q.Name())
		for {
			ds, err := from.Receive(ctx, mq.ReceiveOptions{Max: min(1+i%7, t.caps.BatchLimit()), Visibility: t.long, Wait: mq.Forever})
			if l.add(ds) >= total {
				enough()
			}
			if ctx.Err() != nil {
				return t.ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	})
	for _, id := range ids {
		if n := l.got[id]; n != 1 {
			t.Errorf("message %s was received %d times", id, n)
		}
	}
	t.none(q, "all have been received")
}

func receiveEachOnce(t *tester) { receiveAllOnce(t, t.queue(), t.c) }

func receiveTwoClients(t *tester) { receiveAllOnce(t, t.queue(), t.c, t.again()) }

func receiveOrder(t *tester) {
	q := t.queue()
	var ids []string
	for range 5 {
		ids = append(ids, t.post(q, numbered(6)...)...)
		ids = append(ids, t.send(q, "single")...)
	}
	var got []string
	for n := range 12 {
		got = append(got, idsOf(t.receive(q, min(n, len(ids)-len(got))))...)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("received %s, sent %s", got, ids)
	}
}

func receiveSorted(t *tester) {
	q := t.queue()
	ids := t.send(q, "first", "second", "third")
	d := t.one(q)
	t.sleep(t.unit/4 + t.caps.Resolution)
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.sleep(t.unit/4 + t.caps.Resolution)
	ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(3, t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience})
	t.ok(err, "Receive")
	place := func(d *mq.Delivery) int { return slices.Index(ids, d.ID) }
	if !slices.IsSortedFunc(ds, func(a, b *mq.Delivery) int { return place(a) - place(b) }) {
		t.Errorf("one Receive returned %q, want them sorted by age", bodies(ds))
	}
}

func receiveReadCount(t *tester) {
	q := t.queue()
	t.post(q, numbered(5)...)
	for _, d := range t.receive(q, 5) {
		t.reads(d.ReadCount, 1)
	}
}

func receiveEnqueuedAt(t *tester) {
	q := t.queue()
	t.send(q, "first")
	t.sleep(t.unit)
	t.send(q, "second")
	at := make(map[string]time.Time)
	for _, d := range t.receive(q, 2) {
		t.near(d.EnqueuedAt, "EnqueuedAt")
		at[string(d.Body)] = d.EnqueuedAt
	}
	if at["second"].Before(at["first"]) {
		t.Errorf("EnqueuedAt of the second message is %v before that of the first", at["first"].Sub(at["second"]))
	}
}

// The backend's clock may differ from ours, so that its times are compared
// with each other.
func receiveVisibleAt(t *tester) {
	q := t.queue()
	start := time.Now()
	t.send(q, "leased")
	d := t.one(q)
	took := time.Since(start)
	const rounding = 2 * time.Second
	lease := d.VisibleAt.Sub(d.EnqueuedAt)
	if lease < t.long-rounding || lease > t.long+took+t.caps.Resolution+rounding {
		t.Errorf("VisibleAt is %v after EnqueuedAt, want %v or up to %v more", lease, t.long, took)
	}
}

func receiveReceipts(t *tester) {
	q := t.queue()
	t.post(q, numbered(20)...)
	seen := make(map[mq.Receipt]bool)
	for _, d := range t.receive(q, 20) {
		seen[d.Receipt] = true
		if d.Receipt == "" || !utf8.ValidString(string(d.Receipt)) {
			t.Errorf("receipt %q is empty or not UTF-8", d.Receipt)
		}
	}
	if len(seen) != 20 {
		t.Errorf("20 leases have %d different receipts", len(seen))
	}
}

func receiveOwnQueue(t *tester) {
	queues := make([]*mq.Queue, 20)
	for i := range queues {
		queues[i] = t.queue()
	}
	t.together(len(queues), func(i int) error {
		_, err := queues[i].Send(t.ctx, &mq.Message{Body: []byte(queues[i].Name())})
		return err
	})
	for _, q := range queues {
		if d := t.one(q); string(d.Body) != q.Name() {
			t.Errorf("queue %s delivered a message of queue %s", q.Name(), d.Body)
		}
		t.none(q, "one message was sent to each queue")
	}
}
