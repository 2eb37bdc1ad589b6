package faults

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// waiting receives one message after another.
func (b *base) waiting(q *mq.Queue) <-chan *mq.Delivery {
	got := make(chan *mq.Delivery, 1000)
	b.waitingToo(q, got)
	return got
}

// waitingToo is waiting with a channel that others have as well.
func (b *base) waitingToo(q *mq.Queue, got chan *mq.Delivery) {
	b.keep(got, func(ctx context.Context) ([]*mq.Delivery, error) {
		return q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Hour, Wait: mq.Forever})
	})
}

// waitingForGroups receives one head of a group after another.
func (b *base) waitingForGroups(q *mq.Queue) <-chan *mq.Delivery {
	got := make(chan *mq.Delivery, 1000)
	b.keep(got, func(ctx context.Context) ([]*mq.Delivery, error) {
		return q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{Visibility: time.Hour, Wait: mq.Forever})
	})
	return got
}

func (b *base) keep(got chan<- *mq.Delivery, receive func(context.Context) ([]*mq.Delivery, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			ds, err := receive(ctx)
			if err != nil && ctx.Err() == nil {
				b.Logf("a waiting receiver: %v", err)
			}
			for _, d := range ds {
				got <- d
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-done })
}

// listens waits until so many connections listen.
func (b *base) listens(n int) {
	b.Helper()
	b.eventually("LISTEN", func() bool { return b.sessions("query LIKE 'LISTEN %'") == n })
}

// backstop is how often a receiver looks that hears of inserts.
const backstop = 7 * time.Second

// calm waits until no receiver looks more often: one that hears of nothing does
// so every second, and any does at first.
func (b *base) calm() {
	b.Helper()
	b.eventually("no receiver looks", func() bool {
		return b.sessions("query_start > clock_timestamp() - interval '1.2 s' AND query NOT LIKE '%pg_stat_activity%'") == 0
	})
}

// inTime is less than the minute after which package mq asks the driver again,
// and so finds whatever a waiting receiver has missed.
const inTime = 30 * time.Second

// arrives returns how long the next message took.
func arrives[T any](b *base, got <-chan T) (took time.Duration) {
	b.Helper()
	start := time.Now()
	select {
	case <-got:
	case <-time.After(inTime):
		b.Fatal("the message does not come")
	}
	return time.Since(start)
}

// prompt is less than backstop.
const prompt = 5 * time.Second

// promptly checks that a message does not come only when a receiver looks that
// nothing has woken. One that was woken may be as late on a busy machine, but
// not each time.
func (b *base) promptly(send func() (took time.Duration)) {
	b.Helper()
	var took []time.Duration
	for range 5 {
		took = append(took, send())
		if took[len(took)-1] < prompt {
			return
		}
	}
	b.Errorf("the messages came after %v", took)
}

// insertPlain is what another program does.
const insertPlain = "INSERT INTO pgmq.q_jobs (vt, message) VALUES (clock_timestamp(), '1')"

// TestPlainInsert: what another program inserts wakes receivers of all kinds.
func TestPlainInsert(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.client("driver=" + library)
		for kind, wait := range map[string]func(*mq.Queue) <-chan *mq.Delivery{"plain": b.waiting, "groups": b.waitingForGroups} {
			q := b.queue(c, library+kind)
			got := wait(q)
			insert := func() time.Duration {
				b.execf("INSERT INTO pgmq.q_%s (vt, message) VALUES (clock_timestamp(), '1')", q.Name())
				return arrives(b, got)
			}
			b.eventually("LISTEN", func() bool { return b.sessions("query LIKE 'LISTEN %'") > 0 })
			b.promptly(func() time.Duration {
				b.calm()
				return insert()
			})
			for range 4 {
				time.Sleep(30 * time.Millisecond) // within the trigger's interval
				b.promptly(insert)
			}
		}
	})
}

// TestListenKilled ends the connection that listens, time and again.
func TestListenKilled(t *testing.T) {
	b := newBase(t)
	c := b.client()
	got := b.waiting(b.queue(c, "jobs"))
	for range 4 {
		b.promptly(func() time.Duration {
			b.listens(1)
			if b.kill("query LIKE 'LISTEN %'") != 1 {
				t.Error("nobody listened")
			}
			b.exec(insertPlain)
			first := arrives(b, got)
			b.exec(insertPlain)
			return max(first, arrives(b, got))
		})
	}
}

// TestThrottleRowDeleted: without its row, as after a crash, PGMQ's own trigger
// is silent; ours puts it back. Receivers get their messages in either case,
// and those that begin to wait afterwards get them soon.
func TestThrottleRowDeleted(t *testing.T) {
	for _, trigger := range []string{"ours", "upstream"} {
		t.Run(trigger, func(t *testing.T) {
			b := newBase(t)
			if trigger == "upstream" {
				functions(b)
			}
			q := b.queue(b.client(), "jobs")
			got := make(chan *mq.Delivery, 1000)
			b.waitingToo(q, got)
			b.listens(1)
			b.exec("DELETE FROM pgmq.notify_insert_throttle")
			b.waitingToo(b.client().Queue("jobs"), got)
			for range 3 {
				b.promptly(func() time.Duration {
					b.exec(insertPlain)
					return arrives(b, got)
				})
			}
		})
	}
}

