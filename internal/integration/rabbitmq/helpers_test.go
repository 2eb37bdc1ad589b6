package rabbitmq_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// The checks of all packages, by short names.
var (
	ok         = checks.OK
	wantError  = checks.Error
	eventually = checks.Eventually
	quiet      = checks.Quiet
)

// patience is how long a test waits for what must come. A machine may be slow.
const patience = checks.Patience

func must[T any](v T, err error) func(testing.TB) T { return checks.Must(v, err) }

// rig is a queue in a vhost of its own, and a channel that does what other
// programs do.
type rig struct {
	testing.TB
	*mq.Queue
	*server.Broker
	dsn string
	raw *amqp.Channel
}

const queueName = "orders"

func newRig(t testing.TB, params ...string) *rig {
	t.Helper()
	return newRigOn(t, server.RabbitMQ(t), params...)
}

func newRigOn(t testing.TB, b *server.Broker, params ...string) *rig {
	t.Helper()
	dsn := b.Vhost(t)
	conn := must(amqp.Dial(dsn))(t)
	t.Cleanup(func() { _ = conn.Close() })
	r := &rig{TB: t, Broker: b, dsn: dsn, raw: must(conn.Channel())(t)}
	r.Queue = must(r.open(params...).EnsureQueue(t.Context(), queueName, mq.QueueOptions{}))(t)
	return r
}

// Name is the test's, not the queue's.
func (r *rig) Name() string { return r.TB.Name() }

// open opens one more client.
func (r *rig) open(params ...string) *mq.Client {
	r.Helper()
	c := open(r, r.dsn, params...)
	r.Cleanup(func() { ok(r, c.Close()) })
	return c
}

func (r *rig) send(bodies ...string) (ids []string) {
	r.Helper()
	for _, body := range bodies {
		ids = append(ids, must(r.Send(r.Context(), &mq.Message{Body: []byte(body)}))(r))
	}
	return ids
}

// take waits for a message.
func (r *rig) take() *mq.Delivery { return r.takeFrom(r.Queue) }

func (r *rig) takeFrom(q *mq.Queue) *mq.Delivery {
	r.Helper()
	ds := must(q.Receive(r.Context(), mq.ReceiveOptions{Wait: patience}))(r)
	if len(ds) != 1 {
		r.Fatalf("received %d messages, want 1", len(ds))
	}
	return ds[0]
}

// none checks that there is nothing to receive.
func (r *rig) none() {
	r.Helper()
	if ds := must(r.Receive(r.Context(), mq.ReceiveOptions{Max: 10}))(r); len(ds) > 0 {
		r.Fatalf("received %v, want nothing", ds)
	}
}

// publish sends a message as other programs do.
func (r *rig) publish(m amqp.Publishing) {
	r.Helper()
	ok(r, r.raw.PublishWithContext(r.Context(), "", queueName, true, false, m))
}

// inTime calls try with longer and longer times until it returns nil: what the
// test does meanwhile must take less than d, and the machine may be slow.
func inTime(t testing.TB, d time.Duration, try func(d time.Duration) error) {
	t.Helper()
	for ; ; d *= 5 {
		err := try(d)
		if err == nil {
			return
		}
		if d > patience/5 {
			t.Fatal(err)
		}
		t.Logf("with %v: %v", d, err)
	}
}

// within waits for what comes from a channel.
func within[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
	}
	return v
}

// writeDown makes the node write to disk at once which quorum queues it has:
// RabbitMQ 3.10 may take seconds, and one that is killed before has queues
// without a leader for ever.
func writeDown(t testing.TB, b *server.Broker) {
	t.Helper()
	b.Ctl(t, "eval", "[ok = dets:sync(T) || T <- dets:all()].")
}
