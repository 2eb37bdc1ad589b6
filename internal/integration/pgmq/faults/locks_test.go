package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
)

// sits opens a transaction that stays open, and returns its session and how it
// ends.
func (b *base) sits(isolation sql.IsolationLevel, statements ...string) (pid int, end func()) {
	b.Helper()
	tx, err := b.db.BeginTx(context.WithoutCancel(b.Context()), &sql.TxOptions{Isolation: isolation})
	b.ok(err)
	for _, s := range statements {
		_, err := tx.ExecContext(b.Context(), s)
		b.ok(err)
	}
	b.ok(tx.QueryRowContext(b.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	end = func() { _ = tx.Rollback() }
	b.Cleanup(end)
	return pid, end
}

// names checks that an error names a session.
func (b *base) names(err error, pid int) {
	b.Helper()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("session %d", pid)) {
		b.Errorf("error is %v, want one that names session %d", err, pid)
	}
}

// old makes queues of PGMQ 1.4 without PGMQ.
func (b *base) old(queues ...string) {
	b.Helper()
	b.ok(pgmq.Install(b.Context(), b.db))
	for _, q := range queues {
		b.execf(`CREATE TABLE pgmq.q_%[1]s (msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, read_ct int DEFAULT 0 NOT NULL,
			enqueued_at timestamptz DEFAULT now() NOT NULL, vt timestamptz NOT NULL, message jsonb);
			CREATE TABLE pgmq.a_%[1]s (msg_id bigint PRIMARY KEY, read_ct int DEFAULT 0 NOT NULL, enqueued_at timestamptz DEFAULT now() NOT NULL,
			archived_at timestamptz DEFAULT now() NOT NULL, vt timestamptz NOT NULL, message jsonb)`, q)
	}
}

// TestInstallBlocked: behind a transaction of another session Install gives up,
// names it, and has brought the other queues up to date; meanwhile no queue
// stands still.
func TestInstallBlocked(t *testing.T) {
	b := newBase(t)
	b.old("a", "b", "c")
	pid, end := b.sits(sql.LevelDefault, "SELECT count(*) FROM pgmq.q_b")
	installed := make(chan error, 1)
	go func() { installed <- pgmq.Install(t.Context(), b.db) }()
	c, sent := b.client(), 0
	for err := error(nil); ; sent++ {
		select {
		case err = <-installed:
			b.names(err, pid)
			if sent < 5 {
				t.Errorf("%d sends while Install waited", sent)
			}
			upgraded := value[int](b, "SELECT count(*) FROM pg_attribute WHERE attname = 'headers' AND attrelid IN ('pgmq.q_a'::regclass, 'pgmq.q_b'::regclass, 'pgmq.q_c'::regclass)")
			if upgraded != 2 {
				t.Errorf("%d queues are up to date, want 2", upgraded)
			}
			end()
			b.ok(pgmq.Install(t.Context(), b.db))
			return
		default:
			_, err = c.Queue("b").Send(t.Context(), &mq.Message{Body: []byte("1")})
			b.ok(err)
		}
	}
}

// TestDropBlocked is TestInstallBlocked for a queue that is dropped, and for a
// caller who does not wait so long.
func TestDropBlocked(t *testing.T) {
	b := newBase(t)
	c := b.client()
	b.queue(c, "jobs")
	pid, end := b.sits(sql.LevelDefault, "SELECT count(*) FROM pgmq.q_jobs")
	var err error
	for range 10 { // it may be cancelled before it knows that it has waited
		ctx, cancel := context.WithCancel(t.Context())
		dropped := make(chan error, 1)
		go func() { dropped <- c.DropQueue(ctx, "jobs") }()
		b.eventually("it waits", func() bool { return b.sessions("wait_event_type = 'Lock'") > 0 })
		b.eventually("it lets others pass", func() bool { return b.sessions("wait_event_type = 'Lock'") == 0 })
		cancel()
		if err = <-dropped; strings.Contains(fmt.Sprint(err), "waiting for") {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	b.names(err, pid)
	end()
	b.ok(c.DropQueue(t.Context(), "jobs"))
}

// TestIndexBlocked: a new queue has its indexes at once, whatever transactions
// there are. In one that was there the build ends with its caller, on the server
// too, and says what it waited for.
func TestIndexBlocked(t *testing.T) {
	b := newBase(t)
	c, told := b.telling()
	b.queue(c, "old")
	b.post(c.Queue("old"), 1)
	pid, end := b.sits(sql.LevelRepeatableRead, "SELECT 1")
	indexed := indexedBy(mq.GroupBy{})
	_, err := c.EnsureQueue(t.Context(), "new", indexed)
	b.ok(err)
	ctx, cancel := context.WithCancel(t.Context())
	made := b.indexes(ctx, c, "old")
	b.eventually("the log says that the build waits", func() bool { return told.lines.Load() == 1 })
	cancel()
	b.names(<-made, pid)
	b.eventually("the build has ended", func() bool { return b.sessions(builds) == 0 })
	end()
	_, err = c.EnsureQueue(t.Context(), "old", indexed)
	b.ok(err)
}

// telling opens a client, and returns what counts how often that has logged that it
// waits for a lock.
func (b *base) telling(params ...string) (*mq.Client, *telling) {
	b.Helper()
	cfg, l := b.config(), new(telling)
	l.Handler = cfg.Logger.Handler()
	cfg.Logger = slog.New(l)
	return b.openConfig(with(b.dsn, params...), cfg), l
}

// telling counts the lines of a log that say what their writer waits for.
type telling struct {
	slog.Handler
	lines atomic.Int32
}

func (l *telling) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "pgmq: waiting for a lock" {
		l.lines.Add(1)
	}
	return l.Handler.Handle(ctx, r)
}

const builds = "query LIKE '%INDEX CONCURRENTLY%' AND state = 'active' AND pid <> pg_backend_pid()"

// indexes makes those of a queue's groups, in the background.
func (b *base) indexes(ctx context.Context, c *mq.Client, queue string) <-chan error {
	made := make(chan error, 1)
	go func() {
		_, err := c.EnsureQueue(ctx, queue, indexedBy(mq.GroupBy{}))
		made <- err
	}()
	return made
}

// indexed checks that a queue has its indexes, and nothing else that an attempt
// has left.
func (b *base) indexed(queue string) {
	b.Helper()
	const of = "SELECT count(*) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = ('pgmq.q_' || $1)::regclass AND i.relname LIKE 'mq\\_%' AND indisvalid = $2"
	if valid, invalid := value[int](b, of, queue, true), value[int](b, of, queue, false); valid != 2 || invalid != 0 {
		b.Errorf("queue %s has %d indexes for its groups, and %d that are not valid", queue, valid, invalid)
	}
}

// TestIndexTurnLost: a build outlives the session that held its turn. Another
// client waits for it, and begins none of its own; one that gives up names it.
func TestIndexTurnLost(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		name := "jobs_" + library
		a := b.client("driver=" + library)
		c, told := b.telling("driver=" + library)
		b.post(b.queue(a, name), 1)
		_, end := b.sits(sql.LevelRepeatableRead, "SELECT 1")
		first := b.indexes(t.Context(), a, name)
		b.eventually("a build waits", func() bool { return b.sessions(builds+" AND wait_event_type = 'Lock'") == 1 })
		pid := value[int](b, "SELECT pid FROM "+others+builds)
		b.exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = hashtext('pgmq.mq_indexes_' || $1)::bigint & 4294967295", name)
		ctx, cancel := context.WithCancel(t.Context())
		second, third := b.indexes(ctx, c, name), b.indexes(t.Context(), c, name)
		b.eventually("both wait for the build", func() bool { return told.lines.Load() == 2 })
		if n := b.sessions(builds); n != 1 {
			t.Errorf("%d builds", n)
		}
		cancel()
		b.names(<-second, pid)
		end()
		b.ok(<-first)
		b.ok(<-third)
		b.indexed(name)
	})
}

