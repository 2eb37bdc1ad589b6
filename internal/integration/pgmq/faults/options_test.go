package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// ensure makes a queue with options of pgmq.
func (b *base) ensure(c *mq.Client, name string, o pgmq.QueueOptions) error {
	_, err := c.EnsureQueue(b.Context(), name, mq.QueueOptions{Drivers: []mq.DriverOptions{o}})
	return err
}

// installations are databases without PGMQ's functions, and with them.
var installations = map[string]func(*base){"without PGMQ": func(*base) {}, "beside PGMQ": functions}

// TestNotifyInterval: it can be changed later, also that of PGMQ's own trigger, and
// nothing is done if it stays.
func TestNotifyInterval(t *testing.T) {
	const trigger = `SELECT coalesce((SELECT oid::int FROM pg_trigger WHERE tgname = 'trigger_notify_queue_insert_listeners'
		AND tgrelid = 'pgmq.q_jobs'::regclass), 0)`
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			b := newBase(t)
			install(b)
			c := b.client()
			was := -1
			step := func(every time.Duration, ms int, makes bool) {
				t.Helper()
				b.ok(b.ensure(c, "jobs", pgmq.QueueOptions{NotifyInterval: every}))
				got := value[int](b, "SELECT coalesce(max(throttle_interval_ms), 0) FROM pgmq.notify_insert_throttle")
				id := value[int](b, trigger)
				if got != ms || (id == 0) != (ms == 0) || (id != was) != makes {
					t.Errorf("asked for %v: the row has %d ms, want %d; trigger %d, before %d", every, got, ms, id, was)
				}
				was = id
			}
			step(0, 250, true)
			step(0, 250, false)
			step(250*time.Millisecond, 250, false)
			step(2*time.Second, 2000, true)
			step(2*time.Second, 2000, false)
			step(0, 2000, false)
			b.exec("UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 7")
			step(2*time.Second, 2000, true)
			b.exec("DELETE FROM pgmq.notify_insert_throttle") // as by a crash
			b.exec("INSERT INTO pgmq.q_jobs (vt, message) VALUES (now(), '1')")
			step(2*time.Second, 2000, false)
			step(pgmq.NoNotify, 0, true)
			step(pgmq.NoNotify, 0, false)
			b.exec("INSERT INTO pgmq.q_jobs (vt, message) VALUES (now(), '1')")
			step(time.Second, 1000, true)
			if name == "beside PGMQ" {
				b.exec("SELECT pgmq.enable_notify_insert('jobs', 1000)")
				was = value[int](b, trigger)
				step(time.Second, 1000, true)
			}
		})
	}
}

// TestUnlogged: the queue is, the archive is not, and PGMQ knows it.
func TestUnlogged(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			b := newBase(t)
			install(b)
			c := b.client()
			o := pgmq.QueueOptions{Unlogged: true}
			b.ok(b.ensure(c, "jobs", o))
			b.ok(b.ensure(c, "jobs", o))
			b.ok(b.ensure(c, "jobs", pgmq.QueueOptions{}))
			if got := value[string](b, `SELECT string_agg(relpersistence::text, '' ORDER BY relname) FROM pg_class
				WHERE oid IN ('pgmq.q_jobs'::regclass, 'pgmq.a_jobs'::regclass)`); got != "pu" {
				t.Errorf("archive and queue are %s, want pu", got)
			}
			if !value[bool](b, "SELECT is_unlogged AND NOT is_partitioned FROM pgmq.meta") {
				t.Error("pgmq.meta says something else")
			}
			b.ok(b.ensure(c, "logged", pgmq.QueueOptions{}))
			b.is(b.ensure(c, "logged", o), mq.ErrNotSupported, "unlogged beside a queue that is not")
			q := c.Queue("jobs")
			b.post(q, 2)
			ds := b.take(q, 2)
			b.ok(ds[0].Archive(t.Context(), "why"))
			b.ok(ds[1].Ack(t.Context()))
		})
	}
}

// TestPartitionedOptions: without pg_partman they are refused, and nothing is made.
func TestPartitionedOptions(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			b := newBase(t)
			install(b)
			c := b.client()
			err := b.ensure(c, "jobs", pgmq.QueueOptions{Partitioned: new(pgmq.Partitioning)})
			if b.is(err, mq.ErrNotSupported, "partitions"); err != nil && !strings.Contains(err.Error(), "pg_partman") {
				t.Errorf("the error does not help: %v", err)
			}
			if value[bool](b, "SELECT to_regclass('pgmq.q_jobs') IS NOT NULL") {
				t.Error("there is a queue")
			}
			b.ok(b.ensure(c, "jobs", pgmq.QueueOptions{}))
			b.is(b.ensure(c, "jobs", pgmq.QueueOptions{Partitioned: new(pgmq.Partitioning)}), mq.ErrNotSupported, "partitions of a plain queue")
		})
	}
}
