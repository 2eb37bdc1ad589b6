package plans

import (
	"context"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/server"
)

// claimed is how group receivers or others claim, and the statement of it that
// is trapped.
type claimed struct {
	queue     pgmq.QueueOptions
	ops       []operation
	statement string
	claim     func(context.Context, *pgmq.Provider) error
}

var plain = claimed{pgmq.QueueOptions{}, hot, "claim", func(ctx context.Context, p *pgmq.Provider) error {
	_, err := p.Receive(ctx, "jobs", driver.ReceiveRequest{Max: 1, Visibility: time.Hour})
	return err
}}

var byGroup = claimed{pgmq.QueueOptions{GroupIndexes: []driver.GroupBy{{}}}, grouped, "claim groups", func(ctx context.Context, p *pgmq.Provider) error {
	_, err := p.ReceiveHeads(ctx, "jobs", driver.GroupRequest{ReceiveRequest: driver.ReceiveRequest{Max: 1, Visibility: time.Hour}})
	return err
}}

// TestFlooded: a session keeps the plan that it made for an empty queue, which
// reads all of it when it is flooded. On a caller's session the driver does not
// let that last; that our own have no such plans is for TestGroupPlans. A session
// forgets its plans when others change much at once, so that the server is the
// test's own.
func TestFlooded(t *testing.T) {
	c := server.OwnPostgres(t)
	for name, test := range map[string]struct {
		claimed
		open opener
		rows int // so many that any machine takes long to read them
	}{
		"borrowed":            {plain, borrowed, 300_000},
		"borrowed, by groups": {byGroup, borrowed, 100_000}, // reads them several times
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := c.Database(t)
			all := record(t, dsn, "jobs", test.ops, test.queue)
			admin := newSession(t, dsn)
			admin.run(fillGroups(20_000, 100, "-100")+analyze+"DELETE FROM pgmq.q_QUEUE;"+analyze, "jobs")
			p := test.open(t, dsn)
			t.Cleanup(func() { _ = p.Close() })
			for range 10 {
				if err := test.claim(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			untended := newSession(t, dsn)
			untended.prepare(map[string]statement{test.statement: all[test.statement]})
			admin.run(fillGroups(test.rows, 30_000, "-100"), "jobs")
			if c := untended.explain(test.statement, all[test.statement]).cost("jobs"); c.rows < 3*most(test.statement).rows { // by groups it may not be all
				t.Errorf("without the driver a claim touches %d rows only, which proves nothing", c.rows)
			}
			admin.claimsCheaply(func() error { return test.claim(t.Context(), p) })
		})
	}
}

// opener opens a provider with one connection.
type opener func(t *testing.T, dsn string) *pgmq.Provider

func borrowed(t *testing.T, dsn string) *pgmq.Provider {
	t.Helper()
	db := checks.DB(t, "pgx", dsn)
	db.SetMaxOpenConns(1)
	return pgmq.FromDB(db, pgmq.Config{})
}

// claimsCheaply claims from queue jobs until that touches few rows. What the
// session tells first may have been before the flood, so that it must be few
// twice in a row.
func (s *session) claimsCheaply(claim func() error) {
	s.Helper()
	few, cheap := int64(most("choose groups").rows), 0
	for deadline := time.Now().Add(5 * time.Minute); cheap < 2; {
		cheap++
		rows := s.touchedBy(claim)
		if rows >= few {
			cheap = 0
		}
		if time.Now().After(deadline) {
			s.Fatalf("claims still touch %d rows", rows)
		}
	}
}

// touchedBy claims until the session tells of it, and returns how many rows
// that touched.
func (s *session) touchedBy(claim func() error) (rows int64) {
	s.Helper()
	scans, before := s.touched()
	for now := scans; now < scans+2; now, rows = s.touched() {
		if err := claim(); err != nil {
			s.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // it tells every second
	}
	return rows - before
}

// touched returns how often queue jobs was read, and how many rows that touched,
// as far as sessions have told.
func (s *session) touched() (scans, rows int64) {
	s.Helper()
	err := s.conn.QueryRow(s.Context(), `SELECT seq_scan + coalesce(idx_scan, 0), seq_tup_read + coalesce(idx_tup_fetch, 0)
		FROM pg_stat_user_tables WHERE relname = 'q_jobs'`).Scan(&scans, &rows)
	if err != nil {
		s.Fatal(err)
	}
	return scans, rows
}
