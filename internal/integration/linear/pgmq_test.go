package linear

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// pgmqDSN returns the DSN of a database for mq.
func pgmqDSN(t testing.TB, dsn, params string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	checks.OK(t, err)
	u.Scheme = "pgmq"
	u.RawQuery += "&" + params
	return u.String()
}

var ways = map[string]func(*mq.Queue) Target{"through mq": Queue, "without mq": provided}

var pgmqLeeway = Leeway{Skips: true}

// TestPGMQ: the clients use one library each.
func TestPGMQ(t *testing.T) {
	c := server.Postgres(t)
	for name, w := range workloads {
		w.Leeway = pgmqLeeway
		for how, way := range ways {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				w := w
				dsn := c.Database(t)
				a, b := openClient(t, pgmqDSN(t, dsn, "driver=pgx")), openClient(t, pgmqDSN(t, dsn, "driver=pq"))
				(&several{TB: t, n: 150}).each(func(seed uint64) *History {
					w.Seed = seed
					q := ensuredQueue(t, a, seed)
					defer dropped(t, q)
					return must(t, w, a.Caps(), way(q), way(b.Queue(q.Name())))
				})
			})
		}
	}
}

// dropped drops a queue, so that a database does not fill.
func dropped(t testing.TB, q *mq.Queue) {
	t.Helper()
	checks.OK(t, q.Client().DropQueue(context.WithoutCancel(t.Context()), q.Name()))
}

// TestPGMQLost: connections are cut, sessions are killed and contexts end, at random.
func TestPGMQLost(t *testing.T) {
	c := server.Postgres(t)
	for name, w := range workloads {
		w.Leeway, w.Cut, w.Within = pgmqLeeway, 0.1, 10*time.Millisecond
		for how, way := range ways {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				w := w
				dsn := c.Database(t)
				db := checks.DB(t, "pgx", dsn)
				p, cut := server.NewProxy(t, dsn)
				calm := openClient(t, pgmqDSN(t, dsn, "driver=pgx"))
				a, b := openClient(t, pgmqDSN(t, cut, "driver=pgx")), openClient(t, pgmqDSN(t, dsn, "driver=pq&application_name=victim"))
				(&several{TB: t, n: 150, lossy: true}).each(func(seed uint64) *History {
					w.Seed = seed
					q := ensuredQueue(t, calm, seed)
					defer dropped(t, q)
					defer disturb(t, seed, p.Cut, func() { kill(t, db, "victim") })()
					return must(t, w, calm.Caps(), way(a.Queue(q.Name())), way(b.Queue(q.Name())), way(q))
				})
			})
		}
	}
}

// kill ends the sessions of a name.
func kill(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	_, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", name)
	if err != nil {
		t.Error(err)
	}
}

// disturb does one of some things now and then, three times at most, until stop is called:
// the more calls are open, the longer is the search.
func disturb(t testing.TB, seed uint64, things ...func()) (stop func()) {
	t.Helper()
	r, end := rand.New(rand.NewPCG(seed, 97)), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for range 3 {
			select {
			case <-end:
				return
			case <-time.After(time.Duration(r.IntN(int(60 * time.Millisecond)))):
				things[r.IntN(len(things))]()
			}
		}
	})
	return func() { close(end); running.Wait() }
}
