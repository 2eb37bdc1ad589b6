package faults

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// others are the other sessions of this database, as they follow FROM.
const others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND "

// kill ends some of them.
func (b *base) kill(which string, args ...any) (n int) {
	b.Helper()
	return value[int](b, "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM "+others+which, args...)
}

// sessions counts some of them.
func (b *base) sessions(which string, args ...any) (n int) {
	b.Helper()
	return value[int](b, "SELECT count(*) FROM "+others+which, args...)
}

// waits returns when a session waits for a lock.
func (b *base) waits(which string, args ...any) {
	b.Helper()
	b.eventually("it waits", func() bool { return b.sessions("wait_event_type = 'Lock' AND "+which, args...) > 0 })
}

// victim opens a client whose sessions the server knows by a name.
func (b *base) victim(library string) (c *mq.Client, name string) {
	b.Helper()
	name = "victim of " + b.Name()
	name = name[max(0, len(name)-60):]
	return b.client("driver="+library, "pool_max_conns=3", "application_name="+name), name
}

// stage makes a queue with messages 1 to 3, a target for moves, and an archive
// with message 100.
func (b *base) stage(c *mq.Client, name string) *mq.Queue {
	b.Helper()
	q := b.queue(c, name)
	b.post(q, 3)
	b.exec("INSERT INTO pgmq.a_" + name + " (msg_id, vt) VALUES (100, now())")
	return q
}

// picture shows all that an operation may change: it must not be half done.
func (b *base) picture(q *mq.Queue) string {
	b.Helper()
	return value[string](b, fmt.Sprintf(`SELECT format('%%s queued, %%s leased, %%s archived',
		(SELECT count(*) FROM pgmq.q_%[1]s), (SELECT count(*) FROM pgmq.q_%[1]s WHERE read_ct > 0 OR vt > now()), (SELECT count(*) FROM pgmq.a_%[1]s))`, q.Name()))
}

// blocked is a way to make the statements on a queue wait.
type blocked struct {
	name    string
	prepare func(b *base)
	arm     func(b *base, queue string)
	block   string // what a transaction does that they wait for
	all     bool   // those that change nothing wait as well
}

var blocks = []blocked{
	{
		"at the table", func(*base) {}, func(*base, string) {},
		"LOCK TABLE pgmq.q_%[1]s, pgmq.a_%[1]s IN ACCESS EXCLUSIVE MODE", true,
	},
	{"at commit", func(b *base) {
		b.exec(`CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_advisory_xact_lock_shared(hashtext(substr(TG_TABLE_NAME, 3))); RETURN NULL; END'`)
	}, func(b *base, queue string) {
		for _, table := range []string{"q_", "a_"} {
			b.execf(`CREATE CONSTRAINT TRIGGER pause AFTER INSERT OR UPDATE OR DELETE ON pgmq.%s%s DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION pause()`, table, queue)
		}
	}, "SELECT pg_advisory_xact_lock(hashtext('%[1]s'))", false},
}

// block makes statements on a queue wait until the transaction ends.
func (b *base) block(how blocked, queue string) *sql.Tx {
	b.Helper()
	tx, err := b.db.Begin()
	b.ok(err)
	_, err = tx.Exec(fmt.Sprintf(how.block, queue))
	b.ok(err)
	return tx
}

// idle are operations that would change something of a message that is leased,
// and there is none.
var idle = []string{"ack one", "extend"}

// TestKilled ends the connection of every operation while the server is at
// work on it. What the operation says of itself is true, nothing is half done,
// and the next one works.
func TestKilled(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	pictures := b.pictures()
	for _, how := range blocks {
		t.Run(how.name, func(t *testing.T) {
			how.prepare(b)
			eachLibrary(t, func(t *testing.T, library string) {
				every(t, func(t *testing.T, op operation) {
					t.Parallel()
					if how.all || !op.reads && !slices.Contains(idle, op.name) {
						b.of(t).killed(how, op, library, fmt.Sprintf("q%d", n.Add(1)), pictures[op.name])
					}
				})
			})
		})
	}
}

// killed runs op, ends its connection while it waits, and judges what it says.
func (b *base) killed(how blocked, op operation, library, name, want string) {
	b.Helper()
	q := b.stage(b.client("driver="+library, "pool_max_conns=2", "application_name="+name), name)
	how.arm(b, name)
	before := b.picture(q)
	tx := b.block(how, q.Name())
	ended := make(chan error, 1)
	go func() { ended <- stale(op.run(b.Context(), b, q)) }()
	b.waits("application_name = $1", name)
	b.kill("application_name = $1 AND wait_event_type = 'Lock'", name)
	b.ok(tx.Rollback())
	err := <-ended
	after := b.picture(q)
	switch {
	case err == nil && after != want:
		b.Errorf("it says that it is done: %s, want %s", after, want)
	case err != nil && (!outage(err) || after != before):
		b.Errorf("%v: %s, before it %s", err, after, before)
	case err != nil && how.all && library != "pq": // lib/pq hides why a prepared statement got no answer
		b.Errorf("%v, want another try: nothing had begun", err)
	}
	b.ok(stale(op.run(b.Context(), b, q)))
	b.eventually("2 connections of the pool are open at most", func() bool {
		return b.sessions("application_name = $1 AND query NOT LIKE 'LISTEN %'", name) <= 2
	})
}

// pictures runs each operation on a queue of its own, and returns what becomes
// of that.
func (b *base) pictures() map[string]string {
	b.Helper()
	c, all := b.client(), make(map[string]string)
	for i, op := range operations {
		q := b.stage(c, fmt.Sprintf("picture%d", i))
		b.ok(stale(op.run(b.Context(), b, q)))
		all[op.name] = b.picture(q)
	}
	return all
}

// TestKilledBetween ends connections between operations: nobody notices.
func TestKilledBetween(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c, name := b.victim(library)
		q := b.queue(c, library)
		die := func() { b.kill("application_name = $1", name) }
		for range 6 {
			die()
			id := b.post(q, 1)[0]
			die()
			d := b.one(q)
			die()
			b.ok(d.Extend(t.Context(), time.Hour))
			die()
			s, err := q.Stats(t.Context())
			b.ok(err)
			die()
			b.ok(d.Ack(t.Context()))
			if d.ID != id || s.Leased != 1 {
				t.Errorf("received %s, want %s; stats %+v", d.ID, id, s)
			}
		}
	})
}

// TestKilledAtRandom ends connections at any moment. At least once: all that
// was sent is handled, and what was acknowledged does not come back.
func TestKilledAtRandom(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c, name := b.victim(library)
		l := b.load(c, library)
		for killed := 0; killed < 30; {
			l.goesOn(b, 5)
			time.Sleep(rand.N(10 * time.Millisecond))
			killed += b.kill("application_name = $1", name)
		}
		l.settle(b)
	})
}

// TestCloseDead: to close a client whose sessions have been ended is no error.
func TestCloseDead(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c, name := b.victim(library)
		q := b.queue(c, library)
		b.cycle(q)
		b.eventually("its sessions are gone", func() bool {
			b.kill("application_name = $1", name)
			return b.sessions("application_name = $1", name) == 0
		})
		b.ok(c.Close())
	})
}
