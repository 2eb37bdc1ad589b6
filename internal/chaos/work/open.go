package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql
	_ "github.com/lib/pq"              // the driver "postgres" of database/sql
	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/sqlite"
)

// backend is an open client, and how it begins transactions of its own.
type backend struct {
	*mq.Client
	features
	begin func(ctx context.Context) (*transaction, error)
	close []func() error // after the client
}

// transaction is one of the caller.
type transaction struct {
	mq.SQLTx
	commit, rollback func() error
}

// open opens a client for a worker.
func open(cfg Config, intercept mq.Interceptor) (*backend, error) {
	b := new(backend)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := b.provider(cfg, logger)
	if err != nil {
		return nil, err
	}
	if p, err = breakProvider(p, cfg.Break); err != nil {
		return nil, err
	}
	c := mq.Config{Logger: logger, CallTimeout: callTimeout}
	if intercept != nil {
		c.Interceptors = []mq.Interceptor{intercept}
	}
	b.Client = mq.New(p, c)
	b.features = featuresOf(p, b.begin != nil)
	return b, nil
}

// callTimeout is short, so that a run of some seconds sees the end of a hanging call.
const callTimeout = 10 * time.Second

func featuresOf(p driver.Provider, begins bool) (f features) {
	caps := p.Caps()
	_, f.dedup = p.(driver.Deduplicator)
	_, f.browse = p.(driver.Browser)
	_, f.tx = p.(driver.Transactor)
	f.tx = f.tx && begins
	f.groups, f.delay = caps.Groups, caps.Delay
	f.schedules = f.dedup && f.browse && f.delay
	return f
}

// provider opens the provider and, if it has one, a pool for transactions.
func (b *backend) provider(cfg Config, logger *slog.Logger) (driver.Provider, error) {
	if cfg.Provider == "frompool" {
		return b.fromPool(cfg.DSN, logger)
	}
	c, err := mq.OpenConfig(cfg.DSN, mq.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	p := c.Provider()
	switch cfg.Provider {
	case "mem":
		b.begin = memory(p.(*mem.Provider))
		return p, nil
	case "rabbitmq":
		return p, nil
	case "cluster":
		return undelayed{p, p.(driver.QueueManager)}, nil
	}
	db, err := database(cfg)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	b.close = append(b.close, db.Close)
	b.begin = func(ctx context.Context) (*transaction, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		return &transaction{tx, tx.Commit, tx.Rollback}, nil
	}
	return p, nil
}

// undelayed is a provider without delays. On a cluster RabbitMQ may keep what is delayed
// when a leader crashes: docs/rabbitmq.md.
type undelayed struct {
	driver.Provider
	driver.QueueManager
}

func (u undelayed) Caps() driver.Caps {
	caps := u.Provider.Caps()
	caps.Delay, caps.MaxDelay = false, 0
	return caps
}

func memory(p *mem.Provider) func(context.Context) (*transaction, error) {
	return func(context.Context) (*transaction, error) {
		tx := p.Begin()
		return &transaction{tx, tx.Commit, tx.Rollback}, nil
	}
}

// connLife is how long connections of pools of our own live: those that are left on a
// read-only node are used until then, see docs/pgmq.md.
const connLife = 5 * time.Second

// database opens a pool on the database of the queues.
func database(cfg Config) (*sql.DB, error) {
	name, dsn := "sqlite", ""
	switch cfg.Provider {
	case "sqlite":
		path := strings.TrimPrefix(cfg.DSN, "sqlite://")
		dsn = "file:" + path + "?_txlock=immediate&_pragma=busy_timeout(10000)"
	case "pgx":
		name, dsn = "pgx", plainDSN(cfg.DSN)
	case "pq":
		name, dsn = "postgres", plainDSN(cfg.DSN)
	default:
		return nil, fmt.Errorf("unknown provider %q", cfg.Provider)
	}
	db, err := sql.Open(name, dsn)
	if err == nil {
		db.SetMaxOpenConns(4)
		db.SetConnMaxLifetime(connLife)
	}
	return db, err
}

// plainDSN returns the DSN of a database without what is mq's own.
func plainDSN(dsn string) string {
	dsn = "postgres" + strings.TrimPrefix(dsn, "pgmq")
	for _, own := range []string{"&driver=pq", "&driver=pgx"} {
		dsn = strings.ReplaceAll(dsn, own, "")
	}
	return dsn
}

func (b *backend) fromPool(dsn string, logger *slog.Logger) (driver.Provider, error) {
	config, err := pgxpool.ParseConfig(plainDSN(dsn))
	if err != nil {
		return nil, err
	}
	config.MaxConnLifetime, config.MaxConns = connLife, 8
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	b.close = append(b.close, func() error { pool.Close(); return nil })
	b.begin = func(ctx context.Context) (*transaction, error) {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return nil, err
		}
		end := func(f func(context.Context) error) func() error {
			return func() error {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
				defer cancel()
				return f(ctx)
			}
		}
		return &transaction{pgmq.Tx(tx), end(tx.Commit), end(tx.Rollback)}, nil
	}
	return pgmq.FromPool(pool, pgmq.Config{Logger: logger}), nil
}

// shut closes the client, and all that was opened with it.
func (b *backend) shut() error {
	err := b.Close()
	for _, f := range b.close {
		err = errors.Join(err, f())
	}
	return err
}
