package layouts

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestFunctions checks that the stand-in does what PGMQ does.
func TestFunctions(t *testing.T) {
	for _, source := range Sources(t) {
		t.Run(source.Name, func(t *testing.T) {
			db := fresh(t)
			source.Make(t, db)
			var recent bool
			err := db.QueryRow("SELECT to_regprocedure('pgmq.send_topic(text,jsonb)') IS NOT NULL").Scan(&recent)
			if err != nil {
				t.Fatal(err)
			}
			if !recent {
				t.Skip("this PGMQ is older than what the stand-in stands for")
			}
			for _, step := range steps {
				if got := answer(db, step.query); got != step.want {
					t.Errorf("%s: got %q, want %q", step.query, got, step.want)
				}
			}
		})
	}
}

// answer returns the one value of an answer, or the code of an error.
func answer(db *sql.DB, query string) string {
	var got sql.NullString
	err := db.QueryRow(query).Scan(&got)
	if native := (*pgconn.PgError)(nil); errors.As(err, &native) {
		return native.Code
	}
	if err != nil {
		return err.Error()
	}
	return got.String
}

// steps are one life of a queue.
var steps = []struct{ query, want string }{
	{"SELECT pgmq.create('Jobs')", ""},
	{"SELECT pgmq.create('Jobs')", ""},
	{"SELECT pgmq.create('a;b')", "P0001"},
	{"SELECT pgmq.create('a--b')", "P0001"},
	{"SELECT pgmq.create(repeat('x', 48))", "P0001"},
	{"SELECT string_agg(queue_name, ',') FROM pgmq.meta", "Jobs"},
	{"SELECT pgmq.send('nope', '1')", "42P01"},
	{"SELECT pgmq.send('jobs', '1', '{\"a\": \"b\"}', 0)", "1"},
	{"SELECT pgmq.send('jobs', '2')", "2"},
	{"SELECT pgmq.send('jobs', '3', NULL::jsonb, 3600)", "3"},
	{"SELECT string_agg(msg_id || ':' || message || ':' || read_ct, ',' ORDER BY msg_id) FROM pgmq.read('jobs', 3600, 5)", "1:1:1,2:2:1"},
	{"SELECT (m).queue_length || ',' || (m).queue_visible_length || ',' || (m).total_messages FROM pgmq.metrics('jobs') m", "3,0,3"},
	{"SELECT count(*) FROM pgmq.set_vt('jobs', 1, 0)", "1"},
	{"SELECT count(*) FROM pgmq.set_vt('jobs', 9, 0)", "0"},
	{"SELECT headers->>'a' || ':' || read_ct FROM pgmq.pop('jobs')", "b:1"},
	{"SELECT pgmq.bind_topic('a.*', 'nope')", "P0001"},
	{"SELECT pgmq.bind_topic('a.*', 'jobs')", "P0001"},
	{"SELECT pgmq.bind_topic('a.*', 'Jobs')", ""},
	{"SELECT pgmq.bind_topic('a.*', 'Jobs')", ""},
	{"SELECT pgmq.bind_topic('#', 'Jobs')", ""},
	{"SELECT string_agg(pattern || ' ' || compiled_regex, ',' ORDER BY pattern) FROM pgmq.topic_bindings", `# ^.*$,a.* ^a\.[^.]+$`},
	{"SELECT pgmq.send_topic('a.b', '4')", "1"},
	{"SELECT pgmq.unbind_topic('#', 'Jobs')", "true"},
	{"SELECT pgmq.unbind_topic('#', 'Jobs')", "false"},
	{"SELECT pgmq.send_topic('a', '5')", "0"},
	{"SELECT string_agg(queue_name || msg_id, ',' ORDER BY msg_id) FROM pgmq.send_batch_topic('a.b', ARRAY['5', '6']::jsonb[])", "Jobs5,Jobs6"},
	{"SELECT pgmq.archive('jobs', 2)", "true"},
	{"SELECT pgmq.archive('jobs', 2)", "false"},
	{"SELECT pgmq.delete('jobs', 3)", "true"},
	{"SELECT pgmq.delete('jobs', 3)", "false"},
	{"SELECT count(*) FROM pgmq.a_jobs", "1"},
	{"SELECT pgmq.enable_notify_insert('Jobs', -1)", "P0001"},
	{"SELECT pgmq.enable_notify_insert('nope')", "P0001"},
	{"SELECT pgmq.enable_notify_insert('jobs')", "23503"},
	{"SELECT pgmq.enable_notify_insert('Jobs', 9)", ""},
	{"SELECT pgmq.enable_notify_insert('Jobs')", ""},
	{"SELECT queue_name || throttle_interval_ms FROM pgmq.notify_insert_throttle", "Jobs250"},
	{"SELECT tgdeferrable || ',' || tginitdeferred || ',' || tgtype FROM pg_trigger WHERE tgrelid = 'pgmq.q_jobs'::regclass", "true,false,5"},
	{"SELECT pgmq.drop_queue('Jobs')", "true"},
	{"SELECT pgmq.drop_queue('Jobs')", "false"},
	{"SELECT count(*) FROM pgmq.meta", "0"},
}

// TestCreate checks that the layouts are those that PGMQ's functions make.
func TestCreate(t *testing.T) {
	made := make(map[string]string)
	for _, l := range All {
		if l.Name == "1.13" { // which the stand-in makes
			continue
		}
		db := fresh(t)
		l.Make(t, db)
		made[answer(db, tables)] = l.Name
	}
	for _, source := range Sources(t) {
		t.Run(source.Name, func(t *testing.T) {
			db := fresh(t)
			source.Make(t, db)
			if code := answer(db, "SELECT pgmq.create('jobs')"); code != "" {
				t.Fatal(code)
			}
			if is := answer(db, tables); made[is] == "" {
				t.Errorf("no layout is like\n%s", is)
			}
		})
	}
}

// tables describes the columns and indexes of a queue and its archive.
const tables = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
	SELECT concat_ws(' ', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
		(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)) AS line
	FROM pg_attribute WHERE attrelid IN ('pgmq.q_jobs'::regclass, 'pgmq.a_jobs'::regclass) AND attnum > 0
	UNION ALL
	SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN ('pgmq.q_jobs'::regclass, 'pgmq.a_jobs'::regclass)
) l`
