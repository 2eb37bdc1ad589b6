package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/portmq/mq"
)

// workers is how many orders are shipped at once.
const workers = 8

func (s *shop) work(ctx context.Context) error {
	return s.queue.Consume(ctx, s.ship, mq.ConsumerConfig{
		Concurrency: workers,
		Visibility:  2 * time.Second, // so soon comes back what a killed worker had
		MaxAttempts: mq.Unlimited,    // and it is no fault of the order
	})
}

var errNoOrder = errors.New("there is no such order")

// ship is the handler: it marks the order and acks its message, both or
// neither.
func (s *shop) ship(ctx context.Context, o Order) error {
	tx, err := s.sql().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	row := tx.QueryRowContext(ctx, `UPDATE shop_orders SET shipments = shipments + 1 WHERE id = $1 RETURNING id`, o.ID)
	switch err := row.Scan(&o.ID); {
	case errors.Is(err, sql.ErrNoRows):
		return mq.Reject(errNoOrder)
	case err != nil:
		return err
	}
	d, _ := mq.FromContext(ctx)
	if err := d.AckTx(ctx, tx); err != nil {
		return err // by now somebody else has the message: they ship the order
	}
	return tx.Commit()
}

// await returns when there is no message left.
func (s *shop) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		stats, err := s.queue.Queue().Stats(ctx)
		if err != nil || stats.Total == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
