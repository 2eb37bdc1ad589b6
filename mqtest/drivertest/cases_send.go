package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var sendCases = []testCase{
	{name: "send/one", rule: "Send returns the id under which the message is received (rule 9)", run: sendOne},
	{name: "send/batch", rule: "Send returns ids in slice order, each unique in its queue", run: sendBatch},
	{name: "send/split", rule: "a batch above MaxBatch is sent in parts, in order", run: sendSplit},
	{name: "send/empty-batch", rule: "Send of nothing stores nothing and is no error", run: sendEmptyBatch},
	{name: "send/unique-ids", rule: "ids are unique among concurrent senders", run: sendUniqueIDs},
	{name: "send/order", rule: "Caps.Order: the messages of one sender come in the order they were sent", needs: ordered, run: sendOrder},
	{name: "send/refused", rule: "a batch with one message that is not valid is refused before any effect", run: sendRefused},
	{name: "send/cancelled", rule: "a Send whose ctx has ended sends nothing", run: sendCancelled},
	{name: "send/atomic", rule: "Caps.AtomicSend: one Send stores all its messages or none", needs: atomicSend, run: sendAtomic},
	{name: "send/reuse", rule: "slices, maps and bodies that come in are not retained", run: sendReuse},
	{name: "send/not-shared-out", rule: "slices and maps that go out belong to the caller", run: sendNotSharedOut},
	{name: "send/headers", rule: "Caps.Headers: any UTF-8 without NUL round-trips", needs: headers, run: sendHeaders},
	{name: "send/many-headers", rule: "Caps.Headers: 100 headers, and one of 10 kB, round-trip", needs: headers, run: sendManyHeaders},
	{name: "send/headers-one-by-one", rule: "each message of a batch keeps its own headers, or none", needs: headers, run: sendHeadersOneByOne},
	{name: "send/group-key", rule: "Caps.Groups: Message.Group round-trips", needs: grouped, run: sendGroupKey},
}

func sendOne(t *tester) {
	q := t.queue()
	ids := t.send(q, `{"id":1}`)
	d := t.one(q)
	if ids[0] == "" || d.ID != ids[0] {
		t.Errorf("sent id %q, received id %q", ids[0], d.ID)
	}
	t.sameMessage(d.Message, &mq.Message{Body: []byte(`{"id":1}`)})
	t.none(q, "one message was sent")
}

// numbered makes n messages with different bodies.
func numbered(n int) []*mq.Message {
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: fmt.Appendf(nil, "message %d", i)}
	}
	return msgs
}

// sameSet checks that the deliveries are the messages with these ids, once
// each.
func (t *tester) sameSet(got []*mq.Delivery, ids []string, sent []*mq.Message) {
	t.Helper()
	body := make(map[string]string, len(ids))
	for i, id := range ids {
		body[id] = string(sent[i].Body)
	}
	if len(body) != len(ids) {
		t.Errorf("%d ids, %d of them different", len(ids), len(body))
	}
	for _, d := range got {
		if want, ok := body[d.ID]; !ok || string(d.Body) != want {
			t.Errorf("received message %q with body %.64q, want %.64q", d.ID, d.Body, want)
		}
		delete(body, d.ID)
	}
	if len(body) > 0 {
		t.Errorf("%d messages were not received, among them %v", len(body), firstOf(body))
	}
}

func firstOf[V any](m map[string]V) string {
	for k := range m {
		return k
	}
	return ""
}

func sendBatch(t *tester) {
	q := t.queue()
	msgs := numbered(20)
	ids := t.post(q, msgs...)
	t.sameSet(t.receive(q, 20), ids, msgs)
}

// bounded is a provider that is never to get a batch above MaxBatch, or none.
type bounded struct {
	immovable
	t *tester
}

func (p bounded) check(op string, n int) {
	if limit := p.t.caps.BatchLimit(); n < 1 || n > limit {
		p.t.Errorf("the provider got a %s of %d, its limit is %d", op, n, limit)
	}
}

func (p bounded) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	p.check("Send", len(msgs))
	return p.Provider.Send(ctx, queue, msgs)
}

func (p bounded) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	p.check("Settle", len(s))
	return p.Provider.Settle(ctx, queue, s)
}

func (p bounded) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	p.check("Extend", len(rs))
	return p.Provider.Extend(ctx, queue, rs, d)
}

// boundedQueue makes a queue on a bounded provider.
func (t *tester) boundedQueue() *mq.Queue {
	t.Helper()
	c := mq.New(bounded{immovable{t.p}, t}, quiet())
	t.Cleanup(func() { closeClient(t, c) })
	return t.queueOf(c)
}

