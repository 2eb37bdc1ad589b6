package drivertest

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

func topicBindTwice(t *tester) {
	base := t.topic()
	q := t.boundTo(base+".*", base+".*")
	for range 5 {
		t.publish(base+".a", numbered(1), q)
		t.ok(t.one(q).Ack(t.ctx), "ack")
		t.none(q, "one message was published")
		t.ok(q.Unbind(t.ctx, base+".*"), "Unbind")
		t.publish(base+".a", numbered(1))
		t.ok(q.Bind(t.ctx, base+".*"), "Bind")
	}
	t.none(q, "it was not bound when the others were published")
}

func topicUnbind(t *tester) {
	base := t.topic()
	q, other := t.boundTo(base+".*", base+".a"), t.boundTo(base+".*")
	t.ok(q.Unbind(t.ctx, base+".#"), "Unbind of a pattern that is not bound")
	t.ok(q.Unbind(t.ctx, base+".*"), "Unbind")
	t.ok(q.Unbind(t.ctx, base+".*"), "second Unbind")
	t.publish(base+".a", numbered(1), q, other)
	t.publish(base+".b", numbered(1), other)
	t.receive(q, 1)
	t.receive(other, 2)
	t.none(q, "the pattern was unbound")
	t.ok(t.c.Queue(nowhere).Unbind(t.ctx, base), "Unbind of a missing queue")
}

func topicDropped(t *tester) {
	base := t.topic()
	q, stays := t.boundTo(base), t.boundTo(base)
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	t.publish(base, numbered(1), stays)
	_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{AnyName: true})
	t.ok(err, "EnsureQueue")
	t.publish(base, numbered(1), stays)
	t.none(q, "its binding went with the queue")
	t.receive(stays, 2)
}

func topicMissing(t *tester) {
	t.is(t.c.Queue(nowhere).Bind(t.ctx, t.topic()), "Bind of a missing queue", mq.ErrQueueNotFound)
}

func topicClients(t *tester) {
	base := t.topic()
	q, c := t.queue(), t.again()
	there := c.Queue(q.Name())
	for i := range 5 {
		t.publish(base, numbered(1))
		t.ok(there.Bind(t.ctx, base), "Bind by another client")
		t.publish(base, []*mq.Message{{Body: []byte(strconv.Itoa(i))}}, q)
		d := t.one(q)
		t.sameBody(d.Body, []byte(strconv.Itoa(i)))
		t.ok(d.Ack(t.ctx), "ack")
		t.ok(there.Unbind(t.ctx, base), "Unbind by another client")
	}
	t.none(q, "what was published while nothing was bound is nowhere")
}

// topicConcurrent has one queue bound all the time, and another one now and then.
func topicConcurrent(t *tester) {
	base := t.topic()
	stays, flaps := t.boundTo(base+".*"), t.queue()
	const publishers, each = 4, 10
	var left atomic.Int32
	left.Store(publishers)
	done := t.background(func() {
		for left.Load() > 0 && t.ctx.Err() == nil {
			t.note(flaps.Bind(t.ctx, base+".#"), "Bind")
			t.note(flaps.Bind(t.ctx, base+".a"), "second Bind")
			t.note(flaps.Unbind(t.ctx, base+".#"), "Unbind")
			t.note(flaps.Unbind(t.ctx, base+".a"), "second Unbind")
			t.doze(time.Millisecond)
		}
	})
	t.together(publishers, func(i int) error {
		defer left.Add(-1)
		for n := range each {
			if _, err := t.c.Publish(t.ctx, base+".a", &mq.Message{Body: []byte(strconv.Itoa(i*each + n))}); err != nil {
				return err
			}
			t.alive()
			t.doze(t.unit / 50)
		}
		return nil
	})
	t.await("no more is bound or unbound", done)
	t.eachOnce(t.receive(stays, publishers*each))
	t.none(stays, "all have been received")
	t.eachOnce(t.rest(flaps, 0))
}

