package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// Order is what a message says.
type Order struct {
	ID   int64  `json:"id"`
	Item string `json:"item"`
}

// shop has its orders in a table, and a queue in the same database. It sells with
// pgx and ships with database/sql, to show both.
type shop struct {
	pool   *pgxpool.Pool
	db     *sql.DB // on the same connections
	client *mq.Client
	queue  mq.TypedQueue[Order]

	placed, declined int // in this run
}

// The lock is for two shops that open at the same time. Nothing in the table
// keeps an order from being shipped twice.
const schema = `
SELECT pg_advisory_xact_lock(hashtext('outbox'));
CREATE SCHEMA IF NOT EXISTS outbox;
CREATE TABLE IF NOT EXISTS outbox.orders (
	id        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	item      text NOT NULL,
	shipments integer NOT NULL DEFAULT 0
);`

func open(ctx context.Context, dsn string) (*shop, error) {
	client, err := mq.Open(dsn)
	if err != nil {
		return nil, err
	}
	s := &shop{client: client}
	if err := s.prepare(ctx, dsn); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *shop) prepare(ctx context.Context, dsn string) (err error) {
	cfg, err := pgxpool.ParseConfig("postgres" + strings.TrimPrefix(dsn, "pgmq"))
	if err != nil {
		return err
	}
	cfg.MaxConns = workers + 1
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	s.db = stdlib.OpenDBFromPool(s.pool)
	if _, err := s.pool.Exec(ctx, schema); err != nil {
		return err
	}
	queue, err := s.client.EnsureQueue(ctx, "outbox_orders", mq.QueueOptions{})
	s.queue = mq.Of[Order](queue)
	return err
}

func (s *shop) close() {
	_ = s.client.Close()
	if s.pool != nil {
		_ = s.db.Close()
		s.pool.Close()
	}
}

var errDeclined = errors.New("card declined")

// sell places n orders. The card of every fifth is declined.
func (s *shop) sell(ctx context.Context, n int) error {
	items := []string{"coffee", "flour", "honey", "jam", "oats"}
	for i := range n {
		item := items[i%len(items)]
		err := s.place(ctx, item, func() error {
			if item == "oats" {
				return errDeclined
			}
			return nil
		})
		switch {
		case err == nil:
			s.placed++
		case errors.Is(err, errDeclined):
			s.declined++
		default:
			return err
		}
	}
	return nil
}

// place stores an order and the message about it, both or neither. A charge
// that fails takes them back.
func (s *shop) place(ctx context.Context, item string, charge func() error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		o := Order{Item: item}
		row := tx.QueryRow(ctx, `INSERT INTO outbox.orders (item) VALUES ($1) RETURNING id`, item)
		if err := row.Scan(&o.ID); err != nil {
			return err
		}
		if _, err := s.queue.SendTx(ctx, pgmq.Tx(tx), o); err != nil {
			return err
		}
		return charge()
	})
}
