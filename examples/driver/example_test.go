package toy_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/examples/driver"
)

func Example() {
	ctx := context.Background()
	c, err := mq.Open("toy://")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := q.Send(ctx, &mq.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range ds {
		fmt.Printf("%s, read %d times\n", d.Body, d.ReadCount)
		fmt.Println(d.Ack(ctx))
	}
	// Output:
	// order 1, read 1 times
	// <nil>
}
