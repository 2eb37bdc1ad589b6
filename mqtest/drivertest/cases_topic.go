package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
)

var topicCases = []testCase{
	{name: "topic/publish", rule: "Router: each queue that is bound to the topic gets the message, and no other", needs: routes, run: topicPublish},
	{name: "topic/patterns", rule: "\"*\" stands for one word, and \"#\" for any number of them, one at least beside a dot", needs: routes, run: topicPatterns},
	{name: "topic/within-words", rule: "a wildcard within a word stands for a part of it, or Bind is ErrNotSupported", needs: routes, run: topicWithinWords},
	{name: "topic/first-word", rule: "a wildcard may be the first word of a pattern, or all of it", needs: all(routes, ownNamespace), run: topicFirstWord},
	{name: "topic/once", rule: "a queue with two patterns that match gets the message once", needs: routes, run: topicOnce},
	{name: "topic/nobody", rule: "a message that no queue is bound to is stored nowhere, and Publish succeeds", needs: routes, run: topicNobody},
	{name: "topic/batch", rule: "each queue gets all messages of a Publish, and ids come in slice order", needs: all(routes, batches), run: topicBatch},
	{name: "topic/limit", rule: "Caps.MaxBatch messages are one Publish, more are ErrInvalid", needs: routes, run: topicLimit},
	{name: "topic/same-message", rule: "a message that was published is delivered as it was sent, as any other", needs: routes, run: topicSameMessage},
	{name: "topic/delay", rule: "a message that is published with a delay is hidden in each queue until it ends", needs: all(routes, delays), run: topicDelay},
	{name: "topic/head-start", rule: "a message that is published with a head start overtakes others in each queue", needs: all(routes, headStart), run: topicHeadStart},
	{name: "topic/apart", rule: "each queue has a message of its own: what becomes of one leaves the others alone", needs: routes, run: topicApart},
	{name: "topic/bind-twice", rule: "Bind is idempotent, and a binding counts from its return on", needs: routes, run: topicBindTwice},
	{name: "topic/unbind", rule: "Unbind ends a binding, and that one only, and succeeds if there is none", needs: routes, run: topicUnbind},
	{name: "topic/dropped", rule: "a queue that is dropped and made again is bound to nothing", needs: all(routes, canDrop), run: topicDropped},
	{name: "topic/missing", rule: "Bind of a missing queue is ErrQueueNotFound", needs: routes, run: topicMissing},
	{name: "topic/invalid", rule: "a topic or a pattern that cannot be is ErrInvalid, and nothing is sent", run: topicInvalid},
	{name: "topic/keys", rule: "a message with a key that is published is ErrNotSupported, and nothing is sent", needs: routes, run: topicKeys},
	{name: "topic/cancelled", rule: "a Publish whose ctx has ended sends nothing", needs: routes, run: topicCancelled},
	{name: "topic/atomic", rule: "Caps.AtomicSend: one Publish stores all its messages in all queues, or none", needs: all(routes, atomicSend), run: topicAtomic},
	{name: "topic/wakes", rule: "a Receive that waits gets a message soon after it is published", needs: routes, run: topicWakes},
	{name: "topic/clients", rule: "what one client has bound others publish to, and unbind", needs: all(routes, shared), run: topicClients},
	{name: "topic/concurrent", rule: "while queues are bound and unbound a queue that stays bound gets each message once", needs: routes, run: topicConcurrent},
	{name: "topic/bindings", rule: "Bindings are sorted, those of one queue and those of all", needs: all(routes, listsBindings), run: topicBindings},
	{name: "topic/bindings-dropped", rule: "DropQueue drops the bindings as well", needs: all(routes, listsBindings, canDrop), run: topicBindingsDropped},
	{name: "topic/tx-commit", rule: "what a transaction has published can be received once it has committed, and not before", needs: all(routes, transactions), run: topicTxCommit},
	{name: "topic/tx-rollback", rule: "what a transaction that was rolled back has published is stored nowhere", needs: all(routes, transactions), run: topicTxRollback},
	{name: "topic/tx-open", rule: "an open transaction that has published keeps no other call waiting", needs: all(routes, manyWriters), run: topicTxOpen},
}

