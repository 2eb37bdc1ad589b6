package rabbitmq_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// TestForeign: whatever other programs publish is received.
func TestForeign(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(amqp.Publishing{Body: []byte("bare")})
	d := r.take()
	if d.ID == "" || string(d.Body) != "bare" || d.Headers != nil || d.ReadCount != 1 || !d.EnqueuedAt.IsZero() {
		t.Errorf("a bare message came as %+v", d)
	}
	ok(t, d.Ack(t.Context()))

	sent := time.Unix(1_700_000_000, 0)
	r.publish(amqp.Publishing{
		MessageId: "theirs", ContentType: "application/json", Timestamp: sent, Body: []byte("{}"),
		Headers: amqp.Table{
			"string": "s", "bytes": []byte("b"), "int": int32(-7), "long": int64(1) << 53, "short": int16(3), "byte": byte(4),
			"bool": true, "double": 1.5, "float": float32(0.25), "nil": nil, "time": sent,
			"decimal": amqp.Decimal{Scale: 2, Value: -5}, "table": amqp.Table{"k": []any{int32(1), "x", nil}},
			"invalid": "\xff\x00", "CC": []any{"nowhere"},
		},
	})
	d = r.take()
	want := mq.Headers{
		"string": "s", "bytes": "b", "int": "-7", "long": "9007199254740992", "short": "3", "byte": "4",
		"bool": "true", "double": "1.5", "float": "0.25", "nil": "", "time": "2023-11-14T22:13:20Z",
		"decimal": "-0.05", "table": `{"k":[1,"x",null]}`, "invalid": "\uFFFD", "CC": `["nowhere"]`,
		"content-type": "application/json",
	}
	if d.ID != "theirs" || !d.EnqueuedAt.Equal(sent) || !maps.Equal(d.Headers, want) {
		t.Errorf("a foreign message came as %+v\nwant headers %v", d, want)
	}
	if native, isNative := d.Native.(*amqp.Delivery); !isNative || native.MessageId != "theirs" {
		t.Errorf("Native is %T", d.Native)
	}
	ok(t, d.Ack(t.Context()))
	r.none()
}

// TestForeignTopics: other programs publish to the exchange for topics, and bind queues
// of their own to it.
func TestForeignTopics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ok(t, r.Bind(t.Context(), "logs.#"))
	theirs := must(r.raw.QueueDeclare("theirs", true, false, false, false, nil))(t)
	ok(t, r.raw.QueueBind(theirs.Name, "*.db", "mq.topic", false, nil))
	for _, key := range []string{"logs", "logs.db", "other.db"} {
		ok(t, r.raw.PublishWithContext(t.Context(), "mq.topic", key, false, false, amqp.Publishing{Body: []byte(key)}))
	}
	d := r.take()
	if string(d.Body) != "logs.db" {
		t.Errorf("received %q", d.Body)
	}
	ok(t, d.Ack(t.Context()))
	out := must(r.Client().Publish(t.Context(), "logs.db", &mq.Message{Body: []byte("ours")}))(t)
	if d = r.take(); len(out) != 1 || out[0].IDs[0] != d.ID || string(d.Body) != "ours" {
		t.Errorf("published %v, received %v", out, d)
	}
	if n := must(r.raw.QueuePurge(theirs.Name, false))(t); n != 3 {
		t.Errorf("their queue has %d messages, want 3", n)
	}
}

// TestTopicsGone: somebody deletes the exchange. It comes back, without its bindings.
func TestTopicsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 2 {
		ok(t, r.Bind(t.Context(), "a.*"))
		must(r.Client().Publish(t.Context(), "a.b", &mq.Message{}))(t)
		ok(t, r.take().Ack(t.Context()))
		ok(t, r.raw.ExchangeDelete("mq.topic", false, false))
	}
	if out := must(r.Client().Publish(t.Context(), "a.b", &mq.Message{}))(t); len(out) > 0 {
		t.Errorf("published %v", out)
	}
	ok(t, r.Unbind(t.Context(), "a.*"))
	r.none()
}

