package docs

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// TestSQL runs the SQL of each page for PostgreSQL, and looks at what it is good for.
func TestSQL(t *testing.T) {
	outcomes := map[string]func(*database){
		"docs/pgmq.md":      (*database).checkPGMQ,
		"docs/migrating.md": (*database).checkMigrating,
	}
	for file, blocks := range pages(t, func(b block) bool { return b.lang == "sql" }) {
		if file == "docs/sqlite.md" {
			continue // TestSQLiteSQL
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			for _, b := range blocks {
				d.exec(strings.ReplaceAll(b.text, "TO worker;", "TO "+d.worker.Username()+";"))
			}
			check := outcomes[file]
			if check == nil {
				t.Fatal("nobody says what its SQL is good for")
			}
			check(d)
		})
	}
}

// database is that of an administrator who follows a document.
type database struct {
	*testing.T
	conn    *pgx.Conn
	worker  *url.Userinfo
	dsn     string
	options string // of the tables that EnsureQueue makes
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	postgres := server.Postgres(t)
	d := &database{T: t, worker: postgres.Role(t), dsn: postgres.Database(t)}
	var err error
	if d.conn, err = pgx.Connect(t.Context(), d.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.conn.Close(context.WithoutCancel(t.Context())) })
	c := d.open(d.dsn)
	for _, name := range []string{"orders", "jobs"} {
		if _, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// A queue that others made, and a table of jobs.
	d.options = d.settings("pgmq.q_orders")
	d.exec(`ALTER TABLE pgmq.q_orders RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
			autovacuum_analyze_scale_factor, autovacuum_vacuum_cost_delay);
		CREATE TEMP TABLE jobs (id bigserial, payload jsonb, state text, run_at timestamptz);
		INSERT INTO jobs (payload, state, run_at) VALUES
			('{"n": 1}', 'new', now()), ('{"n": 2}', 'done', now()), ('{"n": 3}', 'new', now() + interval '1 hour')`)
	return d
}

func (d *database) open(postgres string) *mq.Client {
	d.Helper()
	c, err := mq.Open("pgmq" + strings.TrimPrefix(postgres, "postgres"))
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = c.Close() })
	return c
}

func (d *database) exec(sql string) {
	d.Helper()
	if _, err := d.conn.PgConn().Exec(d.Context(), sql).ReadAll(); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

func (d *database) settings(table string) (options string) {
	d.Helper()
	err := d.conn.QueryRow(d.Context(), "SELECT coalesce(array_to_string(reloptions, ' '), '') FROM pg_class WHERE oid = $1::regclass", table).Scan(&options)
	if err != nil {
		d.Fatal(err)
	}
	return options
}

// checkPGMQ checks that a table has the settings that EnsureQueue gives it,
// that a worker may work, and that jobs have become messages.
func (d *database) checkPGMQ() {
	d.Helper()
	if got := d.settings("pgmq.q_orders"); got == "" || got != d.options {
		d.Errorf("the settings of a queue are %q, those of EnsureQueue %q", got, d.options)
	}
	dsn, err := url.Parse(d.dsn)
	if err != nil {
		d.Fatal(err)
	}
	dsn.User = d.worker
	q := d.open(dsn.String()).Queue("orders")
	for _, settle := range []func(*mq.Delivery) error{
		func(m *mq.Delivery) error { return m.Ack(d.Context()) },
		func(m *mq.Delivery) error { return m.Nack(d.Context(), 0) },
		func(m *mq.Delivery) error { return m.Archive(d.Context(), "declined") },
	} {
		if _, err := q.Send(d.Context(), &mq.Message{Body: []byte("1")}); err != nil {
			d.Fatal(err)
		}
		ds, err := q.Receive(d.Context(), mq.ReceiveOptions{Wait: time.Minute})
		if err == nil {
			err = settle(ds[0])
		}
		if err != nil {
			d.Error(err)
		}
	}
	d.checkJobs(3, 0)
}

// checkMigrating checks that the jobs that wait have become messages.
func (d *database) checkMigrating() { d.checkJobs(1, 1) }

func (d *database) checkJobs(visible, delayed int64) {
	d.Helper()
	s, err := d.open(d.dsn).Queue("jobs").Stats(d.Context())
	if err != nil || s.Visible != visible || s.Delayed != delayed {
		d.Errorf("of the jobs %d are visible and %d are delayed, %v", s.Visible, s.Delayed, err)
	}
}