// note fails the case if err is not nil, from any goroutine.
func (t *tester) note(err error, what string) {
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// eachOnce checks that no two deliveries have the same body.
func (t *tester) eachOnce(ds []*mq.Delivery) {
	t.Helper()
	seen := make(map[string]bool)
	for _, d := range ds {
		if seen[string(d.Body)] {
			t.Errorf("message %s came twice", d.Body)
		}
		seen[string(d.Body)] = true
	}
}

// topicAtomic cuts off some of many publishes.
func topicAtomic(t *tester) {
	base := t.topic()
	queues := []*mq.Queue{t.boundTo(base), t.boundTo(base), t.boundTo(base)}
	const rounds = 20
	size := min(20, t.caps.BatchLimit())
	stored := make([]bool, rounds)
	certain := 0
	for i := range rounds {
		msgs := make([]*mq.Message, size)
		for n := range msgs {
			msgs[n] = &mq.Message{Body: []byte(strconv.Itoa(i))}
		}
		ctx, cancel := context.WithTimeout(t.ctx, rand.N(time.Duration(i+1)*200*time.Microsecond))
		_, err := t.c.Publish(ctx, base, msgs...)
		cancel()
		if stored[i] = err == nil; stored[i] {
			certain += size
		}
	}
	t.sleep(t.unit) // a Publish that was cut off may still be on its way
	counts := make([]map[string]int, len(queues))
	for i, q := range queues {
		counts[i] = bodyCounts(t.rest(q, certain))
	}
	for i, ok := range stored {
		for n, c := range counts {
			body := strconv.Itoa(i)
			if got := c[body]; got != counts[0][body] || got != size && (ok || got != 0) {
				t.Errorf("of a batch of %d whose Publish returned nil: %v, %d messages are stored in queue %d of %d", size, ok, got, n+1, len(queues))
			}
		}
	}
}

// bodyCounts counts deliveries by their bodies.
func bodyCounts(ds []*mq.Delivery) map[string]int {
	count := make(map[string]int)
	for _, d := range ds {
		count[string(d.Body)]++
	}
	return count
}

func topicBindings(t *tester) {
	base := t.topic()
	a, b := t.boundTo(base+".#", base+".b", base+".*"), t.boundTo(base+".a")
	t.bound(a, base+".#", base+".*", base+".b")
	t.bound(b, base+".a")
	t.bound(t.queue())
	all, err := t.c.Bindings(t.ctx)
	t.ok(err, "Client.Bindings")
	if !slices.IsSortedFunc(all, func(a, b mq.Binding) int { return strings.Compare(a.Queue+" "+a.Pattern, b.Queue+" "+b.Pattern) }) {
		t.Errorf("bindings %v are not sorted", all)
	}
	for _, q := range []*mq.Queue{a, b} {
		for _, p := range patternsOf(all, q) {
			if !strings.HasPrefix(p, base) {
				t.Errorf("queue %s is bound to %s", q.Name(), p)
			}
		}
	}
	if n := len(patternsOf(all, a)) + len(patternsOf(all, b)); n != 4 {
		t.Errorf("Client.Bindings has %d bindings of the case, want 4", n)
	}
	t.ok(a.Unbind(t.ctx, base+".*"), "Unbind")
	t.bound(a, base+".#", base+".b")
}

// bound checks the patterns of a queue.
func (t *tester) bound(q *mq.Queue, want ...string) {
	t.Helper()
	got, err := q.Bindings(t.ctx)
	t.ok(err, "Bindings")
	if !slices.Equal(got, want) {
		t.Errorf("bindings are %s, want %s", got, want)
	}
}

func patternsOf(all []mq.Binding, q *mq.Queue) (patterns []string) {
	for _, b := range all {
		if b.Queue == q.Name() {
			patterns = append(patterns, b.Pattern)
		}
	}
	return patterns
}

func topicBindingsDropped(t *tester) {
	q := t.boundTo(t.topic())
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	all, err := t.c.Bindings(t.ctx)
	if t.ok(err, "Client.Bindings"); len(patternsOf(all, q)) > 0 {
		t.Errorf("a dropped queue is bound: %v", all)
	}
	_, err = t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{AnyName: true})
	t.ok(err, "EnsureQueue")
	t.bound(q)
}
