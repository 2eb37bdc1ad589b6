package faults

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestMissing: whatever is called, a queue that is not there is
// ErrQueueNotFound, whether or not it was there before, and whatever language
// the server speaks.
func TestMissing(t *testing.T) {
	b := newBase(t)
	abroad, translated := b.abroad()
	ops := slices.Concat(operations, inTransactions)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.open(with(abroad, "driver="+library))
		for _, op := range ops {
			t.Run(op.name, func(t *testing.T) {
				b.of(t).is(op.run(t.Context(), b.of(t), c.Queue("never")), mq.ErrQueueNotFound, "never made")
				q := b.of(t).queue(c, "dropped")
				b.of(t).ok(stale(op.run(t.Context(), b.of(t), q)))
				b.exec("DROP TABLE pgmq.q_dropped, pgmq.a_dropped")
				b.of(t).is(op.run(t.Context(), b.of(t), q), mq.ErrQueueNotFound, "dropped")
				b.of(t).is(op.run(t.Context(), b.of(t), q), mq.ErrQueueNotFound, "dropped and looked up")
			})
		}
	})
	if translated.Load() < int64(len(operations)) {
		t.Errorf("%d errors were translated", translated.Load())
	}
}

// TestDroppedWhileWaiting: those who wait for a queue that goes away are told.
func TestDroppedWhileWaiting(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		t.Parallel()
		b := b.of(t)
		c := b.client("driver="+library, "application_name="+library)
		ended := make(map[string]chan error)
		waits := map[string]func(q *mq.Queue) error{
			"consumer": func(q *mq.Queue) error {
				return q.Consume(t.Context(), func(context.Context, *mq.Delivery) error { return nil }, mq.ConsumerConfig{})
			},
			"receiver": func(q *mq.Queue) error {
				_, err := q.Receive(t.Context(), mq.ReceiveOptions{Wait: mq.Forever})
				return err
			},
			"group_receiver": func(q *mq.Queue) error {
				_, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Wait: mq.Forever})
				return err
			},
		}
		for name, wait := range waits {
			q := b.queue(c, library+"_"+name)
			ended[name] = make(chan error, 1)
			go func() { ended[name] <- wait(q) }()
		}
		b.eventually("LISTEN", func() bool { return b.sessions("application_name = $1 AND query LIKE 'LISTEN %'", library) > 0 })
		b.calm()
		for name := range waits {
			b.exec("DROP TABLE pgmq.q_" + library + "_" + name)
		}
		for name := range waits {
			select {
			case err := <-ended[name]:
				b.is(err, mq.ErrQueueNotFound, name)
			case <-time.After(inTime):
				t.Errorf("%s is not told", name)
			}
		}
	})
}

// shapes are ways to make a queue again, other than it was.
var shapes = []struct{ name, sql string }{
	{"columns in another order", `CREATE TABLE pgmq.q_%s (headers jsonb, message jsonb, vt timestamptz NOT NULL, last_read_at timestamptz,
		enqueued_at timestamptz NOT NULL DEFAULT now(), read_ct int NOT NULL DEFAULT 0, msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)`},
	{"no headers", `CREATE TABLE pgmq.q_%s (msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, read_ct int NOT NULL DEFAULT 0,
		enqueued_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL, message jsonb)`},
	{"other types", `CREATE TABLE pgmq.q_%s (msg_id serial PRIMARY KEY, read_ct bigint NOT NULL DEFAULT 0,
		enqueued_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL, message json, headers json, last_read_at timestamptz)`},
}

// TestReshaped: another program makes the queue again in another shape. The
// prepared statements of every session are out of date then.
func TestReshaped(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		for i, shape := range shapes {
			t.Run(shape.name, func(t *testing.T) {
				b := b.of(t)
				c := b.client("driver="+library, "pool_max_conns=2")
				q := b.queue(c, library+string(rune('a'+i)))
				for range 3 { // the sessions learn their statements
					b.cycle(q)
				}
				b.exec("DROP TABLE pgmq.q_" + q.Name())
				b.execf(shape.sql, q.Name())
				for range 3 {
					b.cycle(q)
				}
			})
		}
	})
}

// cycle lets a message go its way.
func (b *base) cycle(q *mq.Queue) {
	b.Helper()
	_, err := q.Send(b.Context(), &mq.Message{Body: []byte("1")})
	b.ok(err)
	_, err = q.Peek(b.Context(), mq.BrowseOptions{})
	b.ok(err)
	_, err = q.Stats(b.Context())
	b.ok(err)
	d := b.one(q)
	b.ok(d.Extend(b.Context(), time.Hour))
	b.ok(d.Ack(b.Context()))
}