// TestIndexForsaken: a build whose client is gone goes on. It is waited for, and
// made use of; what it leaves when it is ended is made again.
func TestIndexForsaken(t *testing.T) {
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprint(ended), func(t *testing.T) {
			b := newBase(t)
			c, told := b.telling()
			b.post(b.queue(c, "jobs"), 1)
			b.ok(<-b.indexes(t.Context(), c, "jobs"))
			text := strings.Replace(value[string](b, "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'mq\\_group\\_%'"), "INDEX", "INDEX CONCURRENTLY", 1)
			b.exec("DROP INDEX pgmq." + strings.Fields(text)[3])
			_, end := b.sits(sql.LevelRepeatableRead, "SELECT 1")
			forsaken, forsake := b.forsaken(text)
			b.eventually("the build waits", func() bool { return b.sessions(builds+" AND wait_event_type = 'Lock'") == 1 })
			pid := value[int](b, "SELECT pid FROM "+others+builds)
			forsake()
			<-forsaken
			ctx, cancel := context.WithCancel(t.Context())
			first, second := b.indexes(ctx, c, "jobs"), b.indexes(t.Context(), c, "jobs")
			b.eventually("both wait for the build", func() bool { return told.lines.Load() == 2 })
			if n := b.sessions(builds); n != 1 {
				t.Errorf("%d builds", n)
			}
			cancel()
			b.names(<-first, pid)
			if ended {
				b.exec("SELECT pg_cancel_backend($1)", pid)
			}
			end()
			b.ok(<-second)
			b.indexed("jobs")
		})
	}
}

