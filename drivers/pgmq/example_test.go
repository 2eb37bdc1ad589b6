package pgmq_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
)

// A DSN is enough; nothing is dialled until the first call.
func Example() {
	c, err := mq.Open("pgmq://app@localhost/shop?pool_max_conns=8")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.Provider().Name(), c.Caps().Order)
	// Output: pgmq due
}

// The pool of the program serves the queues as well.
func ExampleFromDB() {
	db, err := sql.Open("pgx", "postgres://app@localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	c := mq.New(pgmq.FromDB(db, pgmq.Config{}), mq.Config{})
	defer c.Close()
	fmt.Println(c.Queue("Orders").Name())
	// Output: orders
}

// A pool of pgx serves the queues as well. Nothing is dialled until the first call.
func ExampleFromPool() {
	pool, err := pgxpool.New(context.Background(), "postgres://app@localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	c := mq.New(pgmq.FromPool(pool, pgmq.Config{}), mq.Config{})
	defer c.Close()
	fmt.Println(c.Queue("Orders").Name())
	// Output: orders
}

// The order and the message about it are stored together, or neither is.
func ExampleTx() {
	place := func(ctx context.Context, pool *pgxpool.Pool, mails *mq.Queue, item string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (item) VALUES ($1)", item); err != nil {
				return err
			}
			_, err := mails.Tx(pgmq.Tx(tx)).Send(ctx, &mq.Message{Body: []byte(item)})
			return err
		})
	}
	_ = place
}

func ExampleProvider_EnsureQueue() {
	ctx := context.Background()
	c, err := mq.Open("pgmq://app@localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.EnsureQueue(ctx, "builds", mq.QueueOptions{Drivers: []mq.DriverOptions{pgmq.QueueOptions{
		GroupIndexes: []mq.GroupBy{{}, {Path: []string{"repo", "id"}}}, // Message.Group, and a path in the body
	}}})
	if err != nil {
		log.Fatal(err)
	}
}
