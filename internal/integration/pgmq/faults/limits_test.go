package faults

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// TestTimeouts: a statement that the server gives up is an error that says so,
// and has no effect.
func TestTimeouts(t *testing.T) {
	b := newBase(t)
	admin := b.client()
	n := new(atomic.Int32)
	for setting, says := range map[string]string{"statement_timeout": "57014", "lock_timeout": "55P03"} {
		t.Run(setting, func(t *testing.T) {
			eachLibrary(t, func(t *testing.T, library string) {
				c := b.of(t).client("driver="+library, "options=-c%20"+setting+"=50")
				every(t, func(t *testing.T, op operation) {
					t.Parallel()
					b := b.of(t)
					q := b.stage(admin, fmt.Sprintf("q%d", n.Add(1)))
					before := b.picture(q)
					tx := b.block(blocks[0], q.Name())
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					err := op.run(ctx, b, c.Queue(q.Name()))
					if err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("%v, want SQLSTATE %s", err, says)
					}
					b.ok(tx.Rollback())
					if after := b.picture(q); after != before {
						t.Errorf("%s, before it %s", after, before)
					}
				})
			})
		})
	}
}

// settings are those of a role or a database that must not matter.
var settings = []string{
	"standard_conforming_strings=off",
	"search_path=nowhere",
	"timezone=Asia/Kathmandu",
	"datestyle=SQL,%20DMY",
	"intervalstyle=iso_8601",
	"extra_float_digits=0",
	"bytea_output=escape",
	"quote_all_identifiers=on",
	"plan_cache_mode=force_generic_plan",
	"plan_cache_mode=force_custom_plan",
	"enable_indexscan=off",
	"row_security=off",
	"default_transaction_isolation=serializable",
	"default_transaction_deferrable=on",
	"synchronous_commit=off",
	"client_min_messages=debug5",
	"session_replication_role=replica",
}

// TestSettings: the driver works whatever the sessions are set to.
func TestSettings(t *testing.T) {
	b := newBase(t)
	b.queue(b.client(), "target")
	for i, setting := range settings {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, library string) {
				b := b.of(t)
				c := b.client("driver="+library, "options="+strings.ReplaceAll("-c "+strings.ReplaceAll(setting, "%20", `\ `), " ", "%20"))
				q := b.stage(c, fmt.Sprintf("%s_%d", library, i))
				for _, op := range operations {
					b.ok(stale(op.run(t.Context(), b, q)))
				}
				q = b.queue(c, fmt.Sprintf("%s_%d_cycle", library, i))
				b.cycle(q)
			})
		})
	}
}

// TestSerializable: sixteen at once under the strictest isolation, which the
// database makes the default. Nothing is lost, nothing comes twice.
func TestSerializable(t *testing.T) {
	b := newBase(t)
	b.exec("DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END$$")
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.client("driver="+library, "pool_max_conns=8")
		q := b.queue(c, library)
		b.drainTogether(q, 200)
	})
}

// TestIdleTimeout: the server ends sessions that do nothing, the one that
// listens as well.
func TestIdleTimeout(t *testing.T) {
	b := newBase(t)
	if _, err := b.db.Exec("SET idle_session_timeout = 0"); err != nil {
		t.Skipf("idle_session_timeout is of PostgreSQL 14: %v", err)
	}
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.client("driver="+library, "application_name="+library, "options=-c%20idle_session_timeout=300")
		b.queue(b.client(), library)
		q := c.Queue(library)
		got := b.waiting(q)
		for range 3 {
			b.listens(1)
			b.replaced(library)
			b.eventually("it can send", func() bool { // a busy client is idle as well
				_, err := q.Send(t.Context(), message())
				if err != nil && !outage(err) {
					t.Error(err)
				}
				return err == nil
			})
			arrives(b, got)
			b.execf("INSERT INTO pgmq.q_%s (vt, message) VALUES (now(), '1')", library)
			arrives(b, got)
		}
	})
}

// replaced waits until the sessions that a client has now have ended.
func (b *base) replaced(name string) {
	b.Helper()
	now := value[time.Time](b, "SELECT clock_timestamp()")
	b.eventually("the sessions end", func() bool { return b.sessions("application_name = $1 AND backend_start < $2", name, now) == 0 })
}

// TestNotIdleInTransaction: no call leaves a transaction open.
func TestNotIdleInTransaction(t *testing.T) {
	b := newBase(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		c := b.client("driver="+library, "application_name="+library)
		q := b.stage(c, library)
		for _, op := range operations {
			b.ok(stale(op.run(t.Context(), b, q)))
			b.eventually("no transaction is open after "+op.name, func() bool {
				return b.sessions("application_name = $1 AND state LIKE 'idle in transaction%'", library) == 0
			})
		}
	})
}

// TestClaimBytes: one receive does not lease more than gets through in time,
// however many messages it asks for, and takes a message that is larger than
// that.
func TestClaimBytes(t *testing.T) {
	b := newBase(t)
	q := b.queue(b.client(), "jobs")
	large := func(size int) {
		body := make([]byte, size/2)
		_, _ = rand.Read(body)
		_, err := q.Send(t.Context(), &mq.Message{Body: fmt.Appendf(nil, "%q", hex.EncodeToString(body))})
		b.ok(err)
	}
	for range 10 {
		large(4 << 20)
	}
	large(32 << 20)
	for left := 11; left > 0; {
		ds := b.take(q, 1000)
		total := 0
		for _, d := range ds {
			total += len(d.Body)
		}
		if len(ds) == 0 || len(ds) > 1 && total > 40<<20 { // of which 8 MiB are bound, and compressed to half
			t.Fatalf("it receives %d messages of %d MiB, %d are left", len(ds), total>>20, left)
		}
		left -= len(ds)
	}
}
