package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/portmq/mq"
)

// Order is what a message says.
type Order struct {
	ID   int64  `json:"id"`
	Item string `json:"item"`
}

// shop has its orders in a table, and a queue in the same database.
type shop struct {
	store
	client *mq.Client
	queue  mq.TypedQueue[Order]

	placed, declined int // in this run
}

// store is the database: PostgreSQL or a file of SQLite.
type store interface {
	// open opens the database, the queue's client, and makes the table. Nothing in
	// that keeps an order from being shipped twice.
	open(ctx context.Context, dsn string) (*mq.Client, error)
	// sql returns the database for database/sql.
	sql() *sql.DB
	// place stores an order and the message about it, both or neither. A charge
	// that fails takes them back.
	place(ctx context.Context, queue mq.TypedQueue[Order], item string, charge func() error) error
	close()
}

const insertOrder = `INSERT INTO shop_orders (item) VALUES ($1) RETURNING id`

func open(ctx context.Context, dsn string) (s *shop, err error) {
	s = &shop{store: new(postgres)}
	if strings.HasPrefix(dsn, "sqlite:") {
		s.store = new(sqliteFile)
	}
	if s.client, err = s.store.open(ctx, dsn); err == nil {
		var queue *mq.Queue
		queue, err = s.client.EnsureQueue(ctx, "outbox_orders", mq.QueueOptions{})
		s.queue = mq.Of[Order](queue)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *shop) close() {
	if s.client != nil {
		_ = s.client.Close()
	}
	s.store.close()
}

var errDeclined = errors.New("card declined")

// sell places n orders. The card of every fifth is declined.
func (s *shop) sell(ctx context.Context, n int) error {
	items := []string{"coffee", "flour", "honey", "jam", "oats"}
	for i := range n {
		item := items[i%len(items)]
		err := s.place(ctx, s.queue, item, func() error {
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