func sendSplit(t *tester) {
	q := t.boundedQueue()
	msgs := numbered(t.caps.BatchLimit() + 3)
	ids := t.post(q, msgs...)
	got := t.receive(q, len(msgs))
	t.sameSet(got, ids, msgs)
	if t.caps.Order != driver.Unordered && !slices.Equal(idsOf(got), ids) {
		t.Error("the messages did not come in the order they were sent")
	}
	t.none(q, "all have been received")
}

func sendEmptyBatch(t *tester) {
	q := t.queue()
	if ids, err := q.SendAll(t.ctx, nil); len(ids) > 0 || err != nil {
		t.Errorf("Send of nothing returned %q, %v", ids, err)
	}
	t.none(q, "nothing was sent")
	t.counted(q, counts{})
}

func sendUniqueIDs(t *tester) {
	q := t.queue()
	var mu sync.Mutex
	seen := make(map[string]bool)
	t.together(8, func(int) error {
		for range 10 {
			ids, err := q.SendAll(t.ctx, numbered(3))
			if err != nil {
				return err
			}
			mu.Lock()
			for _, id := range ids {
				seen[id] = true
			}
			mu.Unlock()
		}
		return nil
	})
	if len(seen) != 8*10*3 {
		t.Errorf("%d different ids of %d messages", len(seen), 8*10*3)
	}
	for _, d := range t.receive(q, len(seen)) {
		if !seen[d.ID] {
			t.Errorf("received id %q, which no Send returned, or twice", d.ID)
		}
		delete(seen, d.ID)
	}
}

func sendOrder(t *tester) {
	q := t.queue()
	const senders, each = 4, 15
	t.together(senders, func(i int) error {
		for n := range each {
			_, err := q.Send(t.ctx, &mq.Message{Body: fmt.Appendf(nil, "%d %d", i, n)})
			if err != nil {
				return err
			}
		}
		return nil
	})
	next := make(map[int]int)
	for range senders * each {
		d := t.one(q)
		var sender, n int
		if _, err := fmt.Sscanf(string(d.Body), "%d %d", &sender, &n); err != nil {
			t.Fatalf("body %q: %v", d.Body, err)
		}
		if n != next[sender] {
			t.Errorf("message %d of sender %d came before its message %d", n, sender, next[sender])
		}
		next[sender]++
	}
}

func sendRefused(t *tester) {
	q := t.queue()
	refused := map[string]*mq.Message{
		"nil":            nil,
		"negative delay": {Delay: -1},
		"header key":     {Headers: mq.Headers{"a\x00b": "v"}},
		"header value":   {Headers: mq.Headers{"k": "\xff"}},
		"group":          {Group: "\xff"},
	}
	if limit := t.caps.MaxBody; limit > 0 && limit <= 64<<20 {
		refused["body"] = &mq.Message{Body: make([]byte, limit+1)}
	}
	for what, m := range refused {
		ids, err := q.SendAll(t.ctx, []*mq.Message{{Body: []byte("good")}, m, {Body: []byte("good")}})
		t.is(err, "Send with a bad "+what, mq.ErrInvalid, mq.ErrNotSupported)
		if len(ids) > 0 {
			t.Errorf("Send with a bad %s returned ids %q", what, ids)
		}
	}
	t.none(q, "every batch was refused")
	t.counted(q, counts{})
}

func sendCancelled(t *tester) {
	q := t.queue()
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err := q.Send(ctx, &mq.Message{Body: []byte("never")})
	t.is(err, "Send", context.Canceled)
	_, err = t.p.Send(ctx, q.Name(), []driver.Message{{Body: []byte("never")}})
	if errors.Is(err, mq.ErrUnavailable) || err == nil {
		return // the provider may have sent it
	}
	t.none(q, "the ctx had ended")
}

