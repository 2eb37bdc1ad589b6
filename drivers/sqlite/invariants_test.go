package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"
)

// invariants are queries that find nothing in a file that is in order.
var invariants = map[string]string{
	"integrity": `SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'`,
	"total":     `SELECT name, total FROM mq_queue q WHERE total <> (SELECT count(*) FROM mq_message WHERE queue = q.id)`,
	"archived":  `SELECT name, archived FROM mq_queue q WHERE archived <> (SELECT count(*) FROM mq_archive WHERE queue = q.id)`,
	"sent":      `SELECT m.id, q.sent FROM mq_message m JOIN mq_queue q ON q.id = m.queue WHERE m.id >> 40 <> q.id OR m.id & 0xffffffffff > q.sent`,
	"orphans":   `SELECT id FROM mq_message WHERE queue NOT IN (SELECT id FROM mq_queue) UNION ALL SELECT id FROM mq_archive WHERE queue NOT IN (SELECT id FROM mq_queue)`,
	"bindings":  `SELECT queue, pattern FROM mq_binding WHERE queue NOT IN (SELECT id FROM mq_queue)`,
	"operate":   `SELECT queue FROM mq_pause WHERE queue NOT IN (SELECT id FROM mq_queue) UNION ALL SELECT queue FROM mq_consumer WHERE queue NOT IN (SELECT id FROM mq_queue)`,
	"bodies":    `SELECT id FROM mq_body WHERE id NOT IN (SELECT id FROM mq_message WHERE body IS NULL UNION ALL SELECT id FROM mq_archive WHERE body IS NULL)`,
	"no body":   `SELECT id FROM mq_message WHERE body IS NULL AND id NOT IN (SELECT id FROM mq_body)`,
	"hidden": `SELECT queue, b, sum(leased), sum(delayed) FROM (
		SELECT queue, bucket AS b, leased, delayed FROM mq_hidden
		UNION ALL SELECT queue, due >> 24, -(lease <> 0), (lease <> 0) - 1 FROM mq_message)
		WHERE b > (unixepoch() * 1000000 >> 24) + 1 GROUP BY queue, b HAVING sum(leased) <> 0 OR sum(delayed) <> 0`,
	"members": `SELECT g.id, m.id FROM mq_grouping g JOIN mq_message m ON m.queue = g.queue
		WHERE g.filled >= g.upto AND NOT EXISTS (SELECT 1 FROM mq_member WHERE grouping = g.id AND id = m.id)`,
	"strangers": `SELECT grouping, id FROM mq_member WHERE id NOT IN (SELECT id FROM mq_message)
		UNION ALL SELECT grouping, key FROM mq_group WHERE grouping NOT IN (SELECT id FROM mq_grouping)`,
	"until": `SELECT b.id, b.until FROM mq_member b JOIN mq_message m ON m.id = b.id WHERE b.until IS NOT iif(m.lease <> 0, m.due, NULL)`,
	"due": `SELECT b.id, b.due FROM mq_member b JOIN mq_message m ON m.id = b.id JOIN mq_grouping g ON g.id = b.grouping
		WHERE b.due IS NOT iif(g.at_once > 1, m.due, NULL)`,
	"groups": `SELECT g.grouping, g.key, g.head, g.free FROM mq_group g JOIN mq_grouping x ON x.id = g.grouping AND x.at_once = 1 WHERE (head, free) IS NOT (
		SELECT m.id, max(m.due, coalesce((SELECT max(until) FROM mq_member WHERE grouping = g.grouping AND key = g.key), 0))
		FROM mq_message m WHERE m.id = (SELECT min(id) FROM mq_member WHERE grouping = g.grouping AND key = g.key))`,
	"limited groups": `SELECT g.grouping, g.key, g.head, g.free FROM mq_group g JOIN mq_grouping x ON x.id = g.grouping AND x.at_once > 1 WHERE (head, free) IS NOT (
		SELECT id, max(due, coalesce((
			SELECT until FROM (
				SELECT until, row_number() OVER (ORDER BY until DESC) AS nth
				FROM mq_member WHERE grouping = g.grouping AND key = g.key AND until IS NOT NULL
			) WHERE nth = x.at_once), 0))
		FROM mq_member WHERE grouping = g.grouping AND key = g.key ORDER BY due, id LIMIT 1)`,
	"groupless": `SELECT grouping, key FROM mq_member EXCEPT SELECT grouping, key FROM mq_group`,
}

// inOrder checks the invariants of a file.
func inOrder(t testing.TB, path string) {
	t.Helper()
	db := openDB(t, path)
	if len(all(t, db, "SELECT 1 FROM sqlite_schema WHERE name = 'mq_schema'")) == 0 {
		return // no call has come through
	}
	for name, text := range invariants {
		if found := all(t, db, text); len(found) > 0 {
			t.Errorf("%s: %d rows, the first is %v", name, len(found), found[0])
		}
	}
}

// openDB opens a file as a program does.
func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// all returns the rows of a query.
func all(t testing.TB, db *sql.DB, text string, args ...any) (found [][]any) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), text, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range dest {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		found = append(found, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// run runs a statement.
func run(t testing.TB, db *sql.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), text, args...); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
