package linear

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// rewritten are PGMQ's statements with a part that is left out or wrong.
var rewritten = map[string]struct{ of, old, new string }{
	"claims lock nothing":           {"read_ct = least(", "FOR UPDATE SKIP LOCKED", ""},
	"claims count nothing":          {"read_ct = least(", "read_ct = least(q.read_ct, 2147483646) + 1", "read_ct = greatest(q.read_ct, 1)"},
	"acks go by id":                 {"DELETE FROM", "AND read_ct = $2::int", "AND read_ct > $2::int - 1000"},
	"settlements go by id":          {"op, delay, reason", "l.read_ct = s.reads", "true"},
	"extensions go by id":           {"$4::bigint", "l.read_ct = s.reads", "true"},
	"extensions revive what is due": {"$4::bigint", "ok AND alive", "ok"},
}

// TestPGMQMutants: statements that are not right are found on a server, where nothing
// but the timing makes them differ.
func TestPGMQMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("the full matrix: that the test can fail")
	}
	c := server.Postgres(t)
	for name, r := range rewritten {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changed atomic.Bool
			q := rewriting(t, c.Database(t), func(text string) string {
				if !strings.Contains(text, r.of) || !strings.Contains(text, r.old) {
					return text
				}
				changed.Store(true)
				return strings.ReplaceAll(text, r.old, r.new)
			})
			w := Workload{Clients: 6, Steps: 8, Messages: 4, Leeway: pgmqLeeway}
			for w.Seed = range uint64(300) {
				w.Ends = w.Seed%2 == 1
				checks.OK(t, q.Client().DropQueue(t.Context(), q.Name()))
				q = ensuredQueue(t, q.Client(), 1)
				h := must(t, w, q.Client().Caps(), provided(q))
				if r := h.Check(patience); r.Fault != "" {
					t.Logf("found in history %d:\n%s", w.Seed+1, r.Fault)
					return
				}
			}
			t.Errorf("not found, the statement was changed: %v", changed.Load())
		})
	}
}

// rewriting returns a queue with whose statements rewrite does as it likes.
func rewriting(t testing.TB, dsn string, rewrite func(string) string) *mq.Queue {
	t.Helper()
	db := checks.Rewriting(t, dsn, rewrite)
	c := mq.New(pgmq.FromDB(db, pgmq.Config{Logger: checks.Quiet.Logger}), checks.Quiet)
	t.Cleanup(func() { _ = c.Close() })
	return ensuredQueue(t, c, 1)
}
