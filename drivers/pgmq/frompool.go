package pgmq

import (
	"context"
	sqldriver "database/sql/driver"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// FromPool returns a provider on a pool of pgx, which stays the caller's:
// closing the provider leaves it open.
//
//	c := mq.New(pgmq.FromPool(pool, pgmq.Config{}), mq.Config{})
//
// Two more connections are opened by the pool's configuration when they are
// needed: one that listens, unless Config says otherwise, with its
// BeforeConnect, and one for heartbeats while all those of the pool are in use,
// with AfterConnect and PrepareConn as well. These must return when their ctx
// ends: Close waits for them. Waiting receivers hold no connection.
func FromPool(pool *pgxpool.Pool, cfg Config) *Provider {
	from := pool.Config()
	db := databaseOf(pool)
	p := newProvider(db, cfg)
	p.shared = pool
	p.pool = pgxPool{DB: db, connKind: new(connKind), shared: pool}
	before := from.BeforeConnect
	if before == nil {
		before = func(context.Context, *pgx.ConnConfig) error { return nil }
	}
	prepare := prepareConn(from)
	after := func(ctx context.Context, c *pgx.Conn) error {
		if from.AfterConnect != nil {
			if err := from.AfterConnect(ctx, c); err != nil {
				return err
			}
		}
		return prepare(ctx, c)
	}
	if listen := cfg.Listen; !cfg.PollOnly {
		p.listenConfig = func(ctx context.Context) (*pgx.ConnConfig, error) {
			if listen != nil {
				return listen.Copy(), nil
			}
			c := from.ConnConfig.Copy()
			return c, before(ctx, c)
		}
	}
	p.reserve.db = stdlib.OpenDB(*from.ConnConfig, stdlib.OptionBeforeConnect(before), stdlib.OptionAfterConnect(after), stdlib.OptionResetSession(prepare))
	p.reserve.db.SetMaxOpenConns(1)
	p.reserve.pool = poolOf(p.reserve.db)
	return p
}

// prepareConn does what a pool does to a connection before each use.
func prepareConn(from *pgxpool.Config) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, c *pgx.Conn) error {
		if from.PrepareConn == nil {
			return nil
		}
		ok, err := from.PrepareConn(ctx, c)
		if err == nil && !ok {
			err = sqldriver.ErrBadConn
		}
		return err
	}
}
