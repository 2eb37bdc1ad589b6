package pgmq

import (
	"context"

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
// needed, with its BeforeConnect: one that listens, unless Config says
// otherwise, and one for heartbeats while all those of the pool are in use.
// Waiting receivers hold no connection.
func FromPool(pool *pgxpool.Pool, cfg Config) *Provider {
	from := pool.Config()
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxOpenConns(int(from.MaxConns))
	p := newProvider(db, cfg)
	p.shared, p.home = pool, from.ConnConfig
	p.pool = pgxPool{DB: db, manner: new(manner), shared: pool}
	before := from.BeforeConnect
	if before == nil {
		before = func(context.Context, *pgx.ConnConfig) error { return nil }
	}
	after := from.AfterConnect
	if after == nil {
		after = func(context.Context, *pgx.Conn) error { return nil }
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
	p.reserve.db = stdlib.OpenDB(*from.ConnConfig, stdlib.OptionBeforeConnect(before), stdlib.OptionAfterConnect(after))
	p.reserve.db.SetMaxOpenConns(1)
	p.reserve.pool = poolOf(p.reserve.db)
	return p
}
