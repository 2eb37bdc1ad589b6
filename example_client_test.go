package mq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// A provider that was opened past the registry, as with pgmq.FromDB on a pool
// that the program has already.
func ExampleNew() {
	c := mq.New(mem.New(), mq.Config{CallTimeout: 10 * time.Second})
	defer c.Close()
	fmt.Println(c.Provider().Name(), c.Ping(context.Background()))
	// Output: mem <nil>
}

// A driver whose constructor takes a logger of the program guards it.
func ExampleGuardLogger() {
	l := slog.New(slog.NewTextHandler(broken{}, nil))
	mq.GuardLogger(l).Warn("connection lost")
	fmt.Println("the driver goes on")
	// Output: the driver goes on
}

// broken is where log lines go.
type broken struct{}

func (broken) Write([]byte) (int, error) { panic("disk is gone") }

func ExampleOpenConfig() {
	c, err := mq.OpenConfig("mem://", mq.Config{AllowDuplicateMoves: true})
	check(err)
	defer c.Close()
	fmt.Println(c.Provider().Name())
	// Output: mem
}

func ExampleDrivers() {
	fmt.Println(slices.Contains(mq.Drivers(), "mem"))
	// Output: true
}

// Open does no I/O. Ping says whether the backend is there.
func ExampleClient_Ping() {
	c := open()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(c.Ping(ctx))
	// Output: <nil>
}

// A program that can do without something asks before.
func ExampleClient_Caps() {
	c := open()
	defer c.Close()
	m := &mq.Message{Body: []byte("remind me")}
	if c.Caps().Delay {
		m.Delay = time.Hour
	}
	_, err := queue(c, "mails").Send(context.Background(), m)
	fmt.Println(m.Delay, err)
	// Output: 1h0m0s <nil>
}

func ExampleClient_EnsureQueue() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	for range 2 { // the second time it is there
		q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
		check(err)
		fmt.Println(q.Name())
	}
	_, err := c.EnsureQueue(ctx, "24/7 orders", mq.QueueOptions{})
	fmt.Println("portable:", !errors.Is(err, mq.ErrInvalid))
	// Output:
	// orders
	// orders
	// portable: false
}

// A handle does no I/O. Whether the queue is there shows in the first call.
func ExampleClient_Queue() {
	c := open()
	defer c.Close()
	_, err := c.Queue("nosuch").Send(context.Background(), new(mq.Message))
	fmt.Println(errors.Is(err, mq.ErrQueueNotFound))
	fmt.Println(err)
	// Output:
	// true
	// mq: send "nosuch": mem: queue not found (create it with EnsureQueue)
}

func ExampleClient_Queues() {
	c := open()
	defer c.Close()
	queue(c, "orders")
	queue(c, "mails")
	fmt.Println(c.Queues(context.Background()))
	// Output: [mails orders] <nil>
}

func ExampleClient_StatsAll() {
	c := open()
	defer c.Close()
	fill(queue(c, "orders"), 2)
	queue(c, "mails")
	all, err := c.StatsAll(context.Background())
	fmt.Println(all["orders"].Visible, all["mails"].Visible, err)
	// Output: 2 0 <nil>
}

func ExampleClient_DropQueue() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	queue(c, "orders")
	check(c.DropQueue(ctx, "orders"))
	check(c.DropQueue(ctx, "orders")) // it is no error if there is none
	names, err := c.Queues(ctx)
	fmt.Println(len(names), err)
	// Output: 0 <nil>
}

// Close ends consumers as their contexts would, and waits for them.
func ExampleClient_Close() {
	c := open()
	q := queue(c, "orders")
	fill(q, 1)
	working, done := make(chan bool), make(chan error)
	go func() {
		done <- q.Consume(context.Background(), func(context.Context, *mq.Delivery) error {
			working <- true
			return nil
		}, mq.ConsumerConfig{})
	}()
	<-working
	fmt.Println(c.Close(), <-done)
	_, err := q.Send(context.Background(), new(mq.Message))
	fmt.Println(errors.Is(err, mq.ErrClosed))
	// Output:
	// <nil> <nil>
	// true
}

// Which operation failed, on which queue, who says so, and why.
func ExampleError() {
	c := open()
	defer c.Close()
	_, err := c.Queue("nosuch").Receive(context.Background(), mq.ReceiveOptions{})
	if e, ok := errors.AsType[*mq.Error](err); ok {
		fmt.Println(e.Op, e.Queue, e.Provider, errors.Is(err, mq.ErrQueueNotFound))
	}
	// Output: receive nosuch mem true
}