// topic returns a topic that no other case has, to put others below.
func (t *tester) topic() string { return fmt.Sprintf("drivertest.%08x", rand.Uint32()) }

// boundTo makes a queue that is bound to patterns.
func (t *tester) boundTo(patterns ...string) *mq.Queue {
	t.Helper()
	q := t.queue()
	for _, p := range patterns {
		t.ok(q.Bind(t.ctx, p), "Bind to %s", p)
	}
	return q
}

// publish publishes messages, checks that the given queues have got them and no others,
// and returns the ids in each.
func (t *tester) publish(topic string, msgs []*mq.Message, want ...*mq.Queue) (ids [][]string) {
	t.Helper()
	out, err := t.c.Publish(t.ctx, topic, msgs...)
	t.ok(err, "Publish to %s", topic)
	t.alive()
	return t.published(out, len(msgs), want...)
}

// published checks the answer to a Publish of n messages. A provider that does not tell
// the queues gives the ids in all of them.
func (t *tester) published(out []mq.Published, n int, want ...*mq.Queue) (ids [][]string) {
	t.Helper()
	told := make(map[string][]string)
	for _, p := range out {
		if told[p.Queue] = p.IDs; len(p.IDs) != n {
			t.Fatalf("Publish of %d messages returned %d ids in queue %q", n, len(p.IDs), p.Queue)
		}
	}
	if told[""] == nil && (len(out) != len(want) || len(told) != len(want)) || len(want) == 0 && len(out) > 0 {
		t.Fatalf("Publish returned %v, want %d queues", out, len(want))
	}
	if !slices.IsSortedFunc(out, func(a, b mq.Published) int { return strings.Compare(a.Queue, b.Queue) }) {
		t.Errorf("Publish returned %v, want it sorted by queue", out)
	}
	for _, q := range want {
		of := told[q.Name()]
		if of == nil {
			of = told[""]
		}
		if of == nil {
			t.Fatalf("Publish returned %v, want queue %s among them", out, q.Name())
		}
		ids = append(ids, of)
	}
	return ids
}

func topicPublish(t *tester) {
	base := t.topic()
	bound, also, other := t.boundTo(base+".a"), t.boundTo(base+".a"), t.boundTo(base+".b")
	unbound := t.queue()
	t.send(also, "before") // so that the ids differ, where they are numbers of a queue
	t.ok(t.one(also).Ack(t.ctx), "ack")
	ids := t.publish(base+".a", numbered(1), bound, also)
	for i, q := range []*mq.Queue{bound, also} {
		d := t.one(q)
		if d.ID != ids[i][0] {
			t.Errorf("queue %d of 2 has message %s, and Publish returned %s", i+1, d.ID, ids[i][0])
		}
		t.sameMessage(d.Message, numbered(1)[0])
		t.none(q, "one message was published")
	}
	t.none(other, "it is bound to another topic")
	t.none(unbound, "it is not bound")
}

// matching is a pattern, and topics that match it or do not, by words.
type matching struct{ pattern, yes, no string }

// below puts a row below a topic of the case's own.
func (m matching) below(base string) matching {
	return matching{base + "." + m.pattern, under(base, m.yes), under(base, m.no)}
}

func under(base, topics string) string {
	words := strings.Fields(topics)
	for i, w := range words {
		words[i] = base + "." + w
	}
	return strings.Join(words, " ")
}