// forsaken runs a statement by a client that is gone before its answer.
func (b *base) forsaken(text string) (gone <-chan struct{}, forsake func()) {
	b.Helper()
	cfg, err := pgx.ParseConfig(b.dsn)
	b.ok(err)
	dial, dead := cfg.DialFunc, new(atomic.Bool)
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dead.Load() {
			return nil, errors.New("no request to cancel gets through")
		}
		return dial(ctx, network, address)
	}
	conn, err := pgx.ConnectConfig(b.Context(), cfg)
	b.ok(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = conn.PgConn().Exec(context.WithoutCancel(b.Context()), text).ReadAll()
	}()
	return ended, func() {
		dead.Store(true)
		_ = conn.PgConn().Conn().Close()
	}
}

// TestSenders: beside PGMQ's functions and without, no sender waits for the
// transaction of another one, whether the row of the throttle is there or not,
// and two in opposite order do not deadlock.
func TestSenders(t *testing.T) {
	for name, install := range map[string]func(*base){"PGMQ": functions, "ours": func(*base) {}} {
		for _, row := range []string{"UPDATE pgmq.notify_insert_throttle SET last_notified_at = '-infinity'", "DELETE FROM pgmq.notify_insert_throttle"} {
			t.Run(name+", "+row[:6], func(t *testing.T) {
				b := newBase(t)
				install(b)
				c := b.client()
				b.queue(c, "a")
				b.queue(c, "b")
				if n := value[int](b, "SELECT count(*) FROM pg_trigger WHERE tgname = 'trigger_notify_queue_insert_listeners'"); n != 2 {
					t.Fatalf("%d triggers", n)
				}
				b.exec(row)
				const insert = "INSERT INTO pgmq.q_%s (vt, message) VALUES (now(), '1')"
				_, end := b.sits(sql.LevelDefault, fmt.Sprintf(insert, "a"))
				_, end2 := b.sits(sql.LevelDefault, fmt.Sprintf(insert, "b"), fmt.Sprintf(insert, "a"))
				b.execf(insert, "a") // waits for ever, if at all
				_, err := c.Queue("a").Send(t.Context(), message())
				b.ok(err)
				end2()
				end()
			})
		}
	}
}

// TestRightsBesidePGMQ: the rights of docs/pgmq.md are enough for a queue that
// was made beside PGMQ's functions.
func TestRightsBesidePGMQ(t *testing.T) {
	b, role := newBaseWithRole(t)
	layouts.StandIn.Make(t, b.db)
	b.queue(b.client(), "jobs")
	b.grant(role, usage, insert, selects, updates, deletes, insertArchive, selectArchive, selectRate)
	q := b.open(as(b.dsn, role)).Queue("jobs")
	b.post(q, 3)
	for _, d := range b.take(q, 3) {
		b.ok(d.Archive(t.Context(), "why"))
	}
}

// indexedBy returns the options of a queue with the indexes of groupings.
func indexedBy(by ...mq.GroupBy) mq.QueueOptions {
	return mq.QueueOptions{Drivers: []mq.DriverOptions{pgmq.QueueOptions{GroupIndexes: by}}}
}
