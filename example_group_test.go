package mq_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/portmq/mq"
)

// customers is a queue with orders of two customers.
func customers(c *mq.Client) *mq.Queue {
	orders := mq.Of[string](queue(c, "orders"))
	for _, o := range [][2]string{{"ann", "ann 1"}, {"ann", "ann 2"}, {"bob", "bob 1"}, {"ann", "ann 3"}} {
		_, err := orders.Send(context.Background(), o[1], mq.Group(o[0]))
		check(err)
	}
	return orders.Queue()
}

// A group is a key that the sender names.
func ExampleGroup() {
	c := open()
	defer c.Close()
	records, err := customers(c).Peek(context.Background(), mq.BrowseOptions{Limit: 1})
	check(err)
	fmt.Println(string(records[0].Body), "is of", records[0].Group)
	// Output: "ann 1" is of ann
}

// The oldest message of each group that nobody works on.
func ExampleQueue_ReceiveHeads() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := customers(c)
	for range 2 {
		ds, err := q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{Max: 10})
		check(err)
		for _, d := range ds {
			fmt.Print(d.GroupKey, ": ", string(d.Body), " ")
		}
		fmt.Println(len(ds), "in all") // the second time both are leased
	}
	// Output:
	// ann: "ann 1" bob: "bob 1" 2 in all
	// 0 in all
}

// Who holds a group may take more of it.
func ExampleQueue_ReceiveGroup() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := customers(c)
	ds, err := q.ReceiveHeads(ctx, mq.ByGroup(), mq.ReceiveOptions{})
	check(err)
	more, err := q.ReceiveGroup(ctx, mq.ByGroup(), ds[0].GroupKey, mq.GroupOptions{
		ReceiveOptions: mq.ReceiveOptions{Max: 10},
		Holding:        []mq.Receipt{ds[0].Receipt},
	})
	check(err)
	for _, d := range append(ds, more...) {
		fmt.Println(string(d.Body))
	}
	// Output:
	// "ann 1"
	// "ann 2"
	// "ann 3"
}

// At most two messages of a customer are leased at a time, so that a large backlog
// leaves room for others.
func ExampleGroupBy_limit() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := customers(c)
	ds, err := q.ReceiveHeads(ctx, &mq.GroupBy{Limit: 2}, mq.ReceiveOptions{Max: 10})
	check(err)
	for _, d := range ds {
		fmt.Println(string(d.Body))
	}
	// Output:
	// "ann 1"
	// "bob 1"
	// "ann 2"
}

// The same limit in a Consumer with ten handlers.
func ExampleConsumerConfig_groupLimit() {
	c := open()
	defer c.Close()
	ctx, stop := context.WithCancel(context.Background())
	var handled atomic.Int32
	perCustomer := mq.GroupBy{Limit: 2}
	err := mq.Of[string](customers(c)).Consume(ctx, func(ctx context.Context, order string) error {
		if handled.Add(1) == 4 {
			stop()
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 10, Groups: &perCustomer})
	check(err)
	fmt.Println(handled.Load(), "orders handled")
	// Output: 4 orders handled
}
