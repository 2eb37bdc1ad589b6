// Package layouts makes queues as versions of PGMQ and its clients have made
// them. The SQL is our own; names, columns and meanings are theirs.
package layouts

import (
	"database/sql"
	"embed"
	"testing"
)

//go:embed *.sql
var files embed.FS

// Queue is the queue that a layout makes, with an archive.
const Queue = "jobs"

// Layout is one form of a queue.
type Layout struct {
	Name    string
	Headers bool // messages may have headers
	files   []string
}

// All are the layouts that are in use.
var All = []Layout{
	{"1.4", false, []string{"meta", "1.4"}},
	{"1.5", true, []string{"meta", "1.4", "1.5"}},
	{"1.10", true, []string{"meta", "1.10"}},
	{"1.10-upgraded", true, []string{"meta", "1.4", "1.5", "1.10-upgrade"}},
	{"1.13", true, []string{"meta", "functions", "1.13"}},
	{"unlogged", true, []string{"meta", "1.10", "unlogged"}},
	{"partitioned", true, []string{"meta", "partitioned"}},
	{"pgmq-ts", false, []string{"pgmq-ts"}},
}

// Make makes the queue in a database without one.
func (l Layout) Make(tb testing.TB, db *sql.DB) {
	tb.Helper()
	run(tb, db, l.files...)
}

func run(tb testing.TB, db *sql.DB, names ...string) {
	tb.Helper()
	for _, name := range names {
		text, err := files.ReadFile(name + ".sql")
		if err != nil {
			tb.Fatal(err)
		}
		exec(tb, db, name+".sql", string(text))
	}
}

func exec(tb testing.TB, db *sql.DB, name, text string) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), text); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
}
