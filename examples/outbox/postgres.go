package main

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// postgres sells with pgx and ships with database/sql, to show both.
type postgres struct {
	pool *pgxpool.Pool
	db   *sql.DB // on the same connections
}

// The lock is for two shops that open at the same time.
const postgresTable = `
SELECT pg_advisory_xact_lock(hashtext('outbox'));
CREATE TABLE IF NOT EXISTS shop_orders (
	id        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	item      text NOT NULL,
	shipments integer NOT NULL DEFAULT 0
);`

func (p *postgres) open(ctx context.Context, dsn string) (*mq.Client, error) {
	client, err := mq.Open(dsn)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig("postgres" + strings.TrimPrefix(dsn, "pgmq"))
	if err != nil {
		return client, err
	}
	cfg.MaxConns = workers + 1
	if p.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return client, err
	}
	p.db = stdlib.OpenDBFromPool(p.pool)
	_, err = p.pool.Exec(ctx, postgresTable)
	return client, err
}

func (p *postgres) sql() *sql.DB { return p.db }

func (p *postgres) place(ctx context.Context, queue mq.TypedQueue[Order], item string, charge func() error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		o := Order{Item: item}
		if err := tx.QueryRow(ctx, insertOrder, item).Scan(&o.ID); err != nil {
			return err
		}
		if _, err := queue.SendTx(ctx, pgmq.Tx(tx), o); err != nil {
			return err
		}
		return charge()
	})
}

func (p *postgres) close() {
	if p.pool != nil {
		_ = p.db.Close()
		p.pool.Close()
	}
}
