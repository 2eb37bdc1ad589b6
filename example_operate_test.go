package mq_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// Search says how far it has looked.
func ExampleQueue_Search() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	for _, body := range []string{`{"id":1,"card":"visa"}`, `{"id":2,"card":"amex"}`, `{"id":3,"card":"visa"}`} {
		_, err := q.Send(ctx, &mq.Message{Body: []byte(body)})
		check(err)
	}
	found, err := q.Search(ctx, mq.SearchOptions{Match: mq.Match{Text: "visa", State: mq.StateVisible}})
	check(err)
	for _, r := range found.Records {
		fmt.Println(string(r.Body))
	}
	fmt.Println("looked at", found.Looked, "messages, all of them:", found.End)
	// Output:
	// {"id":1,"card":"visa"}
	// {"id":3,"card":"visa"}
	// looked at 3 messages, all of them: true
}

// Why messages are dead letters.
func ExampleQueue_Reasons() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	fill(q, 3)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 3})
	check(err)
	for i, reason := range []string{"card declined", "bank: 500", "card declined"} {
		check(ds[i].Archive(ctx, reason))
	}
	reasons, _, err := q.Reasons(ctx, 0)
	check(err)
	for _, r := range reasons {
		fmt.Println(r.Count, r.Reason)
	}
	// Output:
	// 2 card declined
	// 1 bank: 500
}

// An operator takes a message away from a worker that hangs.
func ExampleQueue_Override() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	fill(q, 1)
	hangs, err := q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Hour})
	check(err)

	n, err := q.Override(ctx, []string{hangs[0].ID}, mq.Settlement{Op: mq.OpNack})
	check(err)
	fmt.Println(n, "given back")

	fmt.Println("the worker's ack is stale:", errors.Is(hangs[0].Ack(ctx), mq.ErrStaleReceipt))
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Println("another one has message", ds[0].ID)
	// Output:
	// 1 given back
	// the worker's ack is stale: true
	// another one has message 1
}

// A pause stops the Consumers of all processes.
func ExampleQueue_Pause() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	check(q.Pause(ctx, "alice: the bank is down"))
	paused, err := c.Paused(ctx)
	check(err)
	for _, p := range paused {
		fmt.Println(p.Queue, "is paused by", p.By)
	}
	check(q.Resume(ctx))
	// Output: orders is paused by alice: the bank is down
}
