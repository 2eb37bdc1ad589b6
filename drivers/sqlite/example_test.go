package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// A DSN is enough. The file is created by the first call; its directory must be there.
func Example() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	path := filepath.ToSlash(filepath.Join(dir, "queue.db"))

	c, err := mq.Open("sqlite://" + path)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := q.Send(ctx, &mq.Message{Body: []byte(`{"id":1}`)}); err != nil {
		log.Fatal(err)
	}
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range ds {
		fmt.Println(string(d.Body), d.Ack(ctx))
	}
	fmt.Println(c.Caps().Durable, c.Caps().OneWriter)
	// Output:
	// {"id":1} <nil>
	// true true
}

// The program's own file holds the queues as well: a row and the message about it are
// stored together, or neither is.
func ExampleFromDB() {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	path := filepath.ToSlash(filepath.Join(dir, "shop.db"))

	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (item TEXT)"); err != nil {
		log.Fatal(err)
	}
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	mails, err := c.EnsureQueue(ctx, "mails", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}

	place := func(item string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // after the commit it does nothing
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (item) VALUES (?)", item); err != nil {
			return err
		}
		if _, err := mails.Tx(tx).Send(ctx, &mq.Message{Body: []byte(item)}); err != nil {
			return err // the order is rolled back, too
		}
		return tx.Commit()
	}
	fmt.Println(place("book"))

	ds, err := mails.Receive(ctx, mq.ReceiveOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ds), string(ds[0].Body))
	// Output:
	// <nil>
	// 1 book
}