// matches publishes to each topic of a row, and checks which messages come. It reports
// whether the pattern can be bound.
func (t *tester) matches(m matching) bool {
	t.Helper()
	q := t.queue()
	if err := q.Bind(t.ctx, m.pattern); err != nil {
		t.unsupported(err, "Bind to "+m.pattern)
		return false
	}
	for topic := range strings.FieldsSeq(m.yes + " " + m.no) {
		_, err := t.c.Publish(t.ctx, topic, &mq.Message{Body: []byte(topic)})
		t.ok(err, "Publish to %s", topic)
	}
	var got []string
	for _, d := range t.receive(q, len(strings.Fields(m.yes))) {
		got = append(got, string(d.Body))
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(strings.FieldsSeq(m.yes))) {
		t.Errorf("%s matches %s, want %s", m.pattern, got, m.yes)
	}
	t.none(q, m.pattern+" does not match the other topics")
	t.ok(q.Unbind(t.ctx, m.pattern), "Unbind")
	return true
}

func topicPatterns(t *tester) {
	for _, m := range []matching{
		{"logs", "logs", "log logs.db xlogs LOGS"},
		{"logs.*", "logs.db logs.a-b_C9", "logs logs.db.slow xlogs.db"},
		{"logs.#", "logs.db logs.db.slow", "logs xlogs.db"},
		{"*.slow", "db.slow", "slow db.logs.slow db.slower"},
		{"#.slow", "db.slow logs.db.slow", "slow logs.slow.db"},
		{"a.*.z", "a.b.z", "a.z a.b.c.z"},
		{"a.#.z", "a.b.z a.b.c.z", "a.z a.b.c"},
		{"a.*.#", "a.b.c a.b.c.d", "a.b a"},
		{"a.#.*", "a.b.c a.b.c.d", "a.b a"},
		{"a.#.m.#.z", "a.b.m.y.z a.m.m.m.z", "a.m.z a.b.m.z"},
		{"a.*.*.d", "a.b.c.d", "a.b.d a.b.c.c.d"},
		{"a_b", "a_b", "aXb a-b"},
	} {
		if !t.matches(m.below(t.topic())) {
			t.Errorf("a pattern of whole words cannot be bound: %s", m.pattern)
		}
	}
}

func topicWithinWords(t *tester) {
	for _, m := range []matching{
		{"log*", "logs log-2", "log logs.db"},
		{"*-eu", "db-eu", "-eu.db db"},
		{"a*z.b", "abz.b", "az.b a.z.b"},
		{"a#", "ab a.b a", "b"},
		{"a.#z", "a.z a.yz a.y.z", "az a.zy"},
	} {
		t.matches(m.below(t.topic()))
	}
}

func topicFirstWord(t *tester) {
	for _, m := range []matching{
		{"#", "logs logs.db a.b.c", ""},
		{"*", "logs", "logs.db"},
		{"#.slow", "db.slow logs.db.slow", "slow logs.slow.db"},
		{"*.#", "logs.db a.b.c", "logs"},
	} {
		if !t.matches(m) {
			t.Errorf("a pattern of whole words cannot be bound: %s", m.pattern)
		}
	}
}

func topicOnce(t *tester) {
	base := t.topic()
	q := t.boundTo(base+".*", base+".a", base+".#")
	t.publish(base+".a", numbered(1), q)
	t.one(q)
	t.none(q, "one message was published, which three patterns match")
	t.counted(q, counts{leased: 1})
}

func topicNobody(t *tester) {
	base := t.topic()
	q := t.boundTo(base + ".a")
	t.publish(base+".b", numbered(1))
	t.publish(base, numbered(1))
	t.none(q, "it is bound to another topic")
	t.counted(q, counts{})
}

func topicBatch(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base + ".*"), t.boundTo(base + ".a")}
	msgs := numbered(4)
	ids := t.publish(base+".a", msgs, queues...)
	for i, q := range queues {
		t.sameSet(t.receive(q, len(msgs)), ids[i], msgs)
		t.none(q, "all have been received")
	}
}

