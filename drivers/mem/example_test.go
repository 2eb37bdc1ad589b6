package mem_test

import (
	"context"
	"fmt"
	"log"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// Code that sends inside its own transaction can be tested without a database.
func ExampleProvider_Begin() {
	ctx := context.Background()
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer func() { _ = c.Close() }()
	mail, err := c.EnsureQueue(ctx, "mail", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}

	tx := p.Begin()
	if err := welcome(ctx, mail, tx); err != nil {
		log.Fatal(err)
	}
	before, err := mail.Stats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	after, err := mail.Stats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.Visible, after.Visible)
	// Output: 0 1
}

// welcome is what is tested. In production tx is an *sql.Tx.
func welcome(ctx context.Context, mail *mq.Queue, tx mq.SQLTx) error {
	_, err := mail.Tx(tx).Send(ctx, &mq.Message{Body: []byte("welcome")})
	return err
}
