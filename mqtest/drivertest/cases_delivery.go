package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var deliveryCases = []testCase{
	{name: "delivery/settles-once", rule: "a Delivery settles once: the next settlement is ErrStaleReceipt", run: deliverySettlesOnce},
	{name: "delivery/nack-settles", rule: "a nack settles a Delivery, also where the provider does not fence it", run: deliveryNackSettles},
	{name: "delivery/concurrent-ack", rule: "of 16 concurrent acks of one Delivery one succeeds", run: deliveryConcurrentAck},
	{name: "delivery/failed-may-repeat", rule: "a settlement that failed may be repeated", run: deliveryFailedMayRepeat},
	{name: "delivery/extend-after-ack", rule: "a settled Delivery cannot be extended", run: deliveryExtendAfterAck},
	{name: "delivery/by-hand", rule: "a Delivery that no queue delivered cannot be settled", run: deliveryByHand},
}

func deliverySettlesOnce(t *tester) {
	q := t.queue()
	t.send(q, "settled once")
	d := t.one(q)
	t.ok(d.Ack(t.ctx), "ack")
	t.stale(d.Ack(t.ctx), "second ack")
	t.stale(d.Nack(t.ctx, 0), "nack after ack")
	t.stale(d.Nack(t.ctx, mq.AtTimeout), "nack at timeout after ack")
	t.stale(d.Archive(t.ctx, "late"), "archive after ack")
	t.counted(q, counts{})
}

func deliveryNackSettles(t *tester) {
	q := t.queue()
	id := t.send(q, "nacked")[0]
	d := t.one(q)
	t.ok(d.Nack(t.ctx, 0), "nack")
	t.stale(d.Ack(t.ctx), "ack after nack")
	t.stale(d.Extend(t.ctx, t.long), "extend after nack")
	if again := t.one(q); again.ID != id {
		t.Errorf("received message %s, want %s", again.ID, id)
	}
}

func deliveryConcurrentAck(t *tester) {
	q := t.queue()
	for range 10 {
		t.send(q, "acked once")
		d := t.one(q)
		var won atomic.Int32
		t.together(16, func(int) error {
			err := d.Ack(t.ctx)
			if err == nil {
				won.Add(1)
			}
			if errors.Is(err, mq.ErrStaleReceipt) {
				return nil
			}
			return err
		})
		if n := won.Load(); n != 1 {
			t.Errorf("%d of 16 concurrent acks succeeded", n)
		}
	}
}

// reluctant is a provider whose first Settle fails.
type reluctant struct {
	immovable
	calls atomic.Int32
}

var errReluctant = errors.New("not now")

func (p *reluctant) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	if p.calls.Add(1) == 1 {
		return errReluctant
	}
	return p.Provider.Settle(ctx, queue, s)
}

func deliveryFailedMayRepeat(t *tester) {
	c := mq.New(&reluctant{immovable: immovable{t.p}}, quiet())
	t.Cleanup(func() { closeClient(t, c) })
	q := t.queueOf(c)
	t.send(q, "acked at the second try")
	d := t.one(q)
	t.is(d.Ack(t.ctx), "ack that the provider refuses", errReluctant)
	ended, cancel := context.WithCancel(t.ctx)
	cancel()
	t.is(d.Ack(ended), "ack with a ctx that has ended", context.Canceled)
	t.ok(d.Extend(t.ctx, t.long), "extend after an ack that failed")
	t.ok(d.Ack(t.ctx), "second ack")
	t.counted(q, counts{})
}

func deliveryExtendAfterAck(t *tester) {
	q := t.queue()
	t.send(q, "acked")
	d := t.one(q)
	t.ok(d.Extend(t.ctx, t.long), "extend")
	t.ok(d.Ack(t.ctx), "ack")
	t.stale(d.Extend(t.ctx, t.long), "extend after ack")
}

func deliveryByHand(t *tester) {
	t.is(new(mq.Delivery).Ack(t.ctx), "ack of a Delivery made by hand", mq.ErrInvalid)
}

var messagesCases = []testCase{
	{name: "messages/all", rule: "Queue.Messages yields every message, and ends when nothing comes within Wait", run: messagesAll},
	{name: "messages/keeps-leases", rule: "Queue.Messages keeps the leases of a batch alive until the loop is done with them", run: messagesKeepsLeases},
	{name: "messages/gives-back", rule: "leaving the loop gives the rest of the batch back", run: messagesGivesBack},
	{name: "messages/not-settled", rule: "a message that the loop does not settle comes back after its timeout", run: messagesNotSettled},
	{name: "messages/error", rule: "an error ends the loop and is yielded last", run: messagesError},
	{name: "messages/cancel", rule: "the loop ends when ctx does", run: messagesCancel},
}

func messagesAll(t *tester) {
	q := t.queue()
	msgs := numbered(25)
	ids := t.post(q, msgs...)
	var got []*mq.Delivery
	for d, err := range q.Messages(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.linger()}) {
		t.ok(err, "Messages")
		t.ok(d.Ack(t.ctx), "ack")
		if got = append(got, d); len(got) > len(msgs) {
			break
		}
	}
	t.sameSet(got, ids, msgs)
	t.counted(q, counts{})
}

func messagesGivesBack(t *tester) {
	q := t.queue()
	ids := t.post(q, numbered(5)...)
	var first *mq.Delivery
	for d, err := range q.Messages(t.ctx, mq.ReceiveOptions{Max: min(5, t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience}) {
		t.ok(err, "Messages")
		first = d
		break
	}
	rest := t.receive(q, 4)
	got := idsOf(append(rest, first))
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(ids)); !slices.Equal(got, want) {
		t.Errorf("the loop and a Receive got %s, want %s", got, want)
	}
	t.ok(first.Ack(t.ctx), "ack after the loop")
}

