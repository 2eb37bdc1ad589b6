package mq_test

import (
	"context"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// fill sends messages with the bodies 1 to n.
func fill(q *mq.Queue, n int) {
	for i := range n {
		_, err := q.Send(context.Background(), &mq.Message{Body: fmt.Append(nil, i+1)})
		check(err)
	}
}

// When Send returns nil the message is stored.
func ExampleQueue_Send() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	id, err := q.Send(context.Background(), &mq.Message{Body: []byte("order 1"), Headers: mq.Headers{"lang": "en"}})
	fmt.Println(id, err)
	// Output: 1 <nil>
}

// Many messages travel together.
func ExampleQueue_SendAll() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	ids, err := q.SendAll(context.Background(), []*mq.Message{
		{Body: []byte("order 1")},
		{Body: []byte("order 2"), Group: "ann"},
		{Body: []byte("order 3"), Delay: time.Hour},
	})
	fmt.Println(ids, err)
	// Output: [1 2 3] <nil>
}

// Nobody else gets what was received until its visibility timeout ends.
func ExampleQueue_Receive() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 3)
	for range 2 {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 2, Visibility: time.Minute, Wait: time.Second})
		check(err)
		for _, d := range ds {
			fmt.Println(string(d.Body), d.Ack(ctx))
		}
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}

// Peek pages through a queue and leases nothing.
func ExampleQueue_Peek() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 3)
	page := mq.BrowseOptions{Limit: 2}
	for {
		records, err := q.Peek(context.Background(), page)
		check(err)
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			fmt.Println(r.ID, string(r.Body), r.ReadCount)
		}
		page.After = records[len(records)-1].ID
	}
	// Output:
	// 1 1 0
	// 2 2 0
	// 3 3 0
}

// Pop receives and deletes in one step: at most once. Nothing is to be settled.
func ExampleQueue_Pop() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "samples")
	fill(q, 3)
	ds, err := q.Pop(ctx, 2)
	check(err)
	s, err := q.Stats(ctx)
	check(err)
	fmt.Println(len(ds), "popped,", s.Total, "left")
	// Output: 2 popped, 1 left
}

func ExampleQueue_Purge() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 3)
	n, err := q.Purge(context.Background())
	fmt.Println(n, err)
	// Output: 3 <nil>
}

func ExampleQueue_PurgeArchive() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 1)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	check(ds[0].Archive(ctx, "bank is closed"))

	n, err := q.PurgeArchive(ctx, 30*24*time.Hour) // what is older than a month
	fmt.Println(n, err)
	n, err = q.PurgeArchive(ctx, mq.AnyAge) // everything
	fmt.Println(n, err)
	// Output:
	// 0 <nil>
	// 1 <nil>
}

func ExampleQueue_Stats() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 3)
	_, err := q.Send(ctx, &mq.Message{Delay: time.Hour})
	check(err)
	_, err = q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	s, err := q.Stats(ctx)
	check(err)
	fmt.Println(s.Total, "=", s.Visible, "visible +", s.Leased, "leased +", s.Delayed, "delayed")
	// Output: 4 = 2 visible + 1 leased + 1 delayed
}
