package suite_test

import (
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
	"github.com/portmq/mq/mqtest/drivertest"
)

// through opens clients by way of a pooler.
func through(b *server.Bouncer, open opener) opener {
	return func(t testing.TB, dsn string) *mq.Client { return open(t, b.DSN(dsn)) }
}

// ignore lets clients make the settings of a session that the driver makes, to
// no effect. docs/pgmq.md names them.
const ignore = "ignore_startup_parameters = extra_float_digits, enable_seqscan, jit, plan_cache_mode, mq.notify, default_transaction_isolation"

// full skips a test that repeats the suite.
func full(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the full matrix runs in make test-all")
	}
}

// TestPgBouncerSession listens through the pooler, and prepares statements.
func TestPgBouncerSession(t *testing.T) {
	full(t)
	b := server.PgBouncer(t, server.Postgres(t), "session", ignore)
	drivertest.Run(t, pooled(t, through(b, with("driver=pgx"))))
}

// TestPgBouncerPrepared prepares statements through a pooler that hands each of
// them on to whichever session it takes.
func TestPgBouncerPrepared(t *testing.T) {
	full(t)
	for _, library := range []string{"pgx", "pq"} {
		t.Run(library, func(t *testing.T) {
			b := server.PreparingPgBouncer(t, server.Postgres(t), ignore)
			drivertest.Run(t, pooled(t, through(b, with("poll_only=true&driver="+library))))
		})
	}
}
