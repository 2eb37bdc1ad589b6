package mq_test

import (
	"context"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// A second send with the same key makes no second message.
func ExampleQueue_SendOnce() {
	c := open()
	defer c.Close()
	q := queue(c, "invoices")
	ctx := context.Background()
	for range 2 {
		id, first, err := q.SendOnce(ctx, &mq.Message{Body: []byte("invoice 42"), DedupKey: "42", DedupFor: time.Hour})
		check(err)
		fmt.Println("message", id, first)
	}
	// Output:
	// message 1 true
	// message 1 false
}

// WhileQueued allows one message of a key at a time: the next job of this customer can
// be sent when this one is done.
func ExampleTypedQueue_SendOnce() {
	c := open()
	defer c.Close()
	jobs := mq.Of[string](queue(c, "jobs"))
	ctx := context.Background()
	send := func() {
		_, first, err := jobs.SendOnce(ctx, "rebuild the index", mq.Dedup("customer 7", mq.WhileQueued))
		check(err)
		fmt.Println("sent:", first)
	}
	send()
	send()
	ds, err := jobs.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	check(ds[0].Ack(ctx))
	send()
	// Output:
	// sent: true
	// sent: false
	// sent: true
}

// A duplicate does not abort the transaction, so the rest of it can be committed.
func ExampleTxQueue_SendOnce() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	q := queue(c, "invoices")
	for range 2 {
		tx := p.Begin() // with a database: db.BeginTx(ctx, nil)
		id, first, err := q.Tx(tx).SendOnce(context.Background(), &mq.Message{DedupKey: "42"})
		check(err)
		check(tx.Commit())
		fmt.Println("message", id, first)
	}
	// Output:
	// message 1 true
	// message 1 false
}

// Send itself does not tell: the ID is that of the message that holds the key.
func ExampleDedup() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	for range 2 {
		id, err := orders.Send(context.Background(), Order{1, "visa"}, mq.Dedup("order 1", 0))
		check(err)
		fmt.Println("message", id)
	}
	// Output:
	// message 1
	// message 1
}
