// Pgxpool places the orders that are its arguments and ships orders until it is
// stopped: each exactly once, however often it is killed and started again. One pool
// of pgx serves the tables and the queue.
//
//	export DATABASE_URL='postgres://postgres@localhost/shop?pool_max_conns=12'
//	go run ./examples/pgxpool $(seq 1000)
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	pool := must(pgxpool.New(ctx, os.Getenv("DATABASE_URL")))
	defer pool.Close()
	must(pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY);
		CREATE TABLE IF NOT EXISTS shipments (order_id text)`))
	c := mq.New(pgmq.FromPool(pool, pgmq.Config{}), mq.Config{})
	defer c.Close()
	q := must(c.EnsureQueue(ctx, "orders", mq.QueueOptions{}))

	for _, id := range os.Args[1:] { // the row and the message, or neither
		must(0, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			done, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1) ON CONFLICT DO NOTHING`, id)
			if err != nil || done.RowsAffected() == 0 {
				return err
			}
			_, err = q.Tx(pgmq.Tx(tx)).Send(ctx, &mq.Message{Body: []byte(id)})
			return err
		}))
	}
	must(0, q.Consume(ctx, func(ctx context.Context, d *mq.Delivery) error { // the effect and the ack, or neither
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO shipments VALUES ($1)`, string(d.Body)); err != nil {
				return err
			}
			return d.AckTx(ctx, pgmq.Tx(tx)) // stale: another worker has the message, so this rolls back
		})
	}, mq.ConsumerConfig{Visibility: 2 * time.Second})) // a killed worker's messages come back after this
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
