package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	"github.com/portmq/mq/internal/integration/server"
)

// backend is a server, and what it says of itself.
type backend interface {
	fmt.Stringer
	dsn() string
	// look adds the server's figures to a sample.
	look(context.Context, *sample) error
	// hold holds a snapshot until the backend is closed.
	hold(context.Context) error
	close(context.Context) error
}

var backends = map[string]func(context.Context) (backend, error){
	"mem":      func(context.Context) (backend, error) { return memory{}, nil },
	"pgmq":     openPostgres,
	"rabbitmq": openRabbit,
}

var errNoSnapshots = errors.New("there are no snapshots to hold")

// memory has no server. It is for the tests.
type memory struct{}

func (memory) String() string                      { return "in memory" }
func (memory) dsn() string                         { return "mem://" }
func (memory) look(context.Context, *sample) error { return nil }
func (memory) hold(context.Context) error          { return errNoSnapshots }
func (memory) close(context.Context) error         { return nil }

// postgres is a database of the run's own.
type postgres struct {
	name, version string
	url           *url.URL  // of the database
	admin         *pgx.Conn // in another database
	conn          *pgx.Conn // in the run's
	holder        *pgx.Conn // of a snapshot, or nil

	wal  float64 // bytes so far, at the last sample
	last *sample
}

func openPostgres(ctx context.Context) (b backend, err error) {
	c, err := server.FindPostgres()
	if err != nil {
		return nil, err
	}
	p := &postgres{name: fmt.Sprintf("mq_soak_%d", os.Getpid())}
	if p.url, err = url.Parse(c.DSN(p.name)); err != nil {
		return nil, err
	}
	if p.admin, err = pgx.Connect(ctx, c.DSN("postgres")); err != nil {
		return nil, err
	}
	if _, err := p.admin.Exec(ctx, "CREATE DATABASE "+p.name); err != nil {
		return nil, errors.Join(err, p.admin.Close(ctx))
	}
	if p.conn, err = p.session(ctx); err != nil {
		return nil, errors.Join(err, bounded(ctx, p.close))
	}
	if err := p.conn.QueryRow(ctx, "SHOW server_version").Scan(&p.version); err != nil {
		return nil, errors.Join(err, bounded(ctx, p.close))
	}
	return p, nil
}

func (p *postgres) String() string {
	version, _, _ := strings.Cut(p.version, " ") // what follows is the distribution's
	return "PostgreSQL " + version
}

func (p *postgres) dsn() string {
	u := *p.url
	u.Scheme = "pgmq"
	return u.String()
}

// figures are those of one sample. Every table of mq is in the schema pgmq.
const figures = `
SELECT
	(SELECT count(*)::float8 FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'soak'),
	coalesce(sum(pg_total_relation_size(t.relid)), 0)::float8 / 1e6,
	coalesce(sum(t.n_dead_tup), 0)::float8,
	coalesce(sum(t.autovacuum_count), 0)::float8,
	pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8
FROM pg_stat_user_tables t
WHERE t.schemaname = 'pgmq'`

func (p *postgres) look(ctx context.Context, s *sample) error {
	wal, v := 0.0, &s.values
	err := p.conn.QueryRow(ctx, figures).Scan(&v[connections], &v[tableSize], &v[deadTuples], &v[vacuums], &wal)
	if err != nil {
		return err
	}
	if p.last != nil {
		v[walRate] = (wal - p.wal) / 1e6 / (s.at - p.last.at).Seconds()
	}
	p.wal, p.last = wal, s
	return nil
}

func (p *postgres) hold(ctx context.Context) (err error) {
	if p.holder, err = p.session(ctx); err != nil {
		return err
	}
	_, err = p.holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
	return err
}

// session is a connection that is not counted.
func (p *postgres) session(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(p.url.String())
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = "soak"
	return pgx.ConnectConfig(ctx, cfg)
}

func (p *postgres) close(ctx context.Context) error {
	var errs []error
	for _, c := range []*pgx.Conn{p.holder, p.conn} {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	_, err := p.admin.Exec(ctx, "DROP DATABASE "+p.name+" WITH (FORCE)")
	return errors.Join(append(errs, err, p.admin.Close(ctx))...)
}

// rabbit is a broker. The figures of its management plugin are some seconds old.
type rabbit struct {
	*server.Broker
	version string
}

func openRabbit(context.Context) (backend, error) {
	b, err := server.FindRabbitMQ()
	if err != nil {
		return nil, err
	}
	var overview struct {
		Version string `json:"rabbitmq_version"`
	}
	err = b.Get("overview", &overview)
	return rabbit{b, overview.Version}, err
}

func (b rabbit) String() string { return "RabbitMQ " + b.version }

func (b rabbit) dsn() string { return "rabbitmq" + b.DSN("/")[len("amqp"):] }

func (b rabbit) look(_ context.Context, s *sample) error {
	var overview struct {
		Objects struct{ Connections, Channels float64 } `json:"object_totals"`
		Queues  struct{ Messages float64 }              `json:"queue_totals"`
	}
	var nodes []struct {
		Memory float64 `json:"mem_used"`
	}
	if err := errors.Join(b.Get("overview", &overview), b.Get("nodes", &nodes)); err != nil {
		return err
	}
	v := &s.values
	v[connections], v[channels], v[brokerMemory] = overview.Objects.Connections, overview.Objects.Channels, 0
	v[backlog] = overview.Queues.Messages // with those that are leased or delayed
	for _, n := range nodes {
		v[brokerMemory] += n.Memory / 1e6
	}
	return nil
}

func (rabbit) hold(context.Context) error  { return errNoSnapshots }
func (rabbit) close(context.Context) error { return nil }
