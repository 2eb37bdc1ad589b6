package mq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// A handler of batches writes many rows at once. Each message has its own answer.
func ExampleQueue_ConsumeBatch() {
	c := open()
	defer c.Close()
	q := queue(c, "clicks")
	fill(q, 5)
	err := q.ConsumeBatch(whileBusy(q), func(_ context.Context, ds []*mq.Delivery) []error {
		answers := make([]error, len(ds))
		var rows []string
		for i, d := range ds {
			if string(d.Body) == "4" {
				answers[i] = mq.Reject(errors.New("not a click"))
				continue
			}
			rows = append(rows, string(d.Body))
		}
		fmt.Println(len(rows), "rows of", len(ds), "messages")
		return answers
	}, mq.BatchConfig{Max: 5, Within: time.Minute})
	check(err)
	dead, err := q.Archived(context.Background(), mq.BrowseOptions{})
	check(err)
	fmt.Println("dead letter:", dead[0].Reason())
	// Output:
	// 4 rows of 5 messages
	// dead letter: not a click
}

// One error stands for all messages of the batch.
func ExampleNewBatchConsumer() {
	c := open()
	defer c.Close()
	q := queue(c, "clicks")
	fill(q, 200)
	sizes := make(chan int, 10)
	worker, err := mq.NewBatchConsumer(q, func(_ context.Context, ds []*mq.Delivery) []error {
		sizes <- len(ds)
		return []error{insert(ds)} // nil acks them all
	}, mq.BatchConfig{Max: 50, Within: time.Minute})
	check(err)
	check(worker.Run(whileBusy(q)))
	close(sizes)
	for n := range sizes {
		fmt.Println(n, "at once")
	}
	fmt.Println(worker.Stats().Acked, "acked")
	// Output:
	// 50 at once
	// 50 at once
	// 50 at once
	// 50 at once
	// 200 acked
}

func insert([]*mq.Delivery) error { return nil }

// Messages that do not decode are dead letters, and the handler does not get them.
func ExampleTypedQueue_ConsumeBatch() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	ctx := context.Background()
	_, err := orders.SendAll(ctx, []Order{{1, "visa"}, {2, "amex"}})
	check(err)
	_, err = orders.Queue().Send(ctx, &mq.Message{Body: []byte("not JSON")})
	check(err)
	err = orders.ConsumeBatch(whileBusy(orders.Queue()), func(_ context.Context, ds []mq.TypedDelivery[Order]) []error {
		for _, d := range ds {
			o, _ := d.Value()
			fmt.Println("order", o.ID)
		}
		return nil
	}, mq.BatchConfig{Max: 3})
	check(err)
	dead, err := orders.Queue().Archived(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Println(len(dead), "dead letter")
	// Output:
	// order 1
	// order 2
	// 1 dead letter
}

// BatchHandler is for NewBatchConsumer, whose Consumer can be looked at.
func ExampleTypedQueue_BatchHandler() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	_, err := orders.SendAll(context.Background(), []Order{{1, "visa"}, {2, "stolen"}, {3, "amex"}})
	check(err)
	worker, err := mq.NewBatchConsumer(orders.Queue(), orders.BatchHandler(func(_ context.Context, ds []mq.TypedDelivery[Order]) []error {
		answers := make([]error, len(ds))
		for i, d := range ds {
			if o, _ := d.Value(); o.Card == "stolen" {
				answers[i] = mq.Reject(errCardDeclined)
			}
		}
		return answers
	}), mq.BatchConfig{Max: 3})
	check(err)
	check(worker.Run(whileBusy(orders.Queue())))
	s := worker.Stats()
	fmt.Println(s.Acked, "acked,", s.DeadLettered, "dead letter")
	// Output: 2 acked, 1 dead letter
}

