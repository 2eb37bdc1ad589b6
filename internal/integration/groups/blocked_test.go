package groups

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
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
	c := borrow(t, rewritten(t, dsn, func(text string) string {
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
			q, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{GroupIndexes: []mq.GroupBy{{}}, NotifyInterval: -1})
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
				ds, err := q.ReceiveGroups(t.Context(), mq.GroupBy{}, mq.ReceiveOptions{Max: 10, Visibility: time.Hour, Wait: 5 * time.Minute})
				if err != nil || len(ds) != 1 || ds[0].GroupKey != want {
					t.Errorf("it receives %d heads, want that of group %q: %v", len(ds), want, err)
				}
				if n := statements.Load(); n > 80 {
					t.Errorf("group %q takes %d statements", want, n)
				}
			}
			ds, err := q.ReceiveGroups(t.Context(), mq.GroupBy{}, mq.ReceiveOptions{Max: 10})
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
	q, err := open(t, dsn, "pool_max_conns=20").EnsureQueue(t.Context(), "many", mq.QueueOptions{GroupIndexes: []mq.GroupBy{{}}, NotifyInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO pgmq.q_many (vt, message, headers) SELECT now(), '1', jsonb_build_object('x-pgmq-group', i::text) FROM generate_series(1, 3000) i`, "ANALYZE pgmq.q_many")
	exec(t, db, `CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		IF (SELECT count(*) FROM pg_locks WHERE locktype = ''advisory'' AND pid = pg_backend_pid()) > 128 THEN RAISE EXCEPTION ''locks''; END IF; RETURN NULL; END'`,
		"CREATE TRIGGER counted AFTER UPDATE ON pgmq.q_many FOR EACH STATEMENT EXECUTE FUNCTION counted()")
	for left := 3000; left > 0; {
		ds, err := q.ReceiveGroups(t.Context(), mq.GroupBy{}, mq.ReceiveOptions{Max: 1000, Visibility: time.Hour, Wait: time.Minute})
		if err != nil || len(ds) == 0 {
			t.Fatalf("with %d left it receives %d: %v", left, len(ds), err)
		}
		left -= len(ds)
	}
}
