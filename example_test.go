package mq_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

// Ten lines without a server.
func Example() {
	ctx := context.Background()
	c, err := mq.Open("mem://")
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

	ds, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(ds[0].Body), ds[0].ReadCount)
	if err := ds[0].Ack(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: {"id":1} 1
}
