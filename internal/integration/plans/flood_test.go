package plans

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

// TestFloodedBorrowed: a session of the caller's keeps the plan that it made
// for an empty queue, which reads all of it when it is flooded. That does not
// last.
func TestFloodedBorrowed(t *testing.T) {
	t.Parallel()
	flooded(t, borrowed, driver.QueueOptions{}, func(ctx context.Context, p *pgmq.Provider) error {
		_, err := p.Receive(ctx, "jobs", driver.ReceiveRequest{Max: 1, Visibility: time.Hour})
		return err
	})
}

// TestFloodedGroups: nor does it for group receivers, on any session.
func TestFloodedGroups(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opener{"borrowed": borrowed, "own": ours} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flooded(t, open, driver.QueueOptions{GroupIndexes: []driver.GroupBy{{}}}, func(ctx context.Context, p *pgmq.Provider) error {
				_, err := p.ReceiveGroups(ctx, "jobs", driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: 1, Visibility: time.Hour}})
				return err
			})
		})
	}
}

// opener opens a provider with one connection.
type opener func(t *testing.T, dsn string) *pgmq.Provider

func borrowed(t *testing.T, dsn string) *pgmq.Provider {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return pgmq.FromDB(db)
}

func ours(t *testing.T, dsn string) *pgmq.Provider {
	t.Helper()
	_, rest, _ := strings.Cut(dsn, "://")
	c, err := mq.OpenConfig("pgmq://"+rest+"&pool_max_conns=1", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c.Provider().(*pgmq.Provider)
}

// flooded claims from a queue that was emptied, fills it, and waits until
// claims are fast again.
func flooded(t *testing.T, open opener, o driver.QueueOptions, claim func(context.Context, *pgmq.Provider) error) {
	t.Helper()
	dsn := server.Postgres(t).Database(t)
	record(t, dsn, "jobs", nil, o)
	admin := newSession(t, dsn)
	admin.run("ALTER TABLE pgmq.q_QUEUE SET (autovacuum_enabled = off);"+fillGroups(20_000, 100, "-100")+analyze+"DELETE FROM pgmq.q_QUEUE;"+analyze, "jobs")
	p := open(t, dsn)
	t.Cleanup(func() { _ = p.Close() })
	took := func() time.Duration {
		start := time.Now()
		if err := claim(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	for range 10 {
		took()
	}
	admin.run(fillGroups(3*flood, 30_000, "-100"), "jobs")
	slow := took()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		fast := min(took(), took(), took())
		if fast < 20*time.Millisecond {
			t.Logf("a claim took %v at first, and %v then", slow, fast)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a claim takes %v, and %v at first", fast, slow)
		}
	}
}
