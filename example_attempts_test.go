package mq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

// quiet opens a client whose failures are not logged, as the examples expect some.
func quiet() *mq.Client {
	c, err := mq.OpenConfig("mem://", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	return c
}

// A message whose time has not come is snoozed: that is no failure, however often it
// happens.
func ExampleSnooze() {
	c := quiet()
	defer c.Close()
	q := queue(c, "reports")
	fill(q, 1)
	var calls atomic.Int32
	check(q.Consume(whileBusy(q), func(_ context.Context, d *mq.Delivery) error {
		if calls.Add(1) < 4 {
			return mq.Snooze(time.Millisecond) // the bank opens later
		}
		fmt.Println("read", d.ReadCount, "times, attempt", d.Attempt)
		return nil
	}, mq.ConsumerConfig{MaxAttempts: 1}))
	// Output: read 4 times, attempt 1
}

// Every outcome that is not a success is an event, and a line in the log.
func ExampleEvent() {
	c := quiet()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 1)
	check(q.Consume(whileBusy(q), func(context.Context, *mq.Delivery) error {
		return errors.New("bank is down")
	}, mq.ConsumerConfig{
		MaxAttempts: 2,
		Backoff:     func(int) time.Duration { return 0 },
		OnEvent: func(_ context.Context, e mq.Event) {
			fmt.Printf("%v, attempt %d: %v\n", e.Kind, e.Delivery.Attempt, e.Err)
		},
	}))
	// Unordered output:
	// retry, attempt 1: bank is down
	// dead letter, attempt 2: bank is down
}

// For a health check: a Consumer that cannot fetch says why.
func ExampleConsumer_Health() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	worker, err := mq.NewConsumer(q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error { return nil }), mq.ConsumerConfig{})
	check(err)
	fmt.Println(worker.Health())
	// Output: mq: consume "orders": the consumer is not running
}

// A server that stops has a deadline.
func ExampleClient_Shutdown() {
	c := open()
	q := queue(c, "orders")
	done := make(chan error)
	go func() {
		done <- q.Consume(context.Background(), func(context.Context, *mq.Delivery) error { return nil }, mq.ConsumerConfig{})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	fmt.Println(c.Shutdown(ctx))
	if err := <-done; err != nil && !errors.Is(err, mq.ErrClosed) { // ErrClosed if it had not begun
		fmt.Println(err)
	}
	// Output: <nil>
}

// One message of each customer at a time.
func ExampleByGroup() {
	heads(mq.ByGroup(),
		&mq.Message{Body: []byte(`"a1"`), Group: "ann"}, &mq.Message{Body: []byte(`"a2"`), Group: "ann"}, &mq.Message{Body: []byte(`"b1"`), Group: "bob"})
	// Output:
	// ann "a1"
	// bob "b1"
}

// The senders are programs that set a header of their own.
func ExampleByHeader() {
	of := func(tenant string) mq.Headers { return mq.Headers{"tenant": tenant} }
	heads(mq.ByHeader("tenant"),
		&mq.Message{Body: []byte(`"a1"`), Headers: of("acme")}, &mq.Message{Body: []byte(`"a2"`), Headers: of("acme")}, &mq.Message{Body: []byte(`"b1"`), Headers: of("bolt")})
	// Output:
	// acme "a1"
	// bolt "b1"
}

// The group is in the body.
func ExampleByPath() {
	heads(mq.ByPath("pr", "id"),
		&mq.Message{Body: []byte(`{"pr":{"id":7},"step":1}`)}, &mq.Message{Body: []byte(`{"pr":{"id":7},"step":2}`)})
	// Output: 7 {"pr":{"id":7},"step":1}
}

// heads sends messages and shows the first of each group.
func heads(by *mq.GroupBy, msgs ...*mq.Message) {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	_, err := q.SendAll(ctx, msgs)
	check(err)
	ds, err := q.ReceiveHeads(ctx, by, mq.ReceiveOptions{Max: 10})
	check(err)
	for _, d := range ds {
		fmt.Println(d.GroupKey, string(d.Body))
	}
}
