package faults

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// partitioned makes queue orders with partitions p1 and default, and five
// messages and five archived ones in the latter.
const partitioned = `
CREATE TABLE pgmq.q_orders (msg_id bigint GENERATED ALWAYS AS IDENTITY, read_ct int NOT NULL DEFAULT 0, enqueued_at timestamptz NOT NULL DEFAULT now(),
 last_read_at timestamptz, vt timestamptz NOT NULL, message jsonb, headers jsonb) PARTITION BY RANGE (msg_id);
CREATE TABLE pgmq.a_orders (msg_id bigint, read_ct int NOT NULL DEFAULT 0, enqueued_at timestamptz NOT NULL DEFAULT now(), last_read_at timestamptz,
 archived_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL, message jsonb, headers jsonb) PARTITION BY RANGE (msg_id);
CREATE TABLE pgmq.q_orders_p1 PARTITION OF pgmq.q_orders FOR VALUES FROM (0) TO (1);
CREATE TABLE pgmq.a_orders_p1 PARTITION OF pgmq.a_orders FOR VALUES FROM (0) TO (1);
CREATE TABLE pgmq.q_orders_default PARTITION OF pgmq.q_orders DEFAULT;
CREATE TABLE pgmq.a_orders_default PARTITION OF pgmq.a_orders DEFAULT;
INSERT INTO pgmq.meta VALUES ('orders', true, false);
INSERT INTO pgmq.q_orders (vt, message) SELECT now(), '{}' FROM generate_series(1, 5);
INSERT INTO pgmq.a_orders (vt, message, msg_id) SELECT now(), '{}', g FROM generate_series(100, 104) g`

// TestPartitionIsNoQueue: no operation reaches a partition by its name.
func TestPartitionIsNoQueue(t *testing.T) {
	b := newBase(t)
	b.ok(pgmq.Install(t.Context(), b.db))
	b.exec(partitioned)
	c := b.client()
	for _, name := range []string{"orders_p1", "orders_default"} {
		for _, op := range operations {
			if op.name == "ensure" || op.name == "queues" || op.name == "ping" {
				continue
			}
			b.is(op.run(t.Context(), b, c.Queue(name)), mq.ErrQueueNotFound, op.name)
		}
		b.is(c.DropQueue(t.Context(), name), mq.ErrQueueNotFound, "drop")
		_, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{})
		if b.is(err, mq.ErrInvalid, "ensure"); err != nil && !strings.Contains(err.Error(), "partition of pgmq.") {
			t.Errorf("the error does not say why: %v", err)
		}
	}
	b.left(5, 5)
	b.exec("CREATE VIEW pgmq.q_seen AS SELECT * FROM pgmq.q_orders")
	_, err := c.EnsureQueue(t.Context(), "seen", mq.QueueOptions{})
	b.is(err, mq.ErrInvalid, "ensure in place of a view")
}

// left checks what queue orders has.
func (b *base) left(messages, archived int) {
	b.Helper()
	n, a := value[int](b, "SELECT count(*) FROM pgmq.q_orders"), value[int](b, "SELECT count(*) FROM pgmq.a_orders")
	if n != messages || a != archived {
		b.Errorf("%d messages and %d archived ones are left, want %d and %d", n, a, messages, archived)
	}
}

// TestPartitionedQueue: one that was made without pg_partman works, is dropped
// beside PGMQ's functions, and says what to do about indexes for groups.
func TestPartitionedQueue(t *testing.T) {
	b := newBase(t)
	functions(b)
	b.exec(`CREATE OR REPLACE FUNCTION pgmq.drop_queue(queue_name text) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN EXECUTE format(''DELETE FROM %I.part_config'', NULL::text); RETURN true; END'`) // as PGMQ's does
	b.exec(partitioned)
	c := b.client()
	q := c.Queue("orders")
	for _, d := range b.take(q, 5) {
		b.ok(d.Archive(t.Context(), "why"))
	}
	b.left(0, 10)
	_, err := c.EnsureQueue(t.Context(), "orders", indexedBy(mq.GroupBy{}))
	if b.is(err, mq.ErrNotSupported, "ensure with indexes"); err != nil && !strings.Contains(err.Error(), "docs/pgmq.md") {
		t.Errorf("the error does not help: %v", err)
	}
	b.ok(c.DropQueue(t.Context(), "orders"))
	if names, err := c.Queues(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("queues are %q: %v", names, err)
	}
}

// TestOldSnapshot: what a transaction with an old snapshot sees of a queue is
// not what others see of it.
func TestOldSnapshot(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "jobs")
	b.exec("ALTER TABLE pgmq.q_jobs DROP headers, DROP last_read_at; ALTER TABLE pgmq.a_jobs DROP headers, DROP last_read_at")
	c := b.client()
	tx, err := b.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	b.ok(err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "SELECT 1")
	b.ok(err)
	b.ok(pgmq.Install(t.Context(), b.db))
	x := c.Queue("jobs").Tx(tx)
	_, err = x.Send(t.Context(), &mq.Message{Body: []byte("1")})
	b.ok(err)
	_, err = c.Queue("jobs").Send(t.Context(), &mq.Message{Body: []byte("1"), Group: "g"})
	b.ok(err)
}
