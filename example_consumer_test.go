package mq_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

type Order struct {
	ID   int    `json:"id"`
	Card string `json:"card"`
}

var (
	errCardDeclined = errors.New("card declined")
	errBankBusy     = errors.New("bank is busy")
)

// A worker with types, retries and dead letters. In a program ctx comes from
// signal.NotifyContext, and Consume returns when it ends.
func ExampleTypedQueue_Consume() {
	c := open()
	defer c.Close()
	ctx, stop := context.WithCancel(context.Background())
	orders := mq.Of[Order](queue(c, "orders"))
	_, err := orders.SendAll(ctx, []Order{{1, "visa"}, {2, "stolen"}, {3, "amex"}})
	check(err)

	done := 0
	err = orders.Consume(ctx, func(ctx context.Context, o Order) error {
		d, _ := mq.FromContext(ctx)
		fmt.Printf("order %d, read %d: ", o.ID, d.ReadCount)
		switch err := charge(o, d.ReadCount); {
		case errors.Is(err, errCardDeclined):
			fmt.Println("declined")
			return mq.Reject(err) // dead letter now, with this reason
		case errors.Is(err, errBankBusy):
			fmt.Println("busy, again in a moment")
			return mq.Retry(10*time.Millisecond, err)
		default:
			fmt.Println("charged")
			if done++; done == 2 {
				stop()
			}
			return err // nil acks; anything else backs off and retries
		}
	}, mq.ConsumerConfig{Concurrency: 1, MaxAttempts: 8})
	check(err)

	dead, err := orders.Queue().Archived(context.Background(), mq.BrowseOptions{})
	check(err)
	fmt.Printf("dead letter: %s (%s)\n", dead[0].Body, dead[0].Reason())
	// Output:
	// order 1, read 1: charged
	// order 2, read 1: declined
	// order 3, read 1: busy, again in a moment
	// order 3, read 2: charged
	// dead letter: {"id":2,"card":"stolen"} (card declined)
}

func charge(o Order, try int) error {
	switch {
	case o.Card == "stolen":
		return errCardDeclined
	case o.Card == "amex" && try == 1:
		return errBankBusy
	}
	return nil
}

// One order at a time per customer, customers in parallel.
func ExampleGroupBy() {
	c := open()
	defer c.Close()
	ctx, stop := context.WithCancel(context.Background())
	q := queue(c, "orders")
	for _, m := range []*mq.Message{
		{Group: "ann", Body: []byte("ann 1")},
		{Group: "ann", Body: []byte("ann 2")},
		{Group: "ann", Body: []byte("ann 3")},
	} {
		_, err := q.Send(ctx, m)
		check(err)
	}
	done := 0
	err := q.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
		fmt.Println(string(d.Body))
		if done++; done == 3 {
			stop()
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 8, Groups: &mq.GroupBy{}})
	check(err)
	// Output:
	// ann 1
	// ann 2
	// ann 3
}

// A loop instead of a worker. The leases of the batch are kept alive, and
// what the loop has not seen is given back.
func ExampleQueue_Messages() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	for i := range 5 {
		_, err := q.Send(ctx, &mq.Message{Body: fmt.Append(nil, "message ", i)})
		check(err)
	}
	for d, err := range q.Messages(ctx, mq.ReceiveOptions{Max: 64, Wait: mq.Forever}) {
		check(err)
		fmt.Println(string(d.Body))
		if err := d.Ack(ctx); err != nil && !errors.Is(err, mq.ErrStaleReceipt) {
			check(err)
		}
		if string(d.Body) == "message 2" {
			break
		}
	}
	s, err := q.Stats(ctx)
	check(err)
	fmt.Println(s.Visible, "left")
	// Output:
	// message 0
	// message 1
	// message 2
	// 2 left
}
