package suite_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// exchange is what we do with a queue together with another client of PGMQ.
type exchange struct {
	name  string
	needs string // SQL: whether PGMQ is new enough
	run   func(*rig)
}

// What not all versions of PGMQ have.
const (
	headers   = "to_regprocedure('pgmq.send(text,jsonb,jsonb,integer)') IS NOT NULL"                // 1.5
	throttles = "to_regprocedure('pgmq.enable_notify_insert(text,integer)') IS NOT NULL"            // 1.8
	topics    = "to_regprocedure('pgmq.send_topic(text,jsonb)') IS NOT NULL"                        // 1.11
	spells    = "(SELECT prosrc ~ 'TG_ARGV' FROM pg_proc WHERE proname = 'notify_queue_listeners')" // 1.13.1
)

var exchanges = []exchange{
	{"make", throttles, func(r *rig) {
		ok(r, r.Client().DropQueue(r.Context(), r.Name()))
		must(r.db.Exec(tracing))(r)
		r.Queue = must(r.Client().EnsureQueue(r.Context(), r.Name(), mq.QueueOptions{}))(r)
		r.wants("made by pgmq.create", "SELECT obj_description('pgmq.q_jobs'::regclass)")
		r.wants("250", "SELECT throttle_interval_ms FROM pgmq.notify_insert_throttle")
		ok(r, r.Client().DropQueue(r.Context(), r.Name()))
		r.wants("", "SELECT to_regclass('pgmq.q_jobs')")
		r.wants("0", "SELECT count(*) FROM pgmq.meta")
	}},
	{"theirs to us", headers, func(r *rig) {
		id := r.ask(`SELECT pgmq.send('jobs', '{"a": 1}', '{"k": "v", "n": 1}', 0)`)
		d := r.take(`{"a": 1}`, 1)
		if d.ID != id || d.Headers["k"] != "v" {
			r.Errorf("received %+v", d)
		}
		r.wants("", "SELECT msg_id FROM pgmq.read('jobs', 30, 1)")
		ok(r, d.Ack(r.Context()))
		r.wants("0", "SELECT (m).queue_length FROM pgmq.metrics('jobs') m")
	}},
	{"ours to them", headers, func(r *rig) {
		must(r.Send(r.Context(), &mq.Message{Body: []byte(`{"a": 1}`), Headers: mq.Headers{"k": "v"}, Group: "g"}))(r)
		r.wants(`1 {"a": 1} v g 1`, `SELECT msg_id || ' ' || message || ' ' || (headers->>'k') || ' ' || (headers->>'x-pgmq-group') || ' ' || read_ct
			FROM pgmq.read('jobs', 30, 1)`)
		r.none()
		r.wants("1", "SELECT count(*) FROM pgmq.set_vt('jobs', 1, 0)")
		ok(r, r.take(`{"a": 1}`, 2).Nack(r.Context(), 0))
		r.wants("2", "SELECT read_ct FROM pgmq.pop('jobs')")
		r.none()
	}},
	{"archives", headers, func(r *rig) {
		r.send("1")
		r.send("2")
		r.wants("true", "SELECT pgmq.archive('jobs', 1)")
		ok(r, r.take("2", 1).Archive(r.Context(), "why"))
		r.wants("why", "SELECT headers->>'mq-reason' FROM pgmq.a_jobs WHERE msg_id = 2")
		if n := must(r.Redrive(r.Context(), mq.RedriveOptions{}))(r); n != 2 {
			r.Errorf("redrove %d", n)
		}
		r.wants("2", "SELECT count(*) FROM pgmq.read('jobs', 30, 10)")
	}},
	{"they settle what we lease", "", func(r *rig) {
		r.send("1")
		d := r.take("1", 1)
		r.wants("true", "SELECT pgmq.delete('jobs', 1)")
		wantError(r, d.Ack(r.Context()), mq.ErrMessageNotFound)
		r.send("2")
		d = r.take("2", 1)
		r.wants("1", "SELECT count(*) FROM pgmq.set_vt('jobs', 2, 0)")
		r.wants("2", "SELECT read_ct FROM pgmq.read('jobs', 30, 1)")
		wantError(r, d.Ack(r.Context()), mq.ErrStaleReceipt)
		r.wants("true", "SELECT pgmq.delete('jobs', 2)")
	}},
	{"they bind", topics, func(r *rig) {
		r.ask("SELECT pgmq.create('Other')")
		r.ask("SELECT pgmq.bind_topic('a.*', 'jobs')")
		r.ask("SELECT pgmq.bind_topic('#', 'Other')")
		r.bound("jobs a.*", "other #")
		r.publish("a.b", "jobs 1", "other 1")
		r.publish("b.c", "other 2")
		r.take(`1`, 1)
		r.wants("true", "SELECT pgmq.unbind_topic('#', 'Other')")
		r.publish("a.b", "jobs 2")
	}},
	{"we bind", topics, func(r *rig) {
		r.ask("SELECT pgmq.create('Other')")
		for range 2 {
			ok(r, r.Bind(r.Context(), "a.*"))
			ok(r, r.Client().Queue("other").Bind(r.Context(), "#"))
		}
		r.wants("2", "SELECT pgmq.send_topic('a.b', '1')")
		r.wants("Other 2", "SELECT string_agg(queue_name || ' ' || msg_id, ',') FROM pgmq.send_batch_topic('b', ARRAY['2'::jsonb])")
		r.take(`1`, 1)
		ok(r, r.Client().Queue("other").Unbind(r.Context(), "#"))
		r.wants("1", "SELECT pgmq.send_topic('a.b', '1')")
		r.wants("true", "SELECT pgmq.drop_queue('jobs')")
		r.bound()
	}},
	{"patterns are theirs", topics, func(r *rig) {
		for pattern, topics := range patterns {
			ok(r, r.Bind(r.Context(), pattern))
			for topic, matches := range topics {
				want := map[bool]string{true: "1", false: "0"}[matches]
				r.wants(want, "SELECT pgmq.send_topic($1, '1')", topic)
				if out := must(r.Client().Publish(r.Context(), topic, &mq.Message{Body: []byte("1")}))(r); len(out) == 1 != matches {
					r.Errorf("%s to %s: published %v", topic, pattern, out)
				}
			}
			r.wants("true", "SELECT pgmq.unbind_topic($1, 'jobs')", pattern)
		}
	}},
	{"they have no topics", "", func(r *rig) {
		must(r.db.Exec("DROP TABLE IF EXISTS pgmq.topic_bindings"))(r) // as before 1.11
		wantError(r, r.Bind(r.Context(), "a.*"), mq.ErrNotSupported)
		_, err := r.Client().Publish(r.Context(), "a.b", &mq.Message{})
		wantError(r, err, mq.ErrNotSupported)
		r.wants("", "SELECT to_regclass('pgmq.topic_bindings')")
	}},
	{"they drop", "", func(r *rig) {
		r.wants("true", "SELECT pgmq.drop_queue('jobs')")
		_, err := r.Receive(r.Context(), mq.ReceiveOptions{})
		wantError(r, err, mq.ErrQueueNotFound)
		r.Queue = must(r.Client().EnsureQueue(r.Context(), "jobs", mq.QueueOptions{}))(r)
		r.send("1")
		r.take("1", 1)
	}},
	{"they wake us", "", func(r *rig) {
		r.wakes("jobs")
	}},
	{"they wake us by another spelling", spells, func(r *rig) {
		r.ask("SELECT pgmq.create('Mixed')")
		r.ask("SELECT pgmq.enable_notify_insert('Mixed')")
		r.Queue = r.Client().Queue("mixed")
		r.wakes("Mixed")
	}},
	{"a crash has made the trigger silent", throttles, func(r *rig) {
		must(r.db.Exec("TRUNCATE pgmq.notify_insert_throttle"))(r)
		r.wakes("jobs")
	}},
}

