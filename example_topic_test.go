package mq_test

import (
	"context"
	"fmt"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// Each queue that is bound to the topic gets a message of its own.
func ExampleClient_Publish() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	mails, invoices := queue(c, "mails"), queue(c, "invoices")
	check(mails.Bind(ctx, "orders.#"))
	check(invoices.Bind(ctx, "orders.*.paid"))
	for _, topic := range []string{"orders.eu.paid", "orders.eu.shipped", "customers.eu"} {
		published, err := c.Publish(ctx, topic, &mq.Message{Body: []byte("order 1")})
		check(err)
		fmt.Println(topic, published)
	}
	// Output:
	// orders.eu.paid [{invoices [1]} {mails [1]}]
	// orders.eu.shipped [{mails [2]}]
	// customers.eu []
}

// The queues get the messages when the transaction commits.
func ExampleClient_PublishTx() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	ctx := context.Background()
	mails := queue(c, "mails")
	check(mails.Bind(ctx, "orders.*"))

	tx := p.Begin() // with a database: db.BeginTx(ctx, nil)
	_, err := c.PublishTx(ctx, tx, "orders.new", &mq.Message{Body: []byte("order 1")})
	check(err)
	ds, err := mails.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Println("before the commit:", len(ds))
	check(tx.Commit())
	ds, err = mails.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Printf("after it: %s\n", ds[0].Body)
	// Output:
	// before the commit: 0
	// after it: order 1
}

// "*" stands for one word, "#" for one or more.
func ExampleQueue_Bind() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	for name, pattern := range map[string]string{"one_word": "logs.*", "some_words": "logs.#", "this_topic": "logs.db"} {
		check(queue(c, name).Bind(ctx, pattern))
	}
	for _, topic := range []string{"logs", "logs.db", "logs.db.slow"} {
		published, err := c.Publish(ctx, topic, &mq.Message{})
		check(err)
		fmt.Print(topic, ":")
		for _, p := range published {
			fmt.Print(" ", p.Queue)
		}
		fmt.Println()
	}
	// Output:
	// logs:
	// logs.db: one_word some_words this_topic
	// logs.db.slow: some_words
}

// What the queue has got stays in it.
func ExampleQueue_Unbind() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	mails := queue(c, "mails")
	check(mails.Bind(ctx, "orders.*"))
	for range 2 {
		published, err := c.Publish(ctx, "orders.new", &mq.Message{})
		check(err)
		fmt.Println("queues:", len(published))
		check(mails.Unbind(ctx, "orders.*"))
	}
	s, err := mails.Stats(ctx)
	check(err)
	fmt.Println("messages:", s.Visible)
	// Output:
	// queues: 1
	// queues: 0
	// messages: 1
}

func ExampleQueue_Bindings() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	mails := queue(c, "mails")
	for _, pattern := range []string{"orders.*", "customers.#", "orders.*"} {
		check(mails.Bind(ctx, pattern))
	}
	fmt.Println(mails.Bindings(ctx))
	// Output: [customers.# orders.*] <nil>
}

func ExampleClient_Bindings() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	check(queue(c, "mails").Bind(ctx, "orders.*"))
	check(queue(c, "audit").Bind(ctx, "#"))
	all, err := c.Bindings(ctx)
	check(err)
	for _, b := range all {
		fmt.Println(b.Queue, b.Pattern)
	}
	// Output:
	// audit #
	// mails orders.*
}
