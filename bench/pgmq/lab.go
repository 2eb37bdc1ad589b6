package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/server"
)

const (
	bodySize = 512
	workers  = 16
)

// body is what is sent.
var body = []byte(`{"id":1,"pad":"` + strings.Repeat("x", bodySize-17) + `"}`)

// cluster is where databases are made: the URL of one that is there.
type cluster struct{ url *url.URL }

func findCluster() (cluster, error) {
	c, err := server.FindPostgres()
	if err != nil {
		return cluster{}, err
	}
	u, err := url.Parse(c.DSN("postgres"))
	return cluster{u}, err
}

// about describes the server.
func (s cluster) about(ctx context.Context) (text string, err error) {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, `SELECT format('PostgreSQL %s, shared_buffers %s, fsync %s, synchronous_commit on',
		current_setting('server_version'), current_setting('shared_buffers'), current_setting('fsync'))`).Scan(&text)
	return text, err
}

// run measures a figure in a database of its own and prints its rows.
func (s cluster) run(ctx context.Context, p plan, f figure) (err error) {
	name := fmt.Sprintf("mq_bench_%s_%d", f.Letter, os.Getpid())
	if err := s.exec(ctx, "CREATE DATABASE "+name, "ALTER DATABASE "+name+" SET synchronous_commit = on"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)"))
	}()
	u := *s.url
	u.Path = "/" + name
	l, err := open(ctx, p, &u)
	if err != nil {
		return err
	}
	defer l.close()
	rows, err := f.Measure(ctx, l)
	for _, r := range rows {
		r.what = f.Letter + ". " + r.what
		fmt.Println(r)
	}
	return err
}

func (s cluster) exec(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// lab is the place of one figure: a database, and mq and a pool on it.
type lab struct {
	plan
	url    *url.URL
	client *mq.Client
	pool   *pgxpool.Pool // of those who write by hand
	pools  []*pgxpool.Pool
}

func open(ctx context.Context, p plan, u *url.URL) (*lab, error) {
	client, err := mq.Open(mqDSN(u))
	if err != nil {
		return nil, err
	}
	l := &lab{plan: p, url: u, client: client}
	if l.pool, err = l.newPool(ctx, handConns); err != nil {
		l.close()
	}
	return l, err
}

func (l *lab) newPool(ctx context.Context, conns int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(l.url.String())
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err == nil {
		l.pools = append(l.pools, pool)
	}
	return pool, err
}

func (l *lab) close() {
	_ = l.client.Close()
	for _, pool := range l.pools {
		pool.Close()
	}
}

// mqDSN is the same database as mq names it.
func mqDSN(u *url.URL) string {
	dsn := *u
	dsn.Scheme = "pgmq"
	return dsn.String()
}

// handQueue makes the same table for those who write by hand. They have no
// use for the trigger that wakes mq.
func (l *lab) handQueue(ctx context.Context, name string) (*hand, error) {
	q, err := l.client.EnsureQueue(ctx, name, mq.QueueOptions{Drivers: []mq.DriverOptions{pgmq.QueueOptions{NotifyInterval: pgmq.NoNotify}}})
	if err != nil {
		return nil, err
	}
	return newHand(l.pool, q.Name()), nil
}

func table(queue string) string { return "pgmq.q_" + queue }

// Where rows are on the way to being due, as expressions of i of n: each has a
// time of its own, as with mq.
const (
	visible = "statement_timestamp() + (i - $1) * interval '1 microsecond'"
	delayed = "statement_timestamp() + interval '1 day' + i * interval '1 microsecond'"
)

// fill puts n rows into a queue in plain SQL.
func (l *lab) fill(ctx context.Context, queue string, n int, vt string) error {
	return l.fillGroups(ctx, queue, n, vt, "NULL")
}

// fillGroups is fill with a group for each row, as an expression of i.
func (l *lab) fillGroups(ctx context.Context, queue string, n int, vt, group string) error {
	_, err := l.pool.Exec(ctx, `INSERT INTO `+table(queue)+` (vt, message, headers)
		SELECT `+vt+`, jsonb_build_object('id', i, 'pad', repeat('x', $2)),
			CASE WHEN g IS NOT NULL THEN jsonb_build_object('x-pgmq-group', g) END
		FROM generate_series(1, $1) i, LATERAL (SELECT (`+group+`)::text AS g) AS grouped`, n, bodySize-24)
	if err != nil {
		return err
	}
	return l.settle(ctx, table(queue))
}

// settle does at once what the server would do in the middle of a measurement.
func (l *lab) settle(ctx context.Context, table string) error {
	_, err := l.pool.Exec(ctx, "VACUUM (ANALYZE) "+table)
	return err
}

// clear empties tables.
func (l *lab) clear(ctx context.Context, tables ...string) error {
	_, err := l.pool.Exec(ctx, "TRUNCATE "+strings.Join(tables, ", "))
	return err
}

// left fails if a table does not hold n rows: who loses messages is fast.
func (l *lab) left(ctx context.Context, table string, n int) error {
	var got int
	err := l.pool.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&got)
	if err == nil && got != n {
		err = fmt.Errorf("%s holds %d rows, want %d", table, got, n)
	}
	return err
}
