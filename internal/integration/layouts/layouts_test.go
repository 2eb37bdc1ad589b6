package layouts

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq/internal/integration/server"
)

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// fresh returns an empty database.
func fresh(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", server.Postgres(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestAll(t *testing.T) {
	for _, l := range All {
		t.Run(l.Name, func(t *testing.T) {
			db := fresh(t)
			l.Make(t, db)
			var queue, archive, headers bool
			err := db.QueryRow(`SELECT to_regclass('pgmq.q_jobs') IS NOT NULL, to_regclass('pgmq.a_jobs') IS NOT NULL,
				EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'pgmq.q_jobs'::regclass AND attname = 'headers')`).Scan(&queue, &archive, &headers)
			if err != nil || !queue || !archive || headers != l.Headers {
				t.Errorf("queue %v, archive %v, headers %v, error %v", queue, archive, headers, err)
			}
		})
	}
}

// TestFunctions checks that the stand-in does what is known of PGMQ.
func TestFunctions(t *testing.T) {
	db := fresh(t)
	Functions(t, db)
	for _, step := range []struct{ query, want string }{
		{"SELECT pgmq.create('Jobs')", ""},
		{"SELECT pgmq.create('Jobs')", ""},
		{"SELECT string_agg(queue_name, ',') FROM pgmq.meta", "Jobs"},
		{"SELECT pgmq.send('jobs', '1', '{\"a\": \"b\"}', 0)", "1"},
		{"SELECT pgmq.send('jobs', '2')", "2"},
		{"SELECT pgmq.send('jobs', '3', NULL, 3600)", "3"},
		{"SELECT string_agg(msg_id || ':' || message || ':' || read_ct, ',' ORDER BY msg_id) FROM pgmq.read('jobs', 3600, 5)", "1:1:1,2:2:1"},
		{"SELECT (m).queue_length || ',' || (m).queue_visible_length || ',' || (m).total_messages FROM pgmq.metrics('jobs') m", "3,0,3"},
		{"SELECT count(*) FROM pgmq.set_vt('jobs', 1, 0)", "1"},
		{"SELECT headers->>'a' || ':' || read_ct FROM pgmq.pop('jobs')", "b:1"},
		{"SELECT pgmq.archive('jobs', 2)", "true"},
		{"SELECT pgmq.archive('jobs', 2)", "false"},
		{"SELECT pgmq.delete('jobs', 3)", "true"},
		{"SELECT pgmq.delete('jobs', 3)", "false"},
		{"SELECT count(*) FROM pgmq.a_jobs", "1"},
		{"SELECT pgmq.enable_notify_insert('Jobs')", ""},
		{"SELECT throttle_interval_ms FROM pgmq.notify_insert_throttle", "250"},
		{"SELECT pgmq.drop_queue('Jobs')", "true"},
		{"SELECT pgmq.drop_queue('Jobs')", "false"},
		{"SELECT count(*) FROM pgmq.meta", "0"},
	} {
		var got sql.NullString
		if err := db.QueryRow(step.query).Scan(&got); err != nil || got.String != step.want {
			t.Errorf("%s: got %q, want %q, error %v", step.query, got.String, step.want, err)
		}
	}
}