// TestForeignCopies: the properties of a foreign message that would break or
// lose a copy of it do not.
func TestForeignCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := must(r.Client().EnsureQueue(t.Context(), "other", mq.QueueOptions{}))(t)
	user := r.user()
	for _, settle := range []func(*mq.Delivery) error{
		func(d *mq.Delivery) error { return d.Nack(t.Context(), 200*time.Millisecond) },
		func(d *mq.Delivery) error { return d.Archive(t.Context(), "why") },
	} {
		r.publish(amqp.Publishing{
			UserId: user, Expiration: "600000", CorrelationId: "c", Type: "t",
			Headers: amqp.Table{"CC": []any{"other"}, "x-death": "odd"}, Body: []byte("copied"),
		})
		ok(t, r.takeFrom(other).Ack(t.Context()))
		d := r.take()
		ok(t, settle(d))
	}
	back := r.take()
	archived := r.takeFrom(r.Client().Queue(queueName + ".archive"))
	for _, d := range []*mq.Delivery{back, archived} {
		native := d.Native.(*amqp.Delivery)
		if string(d.Body) != "copied" || native.CorrelationId != "c" || native.Type != "t" || native.Expiration != "" || d.Headers["CC"] != `["other"]` {
			t.Errorf("the copy is %+v", native)
		}
	}
	if s := must(other.Stats(t.Context()))(t); s.Visible > 0 {
		t.Error("a copy was sent to those in CC again")
	}
}

// TestForeignReceiver: other programs receive what we send.
func TestForeignReceiver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := must(r.Send(t.Context(), &mq.Message{Body: []byte("ours"), Headers: mq.Headers{"k": "v", "content-type": "text/plain"}}))(t)
	d, found, err := r.raw.Get(queueName, true)
	if err != nil || !found || d.MessageId != id || string(d.Body) != "ours" || d.Headers["k"] != "v" ||
		d.ContentType != "text/plain" || d.DeliveryMode != amqp.Persistent || time.Since(d.Timestamp).Abs() > time.Minute {
		t.Errorf("another program received %+v, %v, %v", d, found, err)
	}
}

// TestBrokersHeaders: names that mean something to the broker are headers like
// any other.
func TestBrokersHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := mq.Headers{"CC": "cc", "BCC": "bcc", "x-death": "d", "x-delivery-count": "9", "mq-header-CC": "e", "x-match": "all", driver.HeaderReason: "r"}
	must(r.Send(t.Context(), &mq.Message{Headers: want}))(t)
	for range 2 {
		d := r.take()
		if !maps.Equal(d.Headers, want) {
			t.Errorf("headers came as %v, want %v", d.Headers, want)
		}
		ok(t, d.Nack(t.Context(), 0))
	}
}

// TestLongHeaders: what a frame cannot hold is refused, and nothing happens to
// the connection.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("leased")
	d := r.take()
	long := make([]byte, 200<<10)
	for i := range long {
		long[i] = 'x'
	}
	_, err := r.Send(t.Context(), &mq.Message{Headers: mq.Headers{"k": string(long)}})
	wantError(t, err, mq.ErrTooLarge)
	_, err = r.Send(t.Context(), &mq.Message{Headers: mq.Headers{string(long[:256]): "v"}})
	wantError(t, err, mq.ErrInvalid)
	must(r.Send(t.Context(), &mq.Message{Headers: mq.Headers{"k": string(long[:120_000])}}))(t)
	if got := r.take().Headers["k"]; len(got) != 120_000 {
		t.Errorf("a header of 120,000 bytes came with %d", len(got))
	}
	ok(t, d.Ack(t.Context()))
}

