package groups

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
)

var quiet = checks.Quiet

// open returns a client with a pool of its own.
func open(t testing.TB, dsn, params string) *mq.Client {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "pgmq"
	u.RawQuery += "&" + params
	c, err := mq.OpenConfig(u.String(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// borrow returns a client on a pool.
func borrow(t testing.TB, db *sql.DB) *mq.Client {
	t.Helper()
	c := mq.New(pgmq.FromDB(db, pgmq.Config{}), quiet)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func pool(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db := checks.DB(t, "pgx", dsn)
	db.SetMaxIdleConns(20)
	return db
}

// chooses and claims tell the two statements of a claim.
func chooses(text string) bool { return strings.Contains(text, "pg_try_advisory_xact_lock") }
func claims(text string) bool  { return strings.Contains(text, "current_setting('mq.groups'") }

func exec(t testing.TB, db *sql.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		checks.Exec(t, db, text)
	}
}
