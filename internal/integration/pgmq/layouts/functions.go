package layouts

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Source is an installation of PGMQ's functions.
type Source struct {
	Name string
	file string // "" for the stand-in
}

// StandIn makes a stand-in for the functions of PGMQ 1.13.
var StandIn = Source{Name: "stand-in"}

// Make makes the functions in a database without any, and no queue.
func (s Source) Make(tb testing.TB, db *sql.DB) {
	tb.Helper()
	if s.file == "" {
		run(tb, db, "meta", "functions")
		return
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		tb.Fatal(err)
	}
	exec(tb, db, s.file, "CREATE SCHEMA IF NOT EXISTS pgmq;\n"+string(text)) // before 1.5 an extension made it
}

// Sources returns the stand-in, and what MQ_TEST_PGMQ_SQL names: the file with
// the SQL of a PGMQ release, or a folder of such files. The oldest release
// comes first, as far as the names of the files tell.
func Sources(tb testing.TB) []Source {
	tb.Helper()
	sources := []Source{StandIn}
	path := os.Getenv("MQ_TEST_PGMQ_SQL")
	if path == "" {
		return sources
	}
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		tb.Fatal(err)
	} else if info.IsDir() {
		if files, _ = filepath.Glob(filepath.Join(path, "*.sql")); len(files) == 0 {
			tb.Fatalf("MQ_TEST_PGMQ_SQL: there is no *.sql in %s", path)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	for _, f := range files {
		sources = append(sources, Source{strings.TrimSuffix(filepath.Base(f), ".sql"), f})
	}
	return sources
}

// numbers returns those of a file's name.
func numbers(file string) (ns []int) {
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(filepath.Base(file), -1) {
		n, _ := strconv.Atoi(digits)
		ns = append(ns, n)
	}
	return ns
}

// Functions makes the functions of the newest source.
func Functions(tb testing.TB, db *sql.DB) {
	tb.Helper()
	sources := Sources(tb)
	sources[len(sources)-1].Make(tb, db)
}