func messagesNotSettled(t *tester) {
	q := t.queue()
	id := t.send(q, "not settled")[0]
	v := 5 * t.unit
	yielded := span{from: time.Now()}
	n := 0
	for d, err := range q.Messages(t.ctx, mq.ReceiveOptions{Visibility: v, Wait: t.patience}) {
		t.ok(err, "Messages")
		if d.ID != id {
			t.Errorf("received message %s, want %s", d.ID, id)
		}
		if n++; n == 1 {
			yielded.to = time.Now()
			continue
		}
		t.reads(d.ReadCount, 2)
		t.wokeWithin(time.Now(), yielded.plus(v))
		break
	}
	if n != 2 {
		t.Errorf("the loop got the message %d times, want twice", n)
	}
}

func messagesError(t *tester) {
	n := 0
	var last error
	for d, err := range t.c.Queue(t.name()).Messages(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever}) {
		if n++; d != nil {
			t.Error("a missing queue delivers")
		}
		last = err
	}
	t.is(last, "Messages of a missing queue", mq.ErrQueueNotFound)
	if n != 1 {
		t.Errorf("the loop ran %d times, want once", n)
	}
}

func messagesCancel(t *tester) {
	q := t.queue()
	t.send(q, "one")
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var last error
	var ends time.Time
	for d, err := range q.Messages(ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever}) {
		if last = err; err == nil {
			ends = time.Now().Add(t.unit)
			time.AfterFunc(t.unit, cancel)
			t.ok(d.Ack(t.ctx), "ack")
			t.sleep(t.unit / 8)
		}
	}
	t.is(last, "Messages whose ctx ended", context.Canceled)
	t.soon("the loop whose ctx ended", span{ends, time.Now()}, 0)
}

var typedCases = []testCase{
	{name: "typed/round-trip", rule: "Of: values round-trip as JSON, with the options of their message", run: typedRoundTrip},
	{name: "typed/own-encoding", rule: "MarshalMQ and UnmarshalMQ take precedence over the codec", run: typedOwnEncoding},
	{name: "typed/undecodable", rule: "a message that does not decode is delivered with its *DecodeError, among the others", run: typedUndecodable},
}

type order struct {
	ID    int               `json:"id"`
	Items []string          `json:"items"`
	Notes map[string]string `json:"notes"`
}

func typedRoundTrip(t *tester) {
	q := mq.Of[order](t.queue())
	want := order{ID: 1 << 53, Items: []string{"a", "日本"}, Notes: map[string]string{"k": "\x00"}}
	var opts []mq.SendOption
	if t.caps.Headers {
		opts = append(opts, mq.Header("k", "v"))
	}
	_, err := q.Send(t.ctx, want, opts...)
	t.ok(err, "Send")
	_, err = q.SendAll(t.ctx, []order{want, want}, opts...)
	t.ok(err, "SendAll")
	for n := 0; n < 3; {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
		t.ok(err, "Receive")
		for _, d := range ds {
			got, err := d.Value()
			if n++; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("value came as %+v, %v, sent as %+v", got, err, want)
			}
			if t.caps.Headers && d.Headers["k"] != "v" {
				t.Errorf("headers came as %q", d.Headers)
			}
			t.ok(d.Ack(t.ctx), "ack")
		}
		if len(ds) == 0 {
			t.Fatalf("received %d of 3 values", n)
		}
	}
}

// celsius has an encoding of its own.
type celsius float64

func (c celsius) MarshalMQ() ([]byte, error) { return fmt.Appendf(nil, "%.1f°C", float64(c)), nil }

func (c *celsius) UnmarshalMQ(data []byte) error {
	_, err := fmt.Sscanf(string(data), "%f°C", (*float64)(c))
	return err
}

func typedOwnEncoding(t *tester) {
	q := t.queue()
	typed := mq.Of[celsius](q)
	_, err := typed.Send(t.ctx, 36.6)
	t.ok(err, "Send")
	d := t.one(q)
	t.sameBody(d.Body, []byte("36.6°C"))
	t.ok(d.Nack(t.ctx, 0), "nack")
	ds, err := typed.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.patience})
	if err != nil || len(ds) != 1 {
		t.Fatalf("received %+v, %v", ds, err)
	}
	if v, err := ds[0].Value(); v != 36.6 || err != nil {
		t.Errorf("value came as %v, %v", v, err)
	}
}

func typedUndecodable(t *tester) {
	q := t.queue()
	t.send(q, `{"id":1}`, `not JSON`, `{"id":"not a number"}`, `{"id":2}`)
	var got []int
	for d, err := range mq.Of[order](q).Messages(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: t.linger()}) {
		t.ok(err, "Messages")
		v, err := d.Value()
		if bad := (*mq.DecodeError)(nil); errors.As(err, &bad) {
			t.ok(d.Archive(t.ctx, bad.Error()), "archive")
			continue
		}
		t.ok(d.Ack(t.ctx), "ack")
		if got = append(got, v.ID); len(got) > 2 {
			break
		}
	}
	if slices.Sort(got); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("received orders %v, want 1 and 2", got)
	}
	t.counted(q, counts{archived: 2})
	if canSeeArchive(t.h, t.p, t.caps) != "" {
		return
	}
	for _, r := range t.archived(q) {
		if r.Reason() == "" {
			t.Errorf("message %s was archived without a reason", r.ID)
		}
	}
}