// A Send is cut off at a random moment, since no batch that mq lets through
// can be made to fail half-way from outside.
func sendAtomic(t *tester) {
	q := t.queue()
	const rounds = 30
	size := min(100, t.caps.BatchLimit())
	stored := make([]bool, rounds)
	for i := range rounds {
		msgs := make([]*mq.Message, size)
		for n := range msgs {
			msgs[n] = &mq.Message{Body: []byte(strconv.Itoa(i))}
		}
		ctx, cancel := context.WithTimeout(t.ctx, rand.N(time.Duration(i+1)*100*time.Microsecond))
		_, err := q.SendAll(ctx, msgs)
		cancel()
		stored[i] = err == nil
	}
	t.sleep(t.unit) // a Send that was cut off may still be on its way
	certain := 0
	for _, ok := range stored {
		if ok {
			certain += size
		}
	}
	count := make(map[string]int)
	for _, d := range t.rest(q, certain) {
		count[string(d.Body)]++
	}
	for i, ok := range stored {
		if n := count[strconv.Itoa(i)]; n != size && (ok || n != 0) {
			t.Errorf("of a batch of %d whose Send returned nil: %v, %d messages are stored", size, ok, n)
		}
	}
}

// rest leases all that can be received. It is patient while that is less than
// must be there.
func (t *tester) rest(q *mq.Queue, must int) (all []*mq.Delivery) {
	t.Helper()
	for {
		o := mq.ReceiveOptions{Max: t.caps.BatchLimit(), Visibility: t.long, Wait: t.linger()}
		if len(all) < must {
			o.Wait = t.patience
		}
		ds, err := q.Receive(t.ctx, o)
		t.ok(err, "Receive")
		if len(ds) == 0 {
			return all
		}
		all = append(all, ds...)
	}
}

func sendReuse(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte("first")}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "first"}
	}
	want := &mq.Message{Body: []byte("first"), Headers: maps.Clone(m.Headers)}
	for range 2 {
		t.post(q, m)
		copy(m.Body, "other")
		if m.Headers != nil {
			m.Headers["k"] = "other"
			m.Headers["more"] = "other"
		}
		d := t.one(q)
		t.sameMessage(d.Message, want)
		t.ok(d.Ack(t.ctx), "ack")
		m.Body, m.Headers = []byte("first"), maps.Clone(want.Headers)
	}
}

func sendNotSharedOut(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte("body")}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "v"}
	}
	t.post(q, m)
	delays := []time.Duration{0}
	if t.caps.Delay {
		delays = append(delays, t.unit) // which may make a new message of the old one
	}
	for _, delay := range delays {
		d := t.one(q)
		t.sameMessage(d.Message, m)
		copy(d.Body, "else")
		if d.Headers != nil {
			d.Headers["k"] = "else"
		}
		t.ok(d.Nack(t.ctx, delay), "nack")
	}
	t.sameMessage(t.one(q).Message, m)
}

func sendHeaders(t *tester) {
	q := t.queue()
	want := mq.Headers{
		"plain": "value", "empty": "", "content-type": "application/json", "with space": " spaces ",
		"UPPER": "1", "upper": "2", "quo\"te": "\"'`", "back\\slash": "\\n \\u0000", "line\nbreak": "a\r\nb\tc",
		"日本": "日本語", "emoji": "🐘🏳️‍🌈", "rtl": "שלום \u202e", "dollar$1": "$1 %s {}", "number": "1e3", "json": `{"a":[1,null]}`,
		"null": "null", "a.b.c": "dots", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	t.post(q, &mq.Message{Body: []byte("with headers"), Headers: want})
	t.sameMessage(t.one(q).Message, &mq.Message{Body: []byte("with headers"), Headers: want})
}

func sendManyHeaders(t *tester) {
	q := t.queue()
	want := mq.Headers{"long": strings.Repeat("0123456789", 1000)}
	for i := range 100 {
		want[fmt.Sprintf("key-%d", i)] = fmt.Sprintf("value %d", i)
	}
	t.post(q, &mq.Message{Headers: want})
	t.sameMessage(t.one(q).Message, &mq.Message{Headers: want})
}

func sendHeadersOneByOne(t *tester) {
	q := t.queue()
	msgs := numbered(4)
	msgs[1].Headers = mq.Headers{"n": "1"}
	msgs[2].Headers = mq.Headers{}
	msgs[3].Headers = mq.Headers{"n": "3", "more": "3"}
	ids := t.post(q, msgs...)
	for _, d := range t.receive(q, len(msgs)) {
		t.sameMessage(d.Message, msgs[slices.Index(ids, d.ID)])
	}
}

func sendGroupKey(t *tester) {
	q := t.queue()
	for _, key := range []string{"", "g", "with space", "a,b", "{", `"`, "'", "日本", strings.Repeat("k", 200)} {
		t.post(q, &mq.Message{Body: []byte("of a group"), Group: key})
		d := t.one(q)
		t.sameMessage(d.Message, &mq.Message{Body: []byte("of a group"), Group: key})
		t.ok(d.Ack(t.ctx), "ack")
	}
}