// patterns are some, with topics and whether they match.
var patterns = map[string]map[string]bool{
	"a.b":   {"a.b": true, "a.b.c": false, "axb": false, "A.b": false},
	"a.*":   {"a.b": true, "a": false, "a.b.c": false},
	"a.#":   {"a.b": true, "a": false, "a.b.c": true},
	"#.c":   {"b.c": true, "c": false, "a.b.c": true},
	"a*":    {"a": false, "ab": true, "ab.c": false},
	"*.*":   {"a.b": true, "a": false, "a-b._": true},
	"a.#.z": {"a.b.z": true, "a.z": false, "a.b.c.z": true},
	"#":     {"a": true, "a.b": true},
}

// bound checks all bindings.
func (r *rig) bound(want ...string) {
	r.Helper()
	var got []string
	for _, b := range must(r.Client().Bindings(r.Context()))(r) {
		got = append(got, b.Queue+" "+b.Pattern)
	}
	if !slices.Equal(got, want) {
		r.Errorf("bound are %q, want %q", got, want)
	}
}

// publish publishes a message, and checks which queues have got it.
func (r *rig) publish(topic string, want ...string) {
	r.Helper()
	var got []string
	for _, p := range must(r.Client().Publish(r.Context(), topic, &mq.Message{Body: []byte("1")}))(r) {
		got = append(got, p.Queue+" "+strings.Join(p.IDs, " "))
	}
	if !slices.Equal(got, want) {
		r.Errorf("%s: published %q, want %q", topic, got, want)
	}
}

// tracing makes pgmq.create leave a trace.
const tracing = `
ALTER FUNCTION pgmq.create(text) RENAME TO create_untraced;
CREATE FUNCTION pgmq.create(queue_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgmq.create_untraced(queue_name);
	EXECUTE format('COMMENT ON TABLE pgmq.%I IS %L', 'q_' || queue_name, 'made by pgmq.create');
END $$`

