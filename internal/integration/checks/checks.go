// Package checks has what tests of all packages with servers need: checks that
// end a test, conditions that come true in time, and SQL beside the library's.
package checks

import (
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // for DB

	"github.com/portmq/mq"
)

// Patience is how long a test waits for what must come. A machine may be slow.
const Patience = time.Minute

// Quiet is for clients whose connections are meant to break: it does not log.
var Quiet = mq.Config{Logger: slog.New(slog.DiscardHandler)}

// Must returns a function so that it takes what a call returns.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		OK(tb, err)
		return v
	}
}

// OK ends the test if there is an error.
func OK(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Error fails the test if an error is not the wanted one.
func Error(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("got error %v, want %v", err, want)
	}
}

// Eventually waits for a condition, for three times Patience: only a failing
// test waits so long.
func Eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	pause := time.Millisecond
	for end := time.Now().Add(3 * Patience); !met(); time.Sleep(pause) {
		pause = min(2*pause, 50*time.Millisecond)
		if time.Now().After(end) {
			tb.Fatalf("%s: not within %v", what, 3*Patience)
		}
	}
}

// DB opens a database for the time of a test.
func DB(tb testing.TB, library, dsn string) *sql.DB {
	tb.Helper()
	db := Must(sql.Open(library, dsn))(tb)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs SQL.
func Exec(tb testing.TB, db *sql.DB, query string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

// Value returns what a query of one value answers.
func Value[T any](tb testing.TB, db *sql.DB, query string, args ...any) (v T) {
	tb.Helper()
	if err := db.QueryRowContext(tb.Context(), query, args...).Scan(&v); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return v
}