func topicLimit(t *tester) {
	base, limit := t.topic(), t.caps.BatchLimit()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base)}
	_, err := t.c.Publish(t.ctx, base, numbered(limit+1)...)
	t.is(err, fmt.Sprintf("Publish of %d messages", limit+1), mq.ErrInvalid)
	msgs := numbered(limit)
	ids := t.publish(base, msgs, queues...)
	for i, q := range queues {
		t.sameSet(t.receive(q, limit), ids[i], msgs)
		t.none(q, "all have been received")
	}
	if out, err := t.c.Publish(t.ctx, base); len(out) > 0 || err != nil {
		t.Errorf("Publish of nothing returned %v, %v", out, err)
	}
}

func topicSameMessage(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base)}
	m := t.movable()
	t.publish(base, []*mq.Message{m}, queues...)
	want := t.movable()
	copy(m.Body, "OTHER")
	for _, q := range queues {
		t.sameMessage(t.one(q).Message, want)
	}
}

func topicDelay(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base)}
	t.publish(base, []*mq.Message{{Body: []byte("late"), Delay: t.delay()}}, queues...)
	t.publish(base, []*mq.Message{{Body: []byte("now")}}, queues...)
	for _, q := range queues {
		t.sameBody(t.one(q).Body, []byte("now"))
		t.none(q, "the other message is delayed")
		t.counted(q, counts{leased: 1, delayed: 1})
	}
}

func topicHeadStart(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base)}
	plain := t.publish(base, []*mq.Message{{}}, queues...)
	urgent := t.publish(base, []*mq.Message{{HeadStart: time.Hour}}, queues...)
	for i, q := range queues {
		t.inOrder(q, urgent[i][0], plain[i][0])
	}
}

func topicApart(t *tester) {
	base := t.topic()
	acked, left := t.boundTo(base), t.boundTo(base)
	t.publish(base, numbered(1), acked, left)
	t.ok(t.one(acked).Ack(t.ctx), "ack")
	t.reads(t.one(left).ReadCount, 1)
	t.none(acked, "its message was acked")
}

func topicInvalid(t *tester) {
	q := t.queue()
	long := strings.Repeat("a", 256)
	for _, topic := range []string{"", ".a", "a.", "a..b", "a b", "a.*", "#", "é", "a/b", "a\x00", "a%", long} {
		_, err := t.c.Publish(t.ctx, topic, &mq.Message{})
		t.is(err, fmt.Sprintf("Publish to %.20q", topic), mq.ErrInvalid)
	}
	for _, pattern := range []string{"", ".#", "#.", "a..#", "**", "a.##", "*#", "#*", "a?", "a%", "a\x00", long} {
		t.is(q.Bind(t.ctx, pattern), fmt.Sprintf("Bind to %.20q", pattern), mq.ErrInvalid)
		t.is(q.Unbind(t.ctx, pattern), fmt.Sprintf("Unbind from %.20q", pattern), mq.ErrInvalid)
	}
	_, err := t.c.Publish(t.ctx, t.topic(), numbered(t.caps.BatchLimit()+1)...)
	t.is(err, "Publish of more messages than the limit", mq.ErrInvalid)
	t.counted(q, counts{})
}

func topicKeys(t *tester) {
	base := t.topic()
	q := t.boundTo(base)
	_, err := t.c.Publish(t.ctx, base, &mq.Message{}, &mq.Message{DedupKey: "k"})
	t.unsupported(err, "Publish with a key")
	t.none(q, "the batch was refused")
}

func topicCancelled(t *tester) {
	base := t.topic()
	q := t.boundTo(base)
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	_, err := t.c.Publish(ctx, base, &mq.Message{})
	t.is(err, "Publish with a ctx that has ended", context.Canceled)
	t.none(q, "the ctx had ended")
}

func topicWakes(t *tester) {
	base := t.topic()
	q, other := t.boundTo(base), t.boundTo(base)
	result, also := t.waiting(q), t.waiting(other)
	when := timed(func() { t.publish(base, numbered(1), q, other) })
	for _, result := range []func(string) (*mq.Delivery, time.Time){result, also} {
		d, at := result("a Receive that waits gets what is published")
		t.wokeWithin(at, when)
		t.sameBody(d.Body, []byte("message 0"))
	}
}
