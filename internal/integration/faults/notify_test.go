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

// calm is how long after LISTEN a receiver looks more often.
const calm = time.Second

// waiting receives one message after another.
func (b *base) waiting(q *mq.Queue) <-chan *mq.Delivery {
	return b.keep(func(ctx context.Context) ([]*mq.Delivery, error) {
		return q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Hour, Wait: mq.Forever})
	})
}

// waitingForGroups receives one head of a group after another.
func (b *base) waitingForGroups(q *mq.Queue) <-chan *mq.Delivery {
	return b.keep(func(ctx context.Context) ([]*mq.Delivery, error) {
		return q.ReceiveGroups(ctx, mq.GroupBy{}, mq.ReceiveOptions{Visibility: time.Hour, Wait: mq.Forever})
	})
}

func (b *base) keep(receive func(context.Context) ([]*mq.Delivery, error)) <-chan *mq.Delivery {
	got := make(chan *mq.Delivery, 1000)
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
	return got
}

const listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"

// listens waits until so many connections listen.
func (b *base) listens(n int64) {
	b.Helper()
	b.eventually("LISTEN", func() bool { return value[int64](b, listening) == n })
}

// soon is how long a message of another program may take on a busy machine.
const soon = 2 * time.Second

// arrives checks that the next message comes soon.
func arrives[T any](b *base, got <-chan T) {
	b.Helper()
	start := time.Now()
	select {
	case <-got:
	case <-time.After(patience):
		b.Fatal("the message does not come")
	}
	if took := time.Since(start); took > soon {
		b.Errorf("the message came after %v", took)
	}
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
			b.eventually("LISTEN", func() bool { return value[int](b, listening) > 0 })
			for range 5 {
				time.Sleep(30 * time.Millisecond) // within the trigger's interval
				b.execf("INSERT INTO pgmq.q_%s (vt, message) VALUES (clock_timestamp(), '1')", q.Name())
				arrives(b, got)
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
		b.listens(1)
		if b.kill("query LIKE 'LISTEN %'") != 1 {
			t.Error("nobody listened")
		}
		b.exec(insertPlain)
		arrives(b, got)
		b.exec(insertPlain)
		arrives(b, got)
	}
}

// TestThrottleRowDeleted: without its row, as after a crash, PGMQ's own trigger
// is silent; ours puts it back. Receivers get their messages in either case,
// and those that begin to wait afterwards get them soon.
func TestThrottleRowDeleted(t *testing.T) {
	for _, trigger := range []string{"ours", "upstream"} {
		t.Run(trigger, func(t *testing.T) {
			t.Parallel()
			b := newBase(t)
			if trigger == "upstream" {
				functions(b)
			}
			q := b.queue(b.client(), "jobs")
			got := b.waiting(q)
			b.listens(1)
			b.exec("DELETE FROM pgmq.notify_insert_throttle")
			late := b.waiting(b.client().Queue("jobs"))
			for range 3 {
				b.exec(insertPlain)
				select {
				case <-got:
				case <-late:
				case <-time.After(soon):
					t.Error("the message does not come soon")
				}
			}
		})
	}
}

// TestMetaRowDeleted: a queue that is not in pgmq.meta takes other programs'
// messages, and wakes receivers.
func TestMetaRowDeleted(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	got := b.waiting(b.queue(b.client(), "jobs"))
	b.listens(1)
	b.exec("DELETE FROM pgmq.meta")
	for range 2 {
		b.exec(insertPlain)
		arrives(b, got)
	}
}

// TestSilentTrigger: nothing tells of an insert. Receivers look by themselves.
func TestSilentTrigger(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	got := b.waiting(q)
	b.listens(1)
	time.Sleep(calm)
	b.exec("ALTER TABLE pgmq.q_jobs DISABLE TRIGGER ALL")
	b.exec(insertPlain)
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Error("the message does not come within 10 s")
	}
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
		b.ok(b.inTx(t.Context(), q, func(x *mq.TxQueue) error {
			_, err := x.Send(t.Context(), message())
			time.Sleep(100 * time.Millisecond)
			if len(got) > 0 {
				t.Error("the message came before the commit")
			}
			return err
		}))
		arrives(b, got)
	}
}

// TestIdle: a consumer with nothing to do asks rarely.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	counter := new(tracer)
	cfg, err := pgx.ParseConfig(b.dsn)
	b.ok(err)
	cfg.Tracer = counter
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = db.Close() })
	q := b.queue(b.borrowed(db, pgmq.Config{ListenDSN: b.dsn}), "jobs")
	got := b.waiting(q)
	b.listens(1)
	b.post(q, 1)
	arrives(b, got)
	time.Sleep(3 * time.Second)
	before := counter.Load()
	time.Sleep(15 * time.Second)
	if n := counter.Load() - before; n > 3 {
		t.Errorf("%d statements in 15 s", n)
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
	b.exec(insertPlain)
	arrives(b, got)
	time.Sleep(100 * time.Millisecond) // the receiver waits again
	b.exec(insertPlain)
	arrives(b, got)
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
		inside, err := q.Tx(tx)
		b.ok(err)
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
