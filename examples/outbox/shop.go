package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the shop's own way to its database

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/pgmq"
)

// Order is what a message says.
type Order struct {
	ID   int64  `json:"id"`
	Item string `json:"item"`
}

// shop has its orders in a table, and a queue in the same database.
type shop struct {
	db     *sql.DB
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
	s.db, err = sql.Open("pgx", "postgres"+strings.TrimPrefix(dsn, "pgmq"))
	if err != nil {
		return err
	}
	s.db.SetMaxIdleConns(workers + 1)
	if _, err := s.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	queue, err := s.client.EnsureQueue(ctx, "outbox_orders", mq.QueueOptions{})
	s.queue = mq.Of[Order](queue)
	return err
}

func (s *shop) close() {
	_ = s.client.Close()
	if s.db != nil {
		_ = s.db.Close()
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
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	o := Order{Item: item}
	row := tx.QueryRowContext(ctx, `INSERT INTO outbox.orders (item) VALUES ($1) RETURNING id`, item)
	if err := row.Scan(&o.ID); err != nil {
		return err
	}
	if err := s.send(ctx, tx, o); err != nil {
		return err
	}
	if err := charge(); err != nil {
		return err
	}
	return tx.Commit()
}

// send sends the message when tx is committed.
func (s *shop) send(ctx context.Context, tx *sql.Tx, o Order) error {
	_, err := s.queue.SendTx(ctx, tx, o)
	return err
}
