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
	worker, err := mq.NewConsumer(q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error { return nil }), mq.ConsumerConfig{})
	check(err)
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- worker.Run(running) }()
	for !worker.Stats().Paused {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("the worker fetches nothing")
	stop()
	check(<-done)
	// Output: the worker fetches nothing
}

// Resume lets Consumers go on.
func ExampleQueue_Resume() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	check(q.Pause(ctx, "alice: the bank is down"))
	check(q.Resume(ctx))
	paused, err := c.Paused(ctx)
	fmt.Println(len(paused), "queues are paused,", err)
	// Output: 0 queues are paused, <nil>
}

// Why does nothing move?
func ExampleClient_Paused() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	check(queue(c, "orders").Pause(ctx, "alice: the bank is down"))
	paused, err := c.Paused(ctx)
	check(err)
	for _, p := range paused {
		fmt.Println(p.Queue, "is paused by", p.By)
	}
	// Output: orders is paused by alice: the bank is down
}

// Who works on a queue, and which messages do they hold?
func ExampleClient_Consumers() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 1)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- q.Consume(ctx, func(ctx context.Context, _ *mq.Delivery) error {
			<-ctx.Done() // a handler that takes long
			return ctx.Err()
		}, mq.ConsumerConfig{SoftStop: mq.AtOnce})
	}()
	for { // a Consumer reports a second after its start
		consumers, err := c.Consumers(ctx, "orders")
		check(err)
		if len(consumers) > 0 {
			fmt.Println(consumers[0].Running, "handler runs, on message", consumers[0].Longest[0].ID)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	check(<-done)
	// Output: 1 handler runs, on message 1
}

// What cannot be repaired goes, without the rest of the archive.
func ExampleQueue_RemoveArchived() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ctx := context.Background()
	fill(q, 2)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 2})
	check(err)
	for _, d := range ds {
		check(d.Archive(ctx, "no such product"))
	}
	n, err := q.RemoveArchived(ctx, []string{ds[0].ID})
	check(err)
	left, err := q.Archived(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Println(n, "removed,", len(left), "left")
	// Output: 1 removed, 1 left
}