// Several types of messages in one queue, each with a handler of its own.
func ExampleMux_Handle() {
	type Placed struct{ ID int }
	type Paid struct{ ID, Cents int }
	c := open()
	defer c.Close()
	q := queue(c, "events")
	ctx := context.Background()
	_, err := mq.Of[Placed](q).Send(ctx, Placed{1}, mq.Type("order.placed"))
	check(err)
	_, err = mq.Of[Paid](q).Send(ctx, Paid{1, 990}, mq.Type("order.paid"))
	check(err)
	_, err = mq.Of[Placed](q).Send(ctx, Placed{1}, mq.Type("order.lost"))
	check(err)

	mux := mq.Mux{Types: map[string]mq.Handler{
		"order.placed": mq.Of[Placed](q).Handler(func(_ context.Context, p Placed) error {
			fmt.Println("placed:", p.ID)
			return nil
		}),
		"order.paid": mq.Of[Paid](q).Handler(func(_ context.Context, p Paid) error {
			fmt.Println("paid:", p.ID, p.Cents)
			return nil
		}),
	}}
	worker, err := mq.NewConsumer(q, mux, mq.ConsumerConfig{Concurrency: 1})
	check(err)
	check(worker.Run(whileBusy(q)))
	dead, err := q.Archived(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Println("dead letter:", dead[0].Reason())
	// Output:
	// placed: 1
	// paid: 1 990
	// dead letter: there is no handler for messages of type "order.lost"
}

// Type is a header, which programs in other languages can set as well.
func ExampleType() {
	c := open()
	defer c.Close()
	events := mq.Of[Order](queue(c, "events"))
	m, err := events.Encode(Order{1, "visa"}, mq.Type("order.placed"))
	check(err)
	fmt.Println(m.Headers)
	// Output: map[type:order.placed]
}

// A message that is not worth handling any more is archived, and its handler does not
// see it.
func ExampleExpires() {
	c := open()
	defer c.Close()
	codes := mq.Of[string](queue(c, "codes"))
	ctx := context.Background()
	_, err := codes.Send(ctx, "your code is 1234", mq.Expires(time.Millisecond))
	check(err)
	_, err = codes.Send(ctx, "your code is 5678", mq.Expires(time.Hour))
	check(err)
	time.Sleep(2 * time.Millisecond)
	err = codes.Consume(whileBusy(codes.Queue()), func(_ context.Context, text string) error {
		fmt.Println(text)
		return nil
	}, mq.ConsumerConfig{})
	check(err)
	old, err := codes.Queue().Archived(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Println(old[0].Reason())
	// Output:
	// your code is 5678
	// expired: it was worth handling for 1ms
}

// Receivers other than Consumers see for themselves.
func ExampleDelivery_Expired() {
	c := open()
	defer c.Close()
	q := queue(c, "codes")
	ctx := context.Background()
	for _, m := range []*mq.Message{{Body: []byte("old"), Expires: time.Millisecond}, {Body: []byte("new"), Expires: time.Hour}} {
		_, err := q.Send(ctx, m)
		check(err)
	}
	time.Sleep(2 * time.Millisecond)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 2})
	check(err)
	for _, d := range ds {
		fmt.Println(string(d.Body), d.Expired())
	}
	// Output:
	// old true
	// new false
}

// An urgent message overtakes what has waited for less than its head start.
func ExampleAhead() {
	c := open()
	defer c.Close()
	mails := mq.Of[string](queue(c, "mails"))
	ctx := context.Background()
	for _, text := range []string{"newsletter 1", "newsletter 2"} {
		_, err := mails.Send(ctx, text)
		check(err)
	}
	_, err := mails.Send(ctx, "password reset", mq.Ahead(time.Hour))
	check(err)
	var got []string
	for range 3 {
		ds, err := mails.Receive(ctx, mq.ReceiveOptions{})
		check(err)
		text, _ := ds[0].Value()
		got = append(got, text)
	}
	fmt.Println(strings.Join(got, ", "))
	// Output: password reset, newsletter 1, newsletter 2
}
