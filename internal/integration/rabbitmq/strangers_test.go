package rabbitmq_test

import (
	"bytes"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
)

// strangers are messages as other programs may publish them.
func strangers(user string) map[string]amqp.Publishing {
	at := time.Unix(1_700_000_000, 0)
	deep := amqp.Table{"leaf": int32(1)}
	for range 60 {
		deep = amqp.Table{"t": deep, "a": []any{deep["leaf"], nil, true}}
	}
	return map[string]amqp.Publishing{
		"bare": {},
		"all properties": {
			ContentType: "application/x", ContentEncoding: "gzip", DeliveryMode: amqp.Transient, Priority: 200, CorrelationId: "c",
			ReplyTo: "amq.reply", MessageId: "m", Timestamp: at, Type: "t", AppId: "a", UserId: user,
		},
		"same id 1":          {MessageId: "same"},
		"same id 2":          {MessageId: "same"},
		"odd id":             {MessageId: "\xff\x00\n"},
		"properties of junk": {ContentType: "\xff", ContentEncoding: "\x00", CorrelationId: "\xfe", ReplyTo: "\n", Type: "\x80", AppId: "\xff\xff"},
		"every type": {Headers: amqp.Table{
			"b": true, "B": byte(255), "i8": int8(-1), "i16": int16(-1), "i32": int32(-1), "i64": int64(-1 << 62), "f": float32(1.5), "d": 1e300,
			"D": amqp.Decimal{Scale: 255, Value: -1}, "s": "s", "x": []byte{0, 255}, "T": at, "V": nil, "F": amqp.Table{"k": []byte("v")}, "A": []any{int32(1), []any{}},
		}},
		"deep":            {Headers: deep},
		"names":           {Headers: amqp.Table{"": "empty", "\xff": "invalid", strings.Repeat("n", 255): "long", "a\nb": "line", "mq-": "ours?", "x-": "theirs?"}},
		"our names":       {Headers: amqp.Table{"mq-enqueued-at": "never", "mq-read-count": []any{}, "mq-twin": amqp.Table{}, "mq-reason": int32(1), "mq-header-": "x", "mq-header-CC": int64(1)}},
		"broker's names":  {Headers: amqp.Table{"x-death": "odd", "x-delivery-count": "odd", "x-acquired-count": amqp.Table{}, "x-delay": int32(5), "x-match": "any", "BCC": []any{}}},
		"large headers":   {Headers: amqp.Table{"k": strings.Repeat("v", 120_000)}},
		"full headers":    {Headers: amqp.Table{"k": strings.Repeat("v", 130_900)}},
		"binary body":     {Body: []byte{0, 255, 254, '\n'}},
		"lone surrogates": {Body: []byte(`{"a":"\ud800"}`), ContentType: "application/json"},
		"far past":        {Timestamp: time.Unix(1, 0), Headers: amqp.Table{"mq-enqueued-at": int64(-1 << 63)}},
		"far future":      {Timestamp: time.Unix(1<<40, 0), Headers: amqp.Table{"mq-enqueued-at": int64(1<<63 - 1)}},
	}
}

// TestStrangers: whatever another program has published is received and
// settled in any way, and its copies are as it was. None holds up the others.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	all := strangers(r.user())
	for settlement, settle := range map[string]func(*mq.Delivery) mq.Settlement{
		"nack": func(d *mq.Delivery) mq.Settlement { return mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack} },
		"nack delayed": func(d *mq.Delivery) mq.Settlement {
			return mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Delay: 100 * time.Millisecond}
		},
		"archive": func(d *mq.Delivery) mq.Settlement {
			return mq.Settlement{Receipt: d.Receipt, Op: mq.OpArchive, Reason: strings.Repeat("why? ", 60_000)}
		},
	} {
		for name, m := range all {
			if m.Body == nil {
				m.Body = []byte(name)
			}
			r.publish(m)
		}
		first := r.takeStrangers(r.Queue, len(all))
		var batch []mq.Settlement
		for _, d := range first {
			batch = append(batch, settle(d))
		}
		if err := r.Settle(t.Context(), batch...); err != nil {
			t.Errorf("%s: %v", settlement, err)
		}
		from := r.Queue
		if settlement == "archive" {
			from = r.Client().Queue(queueName + ".archive")
		}
		second := r.takeStrangers(from, len(all))
		for body, d := range first {
			again := second[body]
			if again == nil {
				t.Fatalf("%s: %q did not come again", settlement, body)
			}
			delete(again.Headers, "mq-reason")
			delete(d.Headers, "mq-reason")
			if body == "full headers" { // the broker's count has pushed some of it out of the frame
				d.Headers["k"], again.Headers["k"] = d.Headers["k"][:130_000], again.Headers["k"][:130_000]
				d.Native.(*amqp.Delivery).Headers, again.Native.(*amqp.Delivery).Headers = nil, nil
			}
			if !maps.Equal(d.Headers, again.Headers) || again.EnqueuedAt.UnixMicro() != d.EnqueuedAt.UnixMicro() {
				t.Errorf("%s: %q came as %v, sent at %v, and then as %v, sent at %v", settlement, body, d.Headers, d.EnqueuedAt, again.Headers, again.EnqueuedAt)
			}
			sameProperties(t, settlement+": "+body, d.Native.(*amqp.Delivery), again.Native.(*amqp.Delivery))
			ok(t, again.Ack(t.Context()))
		}
	}
}

// takeStrangers waits for n messages of different bodies.
func (r *rig) takeStrangers(q *mq.Queue, n int) map[string]*mq.Delivery {
	r.Helper()
	got := make(map[string]*mq.Delivery)
	for len(got) < n {
		ds := must(q.Receive(r.Context(), mq.ReceiveOptions{Max: 100, Wait: patience, Visibility: 20 * time.Minute}))(r)
		if len(ds) == 0 {
			r.Fatalf("received %d of %d messages", len(got), n)
		}
		for _, d := range ds {
			got[string(d.Body)] = d
		}
	}
	return got
}

// sameProperties compares what a copy keeps.
func sameProperties(t *testing.T, what string, a, b *amqp.Delivery) {
	t.Helper()
	of := func(d *amqp.Delivery) []any {
		return []any{d.ContentType, d.ContentEncoding, d.Priority, d.CorrelationId, d.ReplyTo, d.Type, d.AppId, d.Timestamp.Unix(), string(d.Body)}
	}
	if a.MessageId != "" && !reflect.DeepEqual(of(a), of(b)) {
		t.Errorf("%s: the properties were %q and are %q", what, of(a), of(b))
	}
	for name, v := range a.Headers {
		if strings.HasPrefix(name, "mq-") || strings.HasPrefix(name, "x-") || name == "BCC" {
			continue
		}
		if !reflect.DeepEqual(v, b.Headers[name]) && !bytes.Equal([]byte(name), nil) {
			t.Errorf("%s: header %q was %#v and is %#v", what, name, v, b.Headers[name])
		}
	}
}
