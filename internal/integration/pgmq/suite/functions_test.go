package suite_test

import (
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

// TestFunctions runs the suite on queues that PGMQ's own functions make and
// drop.
func TestFunctions(t *testing.T) {
	full(t)
	for _, source := range layouts.Sources(t) {
		t.Run(source.Name, func(t *testing.T) {
			h := harness(t, over(source, with("driver=pgx")))
			h.Known = knownOf(t, source)
			drivertest.Run(t, h)
		})
	}
}

// over opens clients on databases with PGMQ's functions.
func over(source layouts.Source, open opener) opener {
	return func(t testing.TB, dsn string) *mq.Client {
		t.Helper()
		db := pool(t, dsn)
		var installed bool
		ok(t, db.QueryRow("SELECT to_regprocedure('pgmq.create(text)') IS NOT NULL").Scan(&installed))
		if !installed {
			source.Make(t, db)
		}
		return open(t, dsn)
	}
}

// knownOf returns what cannot work on the queues of a version of PGMQ.
func knownOf(t *testing.T, source layouts.Source) map[string]string {
	t.Helper()
	db := pool(t, server.Postgres(t).Database(t))
	source.Make(t, db)
	var reads bool
	ok(t, db.QueryRow("SELECT "+lastRead).Scan(&reads))
	known := make(map[string]string)
	if !reads {
		const why = "docs/pgmq.md, Versions and layouts: without last_read_at Stats takes a nacked message for a leased one"
		known["delay/counted"], known["delay/longest"] = why, why
	}
	return known
}

// lastRead is whether messages have the column last_read_at, as since 1.10.
const lastRead = `EXISTS (SELECT FROM pg_attribute
	WHERE attrelid = (SELECT typrelid FROM pg_type WHERE oid = 'pgmq.message_record'::regtype) AND attname = 'last_read_at')`