// TestInterop shares a queue with a client of PGMQ's own functions.
func TestInterop(t *testing.T) {
	for _, source := range layouts.Sources(t) {
		for _, x := range exchanges {
			for _, params := range []string{"driver=pgx", "driver=pq", "poll_only=true"} {
				t.Run(source.Name+"/"+x.name+"/"+params, func(t *testing.T) {
					r := newRig(t, source.Make, params)
					if x.needs != "" && r.ask("SELECT "+x.needs) != "true" {
						t.Skip("this PGMQ is too old: " + x.needs)
					}
					x.run(r)
				})
			}
		}
	}
}

// wakes checks that a receiver that waits has what another client sends before
// it would look anyway, though the trigger swallows the second of two messages.
// It tries again, for a machine may be too slow to show that.
func (r *rig) wakes(queue string) {
	r.Helper()
	var took []time.Duration
	for range 5 {
		took = append(took, r.wakesAfter(queue))
		if took[len(took)-1] < 4*time.Second {
			return
		}
	}
	r.Errorf("received after %v", took)
}

// wakesAfter has another client send two messages to a receiver that waits, and
// returns how long the slower one took.
func (r *rig) wakesAfter(queue string) (longest time.Duration) {
	r.Helper()
	received := make(chan error, 2)
	now := r.ask("SELECT clock_timestamp()")
	go func() {
		for range 2 {
			received <- r.receiveOne()
		}
	}()
	for r.ask(waiting, now) != "true" {
		time.Sleep(10 * time.Millisecond)
	}
	for range 2 {
		time.Sleep(50 * time.Millisecond) // the receiver waits again by then
		start := time.Now()
		r.ask("SELECT pgmq.send($1, '1')", queue)
		ok(r, <-received)
		longest = max(longest, time.Since(start))
	}
	return longest
}

// receiveOne waits for a message, and acks it.
func (r *rig) receiveOne() error {
	ds, err := r.Receive(r.Context(), mq.ReceiveOptions{Wait: time.Minute})
	if err != nil || len(ds) != 1 {
		return fmt.Errorf("received %v, error %w", ds, err)
	}
	return ds[0].Ack(r.Context())
}

// waiting is whether mq's sessions have done something since a time, and
// nothing for longer than a receiver that was just woken pauses.
const waiting = `SELECT coalesce(bool_and(state = 'idle') AND max(state_change) > $1::timestamptz
	AND max(state_change) < clock_timestamp() - interval '700 ms', false)
	FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mq %'`

// TestBareID settles as clients do that know a message by its id alone.
func TestBareID(t *testing.T) {
	r := newRig(t, nil, "driver=pgx")
	id := r.send("1")
	r.take("1", 1)
	receipt := pgmq.Unfenced(r.Name(), id)
	ok(r, r.Settle(r.Context(), mq.Settlement{Receipt: receipt, Op: mq.OpNack}))
	r.take("1", 2)
	ok(r, r.Extend(r.Context(), time.Hour, receipt))
	ok(r, r.Settle(r.Context(), mq.Settlement{Receipt: receipt, Op: mq.OpAck}))
	wantError(r, r.Settle(r.Context(), mq.Settlement{Receipt: receipt, Op: mq.OpAck}), mq.ErrMessageNotFound)
}

// TestLeastPrivilege uses a queue as a role that may do no more than that.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	cluster := server.Postgres(t)
	role := cluster.Role(t)
	dsn := cluster.Database(t)
	db := pool(t, dsn)
	ok(t, pgmq.Install(t.Context(), db))
	owner := with("driver=pgx")(t, dsn)
	must(owner.EnsureQueue(t.Context(), layouts.Queue, mq.QueueOptions{}))(t)
	ok(t, owner.Close())
	must(db.Exec("GRANT USAGE ON SCHEMA pgmq TO " + role.Username() + `;
		GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_jobs, pgmq.a_jobs, pgmq.notify_insert_throttle TO ` + role.Username()))(t)

	u := must(url.Parse(dsn))(t)
	u.User = role
	for _, params := range []string{"driver=pgx", "driver=pq"} {
		r := newRigAt(t, u.String(), params)
		r.settles()
		r.archives(true)
		r.looks()
		r.attributes(true)
	}
}

// TestInstall runs at the same time in many programs.
func TestInstall(t *testing.T) {
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	errs := make(chan error)
	for range 8 {
		db := pool(t, dsn)
		go func() { errs <- pgmq.Install(t.Context(), db) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestUpgrade brings what others have made up to date.
func TestUpgrade(t *testing.T) {
	for _, l := range layouts.All {
		t.Run(l.Name, func(t *testing.T) {
			r := newRig(t, func(tb testing.TB, db *sql.DB) {
				l.Make(tb, db)
				ok(tb, pgmq.Install(t.Context(), db))
			}, "driver=pgx")
			r.settles()
			r.archives(true)
			r.attributes(true)
		})
	}
}
