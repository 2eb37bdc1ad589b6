package groups

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// TestBlockedInFront: one call finds the free group among very many that are
// not, whether their oldest messages are delayed or leased, and wherever it is:
// in the middle of all, where only a walk over them comes by, or just sent. It
// does not take it a statement for each few hundred groups.
func TestBlockedInFront(t *testing.T) {
	const groups = 100_000
	dsn := server.Postgres(t).Database(t)
	db := pool(t, dsn)
	var statements atomic.Int64
	c := borrow(t, checks.Rewriting(t, dsn, func(text string) string {
		if chooses(text) {
			statements.Add(1)
		}
		return text
	}))
	for name, head := range map[string]string{
		"delayed": "read_ct = 1, last_read_at = NULL, vt = now() + interval '1 hour'",
		"leased":  "read_ct = 1, last_read_at = now(), vt = now() + interval '1 hour'",
	} {
		t.Run(name, func(t *testing.T) {
			q, err := c.EnsureQueue(t.Context(), name, silent(mq.GroupBy{}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec("INSERT INTO pgmq.q_"+name+` (vt, message, headers) SELECT now() - interval '1 minute', '1', jsonb_build_object('x-pgmq-group', 'k' || mod(i, $1::int))
				FROM generate_series(0, 2 * $1::int - 1) i`, groups); err != nil {
				t.Fatal(err)
			}
			exec(t, db, "UPDATE pgmq.q_"+name+" SET "+head+" WHERE headers ->> 'x-pgmq-group' <> 'k5' AND msg_id <= (SELECT max(msg_id) / 2 FROM pgmq.q_"+name+")", "VACUUM ANALYZE pgmq.q_"+name)
			exec(t, db, "UPDATE pgmq.q_"+name+" SET vt = now() - interval '30 s' WHERE headers ->> 'x-pgmq-group' = 'k5'") // neither due first nor last
			exec(t, db, "INSERT INTO pgmq.q_"+name+` (vt, message, headers) SELECT now() - interval '1 s', '1', jsonb_build_object('x-pgmq-group', 'k0') FROM generate_series(1, 5000)`)
			for _, want := range []string{"k5", "new"} {
				if want == "new" {
					if _, err := q.Send(t.Context(), &mq.Message{Body: []byte("1"), Group: want}); err != nil {
						t.Fatal(err)
					}
				}
				statements.Store(0)
				ds, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 10, Visibility: time.Hour, Wait: 5 * time.Minute})
				if err != nil || len(ds) != 1 || ds[0].GroupKey != want {
					t.Errorf("it receives %d heads, want that of group %q: %v", len(ds), want, err)
				}
				if n := statements.Load(); n > 80 {
					t.Errorf("group %q takes %d statements", want, n)
				}
			}
			ds, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 10})
			if err != nil || len(ds) != 0 {
				t.Errorf("it receives %d heads of groups that are not free: %v", len(ds), err)
			}
		})
	}
}

// TestLocksBounded: many calls for a thousand groups each fit into the lock table
// of the server.
func TestLocksBounded(t *testing.T) {
	dsn := server.Postgres(t).Database(t)
	db := pool(t, dsn)
	q, err := open(t, dsn, "pool_max_conns=20").EnsureQueue(t.Context(), "many", silent(mq.GroupBy{}))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO pgmq.q_many (vt, message, headers) SELECT now(), '1', jsonb_build_object('x-pgmq-group', i::text) FROM generate_series(1, 3000) i`, "ANALYZE pgmq.q_many")
	exec(t, db, `CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		IF (SELECT count(*) FROM pg_locks WHERE locktype = ''advisory'' AND pid = pg_backend_pid()) > 48 THEN RAISE EXCEPTION ''locks''; END IF; RETURN NULL; END'`,
		"CREATE TRIGGER counted AFTER UPDATE ON pgmq.q_many FOR EACH STATEMENT EXECUTE FUNCTION counted()")
	for left := 3000; left > 0; {
		ds, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1000, Visibility: time.Hour, Wait: time.Minute})
		if err != nil || len(ds) == 0 {
			t.Fatalf("with %d left it receives %d: %v", left, len(ds), err)
		}
		left -= len(ds)
	}
}

// TestManyClients: as many claims at once as a server has connections for, in its
// default configuration, fit into the lock table that it has then: 64 locks for
// each of 100 connections. What memory there is beyond that is not counted on.
func TestManyClients(t *testing.T) {
	const clients, calls, gate = 12, 8, 4711 // 3 connections are reserved
	const table = 64 * 100
	dsn := server.Postgres(t).Database(t)
	db := pool(t, dsn)
	exec(t, db, fmt.Sprintf("CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(%d); RETURN NULL; END'", gate))
	held, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Rollback() }()
	if _, err := held.Exec("SELECT pg_advisory_xact_lock($1)", gate); err != nil {
		t.Fatal(err)
	}
	var queues []*mq.Queue
	for i := range clients {
		name := fmt.Sprintf("many%d", i)
		q, err := open(t, dsn, fmt.Sprintf("pool_max_conns=%d", calls)).EnsureQueue(t.Context(), name, silent(mq.GroupBy{}))
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db, "INSERT INTO pgmq.q_"+name+` (vt, message, headers) SELECT now(), '1', jsonb_build_object('x-pgmq-group', i::text) FROM generate_series(1, 2000) i`,
			"ANALYZE pgmq.q_"+name, "CREATE TRIGGER gate AFTER UPDATE ON pgmq.q_"+name+" FOR EACH STATEMENT EXECUTE FUNCTION gate()")
		queues = append(queues, q)
	}
	failed := make(chan error, clients*calls)
	var all sync.WaitGroup
	for _, q := range queues {
		for range calls {
			all.Go(func() {
				if _, err := q.ReceiveHeads(t.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1000, Visibility: time.Hour}); err != nil {
					failed <- err
				}
			})
		}
	}
	waiting, locks := 0, 0
	for end := time.Now().Add(time.Minute); waiting < clients*calls && len(failed) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := db.QueryRow("SELECT count(*) FILTER (WHERE NOT granted), count(*) FILTER (WHERE granted) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&waiting, &locks); err != nil {
			t.Fatal(err)
		}
	}
	_ = held.Rollback()
	all.Wait()
	switch {
	case len(failed) > 0:
		t.Errorf("%d claims failed, with %d locks: %v", len(failed), locks, <-failed)
	case waiting < clients*calls || locks < table/2:
		t.Errorf("%d of %d claims at once, with %d locks: too few to prove anything", waiting, clients*calls, locks)
	case locks > table:
		t.Errorf("%d claims at once have %d locks", waiting, locks)
	}
}
