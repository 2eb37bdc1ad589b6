package mq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/portmq/mq"
)

// A worker is a function and a call that lasts until ctx ends.
func ExampleQueue_Consume() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 3)
	ctx := whileBusy(q) // in a program it is of signal.NotifyContext
	err := q.Consume(ctx, func(_ context.Context, d *mq.Delivery) error {
		fmt.Println("order", string(d.Body))
		return nil
	}, mq.ConsumerConfig{Concurrency: 1})
	fmt.Println(err)
	// Output:
	// order 1
	// order 2
	// order 3
	// <nil>
}

// A Consumer can be looked at and changed while it runs.
func ExampleNewConsumer() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 100)
	worker, err := mq.NewConsumer(q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		return nil
	}), mq.ConsumerConfig{})
	check(err)
	worker.SetConcurrency(2)
	check(worker.Run(whileBusy(q)))
	s := worker.Stats()
	fmt.Println(s.Received, "received,", s.Acked, "acked,", s.Running, "running")
	// Output: 100 received, 100 acked, 0 running
}

// A Consumer that pauses finishes what it has and takes nothing else, as long
// as a service that it needs is down, for instance.
func ExampleConsumer_Pause() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	worker, err := mq.NewConsumer(q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		return nil
	}), mq.ConsumerConfig{})
	check(err)
	worker.Pause()
	fill(q, 10)
	done := make(chan error)
	go func() { done <- worker.Run(whileBusy(q)) }()
	time.Sleep(20 * time.Millisecond)
	fmt.Println(worker.Stats().Received, "received")
	worker.Resume()
	fmt.Println(<-done, worker.Stats().Received, "received")
	// Output:
	// 0 received
	// <nil> 10 received
}

func ExampleConsumer_SetConcurrency() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 5)
	var worker *mq.Consumer // which its handler changes
	worker, err := mq.NewConsumer(q, mq.HandlerFunc(func(context.Context, *mq.Delivery) error {
		if s := worker.Stats(); s.Acked > 2 {
			worker.SetConcurrency(20) // handlers that run are not interrupted
		}
		return nil
	}), mq.ConsumerConfig{Concurrency: 1})
	check(err)
	fmt.Println(worker.Run(whileBusy(q)))
	// Output: <nil>
}

// act is a handler that fails in a way that the message names.
func act(_ context.Context, d *mq.Delivery) error {
	switch string(d.Body) {
	case "1":
		return mq.Reject(errors.New("no such product")) // a dead letter, now
	case "2":
		return mq.Retry(time.Millisecond, errors.New("out of stock")) // again, after that time
	}
	return nil
}

// deadLetters runs act until every message is done or dead.
func deadLetters() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 2)
	check(q.Consume(whileBusy(q), act, mq.ConsumerConfig{
		MaxAttempts: 2,
	}))
	dead, err := q.Archived(context.Background(), mq.BrowseOptions{})
	check(err)
	for _, r := range dead {
		fmt.Printf("%s, read %d times: %s\n", r.Body, r.ReadCount, r.Reason())
	}
}

func ExampleReject() {
	fmt.Println(mq.Reject(errors.New("no such product")))
	deadLetters()
	// Output:
	// no such product
	// 1, read 1 times: no such product
	// 2, read 2 times: attempt 2 failed, the limit is 2: out of stock
}

func ExampleRetry() {
	errStock := errors.New("out of stock")
	handle := func(context.Context, *mq.Delivery) error {
		return mq.Retry(time.Minute, errStock)
	}
	err := handle(context.Background(), nil)
	fmt.Println(err, errors.Is(err, errStock))
	// Output: out of stock true
}

// The pauses after the first failures, but for the fifth by which they vary.
func ExampleExponential() {
	backoff := mq.Exponential(time.Second, 10*time.Second)
	for reads := 1; reads <= 5; reads++ {
		want := min(time.Second<<(reads-1), 10*time.Second)
		pause := backoff(reads)
		fmt.Println(want, pause >= want*4/5 && pause <= want*6/5)
	}
	// Output:
	// 1s true
	// 2s true
	// 4s true
	// 8s true
	// 10s true
}

// A middleware wraps every handler: to log, to measure, to limit.
func ExampleMiddleware() {
	trace := func(next mq.Handler) mq.Handler {
		return mq.HandlerFunc(func(ctx context.Context, d *mq.Delivery) error {
			err := next.Handle(ctx, d)
			fmt.Println(d.Queue().Name(), d.ID, err)
			return err
		})
	}
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 1)
	check(q.Consume(whileBusy(q), func(context.Context, *mq.Delivery) error {
		return nil
	}, mq.ConsumerConfig{Middleware: []mq.Middleware{trace}}))
	// Output: orders 1 <nil>
}

// A handler of typed payloads, and code below it, finds the delivery.
func ExampleFromContext() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	_, err := orders.Send(context.Background(), Order{ID: 7}, mq.Header("lang", "en"))
	check(err)
	check(orders.Consume(whileBusy(orders.Queue()), func(ctx context.Context, o Order) error {
		d, _ := mq.FromContext(ctx)
		fmt.Println("order", o.ID, "read", d.ReadCount, d.Headers["lang"])
		return nil
	}, mq.ConsumerConfig{}))
	// Output: order 7 read 1 en
}

// A handler that panics has failed, and its worker goes on.
func ExamplePanicError() {
	c, err := mq.OpenConfig("mem://", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 1)
	check(q.Consume(whileBusy(q), func(context.Context, *mq.Delivery) error {
		panic("index out of range")
	}, mq.ConsumerConfig{MaxAttempts: 1}))
	dead, err := q.Archived(context.Background(), mq.BrowseOptions{})
	check(err)
	fmt.Println(dead[0].Reason())
	// Output: attempt 1 failed, the limit is 1: handler panicked: index out of range
}

// Handlers that still run after SoftStop and HardStop are counted. Their
// messages come back when their visibility timeouts end.
func ExampleStopError() {
	c, err := mq.OpenConfig("mem://", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	q := queue(c, "orders")
	fill(q, 1)
	ctx, stop := context.WithCancel(context.Background())
	release := make(chan struct{})
	err = q.Consume(ctx, func(context.Context, *mq.Delivery) error {
		stop()
		<-release // it does not look at its context
		return nil
	}, mq.ConsumerConfig{SoftStop: mq.AtOnce, HardStop: time.Millisecond})
	if e, ok := errors.AsType[*mq.StopError](err); ok {
		fmt.Println(e.Abandoned, "abandoned")
	}
	close(release)
	check(c.Close())
	// Output: 1 abandoned
}