// TestArchive: an archive keeps everything, and is a queue that can be read.
func TestArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := must(r.Send(t.Context(), &mq.Message{Body: []byte("kept"), Headers: mq.Headers{"k": "v"}}))(t)
	ok(t, r.take().Nack(t.Context(), 0))
	ok(t, r.take().Nack(t.Context(), 100*time.Millisecond))
	d := r.take()
	ok(t, d.Archive(t.Context(), "card declined"))
	if s := must(r.Stats(t.Context()))(t); s.Archived != 1 || s.Visible != 0 || s.Leased != -1 {
		t.Errorf("Stats are %+v", s)
	}
	a := r.takeFrom(r.Client().Queue(queueName + ".archive"))
	want := mq.Headers{"k": "v", driver.HeaderReason: "card declined"}
	if a.ID != id || string(a.Body) != "kept" || !maps.Equal(a.Headers, want) || !a.EnqueuedAt.Equal(d.EnqueuedAt) || a.ReadCount != 1 {
		t.Errorf("the archive has %+v, want id %s, one read, sent at %v", a, id, d.EnqueuedAt)
	}
	if n := a.Native.(*amqp.Delivery).Headers["mq-read-count"]; n != int64(3) {
		t.Errorf("the archive says that it was read %v times before, want 3", n)
	}
	if at, _ := a.Native.(*amqp.Delivery).Headers["mq-archived-at"].(int64); time.Since(time.UnixMicro(at)).Abs() > time.Minute {
		t.Errorf("it was archived at %d", at)
	}
}

// TestReadCount: deliveries are counted across nacks, delays and lost
// channels.
func TestReadCount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.send("counted")
	for n := 1; n <= 6; n++ {
		c := r.open()
		d := r.takeFrom(c.Queue(queueName))
		if d.ReadCount != n {
			t.Errorf("the read count is %d, want %d", d.ReadCount, n)
		}
		switch n % 3 {
		case 0:
			ok(t, d.Nack(t.Context(), 0))
		case 1:
			ok(t, d.Nack(t.Context(), 100*time.Millisecond))
		case 2:
			ok(t, c.Close())
		}
	}
}

// TestSortedIDs: ids sort in the order of sending.
func TestSortedIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	last := ""
	for i := range 3 {
		for _, id := range r.send(fmt.Sprint(i), "x") {
			if id <= last {
				t.Errorf("id %s after %s", id, last)
			}
			last = id
		}
	}
}

// user is the one that the rig's channel publishes as.
func (r *rig) user() string {
	u, err := amqp.ParseURI(r.dsn)
	ok(r, err)
	return u.Username
}

// TestSameIDs: of two messages whose sender gave them one id, the copy of one
// cannot be routed. That says nothing of the other.
func TestSameIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(r.raw.QueueDeclare("bare", true, false, false, false, nil))(t) // without an archive
	q := r.Client().Queue("bare")
	for _, body := range []string{"rejected", "retried"} {
		ok(t, r.raw.PublishWithContext(t.Context(), "", "bare", true, false, amqp.Publishing{MessageId: "same", Body: []byte(body)}))
	}
	byBody := make(map[string]*mq.Delivery)
	for range 2 {
		d := r.takeFrom(q)
		byBody[string(d.Body)] = d
	}
	err := q.Settle(t.Context(),
		mq.Settlement{Receipt: byBody["rejected"].Receipt, Op: mq.OpArchive, Reason: "why"},
		mq.Settlement{Receipt: byBody["retried"].Receipt, Op: mq.OpNack, Delay: 100 * time.Millisecond},
	)
	var each *mq.BatchError
	if !errors.As(err, &each) || !errors.Is(each.Errs[0], mq.ErrNotSupported) || each.Errs[1] != nil {
		t.Errorf("Settle: %v, want not supported for the first, and nil for the second", err)
	}
	ok(t, byBody["rejected"].Ack(t.Context()))
	d := r.takeFrom(q)
	if string(d.Body) != "retried" || d.ID != "same" || d.Headers != nil {
		t.Errorf("received %+v, want the one that was retried, as it was sent", d)
	}
	ok(t, d.Ack(t.Context()))
	if s := must(q.Stats(t.Context()))(t); s.Visible != 0 {
		t.Errorf("%d messages are left", s.Visible)
	}
}