// TestMetaRowDeleted: a queue that is not in pgmq.meta takes other programs'
// messages, and wakes receivers.
func TestMetaRowDeleted(t *testing.T) {
	b := newBase(t)
	got := b.waiting(b.queue(b.client(), "jobs"))
	b.listens(1)
	b.exec("DELETE FROM pgmq.meta")
	for range 2 {
		b.promptly(func() time.Duration {
			b.calm()
			b.exec(insertPlain)
			return arrives(b, got)
		})
	}
}

// TestSilentTrigger: nothing tells of an insert. Receivers look by themselves.
func TestSilentTrigger(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	got := b.waiting(q)
	b.listens(1)
	b.calm()
	b.exec("ALTER TABLE pgmq.q_jobs DISABLE TRIGGER ALL")
	b.exec(insertPlain)
	arrives(b, got)
}

// TestTxWakes: a message wakes receivers when its transaction commits, and not
// before.
func TestTxWakes(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "jobs")
	got := b.waiting(b.client().Queue("jobs"))
	b.listens(1)
	q := b.borrowed(b.db, pgmq.Config{}).Queue("jobs")
	for range 3 {
		b.promptly(func() time.Duration {
			b.calm()
			b.ok(b.inTx(t.Context(), q, func(x *mq.TxQueue) error {
				_, err := x.Send(t.Context(), message())
				time.Sleep(100 * time.Millisecond)
				if len(got) > 0 {
					t.Error("the message came before the commit")
				}
				return err
			}))
			return arrives(b, got)
		})
	}
}

// TestIdle: a consumer with nothing to do asks rarely.
func TestIdle(t *testing.T) {
	b := newBase(t)
	counter := new(tracer)
	cfg, err := pgx.ParseConfig(b.dsn)
	b.ok(err)
	cfg.Tracer = counter
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = db.Close() })
	q := b.queue(b.borrowed(db, pgmq.Config{Listen: b.listenBy(b.dsn)}), "jobs")
	got := b.waiting(q)
	b.listens(1)
	b.post(q, 1)
	arrives(b, got)
	b.calm()
	before, start := counter.Load(), time.Now()
	time.Sleep(5 * time.Second)
	n := counter.Load() - before
	if took := time.Since(start); n > 1+int64(took/backstop) {
		t.Errorf("%d statements in %v", n, took)
	}
}

// tracer counts statements.
type tracer struct{ atomic.Int64 }

func (c *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.Add(1)
	return ctx
}

func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestTrailing: the trigger does not notify of an insert that follows another
// within its interval. The receiver knows.
func TestTrailing(t *testing.T) {
	b := newBase(t)
	c := b.client()
	got := b.waiting(b.queue(c, "jobs"))
	b.listens(1)
	b.promptly(func() time.Duration {
		b.exec(insertPlain)
		first := arrives(b, got)
		time.Sleep(100 * time.Millisecond) // the receiver waits again
		b.exec(insertPlain)
		return max(first, arrives(b, got))
	})
}

// TestRepeatableRead: the trigger does not make transactions fail that saw the
// database before it last notified.
func TestRepeatableRead(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.borrowed(b.db, pgmq.Config{}), "jobs")
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		tx, err := b.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
		b.ok(err)
		_, err = tx.Exec("SELECT")
		b.ok(err)
		b.exec("UPDATE pgmq.notify_insert_throttle SET last_notified_at = '-infinity'")
		b.exec(insertPlain)
		inside := q.Tx(tx)
		_, err = inside.Send(t.Context(), message())
		b.ok(err)
		_, err = tx.Exec(insertPlain)
		b.ok(err)
		b.ok(tx.Commit())
	}
}

// TestLongName: PostgreSQL has channels of 63 bytes only, and PGMQ has queues
// whose channel would be longer.
func TestLongName(t *testing.T) {
	b := newBase(t)
	c := b.client()
	b.queue(c, "jobs")
	for _, name := range []string{strings.Repeat("n", 61), strings.Repeat("é", 30)} {
		b.exec("CREATE TABLE pgmq.q_" + name + " (LIKE pgmq.q_jobs INCLUDING ALL)")
		got := b.waiting(c.Queue(name))
		b.post(c.Queue(name), 2)
		arrives(b, got)
		arrives(b, got)
	}
}

// TestUnlisten: a queue that is dropped is no longer listened for. The server
// shows only the last command of a session, so that it may take some tries to
// see it.
func TestUnlisten(t *testing.T) {
	b := newBase(t)
	c := b.client()
	b.eventually("it no longer listens", func() bool {
		_, err := b.queue(c, "jobs").Receive(t.Context(), mq.ReceiveOptions{Wait: time.Second})
		b.ok(err)
		b.ok(c.DropQueue(t.Context(), "jobs"))
		for range 100 {
			if b.sessions(`query LIKE '%UNLISTEN "pgmq.q_jobs.INSERT"%'`) > 0 {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	})
}
