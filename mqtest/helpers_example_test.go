package mqtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// exampleT takes the place of the *testing.T that examples do not have.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

type order struct {
	ID    int
	Total float64
}

func ExampleNew() {
	t := new(exampleT) // a test has its own
	defer t.end()

	c := mqtest.New(t)
	q, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	fmt.Println(q.Name(), err)
	// Output: orders <nil>
}

func ExampleRequireSent() {
	t := new(exampleT) // a test has its own
	defer t.end()
	q, err := mqtest.New(t).EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}

	// The code under test sends an order, which is due tomorrow.
	if _, err := mq.Of[order](q).Send(t.Context(), order{ID: 7, Total: 9.5}, mq.Delay(24*time.Hour)); err != nil {
		t.Fatalf("%v", err)
	}

	o := mqtest.RequireSent(t, q, func(o order) bool { return o.ID == 7 })
	fmt.Println(o.Total)

	mqtest.RequireSent(t, q, func(o order) bool { return o.ID == 8 })
	// Output:
	// 9.5
	// mqtest: queue "orders" has no such mqtest_test.order: there is 1:
	// 	id 1, read 0 times, 20 bytes: "{\"ID\":7,\"Total\":9.5}"
}

func ExampleRequireEmpty() {
	t := new(exampleT) // a test has its own
	defer t.end()
	q, err := mqtest.New(t).EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}

	mqtest.RequireEmpty(t, q)
	fmt.Println("nothing was sent")
	// Output: nothing was sent
}

func ExampleDeliver() {
	t := new(exampleT) // a test has its own
	defer t.end()

	charge := mq.HandlerFunc(func(_ context.Context, d *mq.Delivery) error {
		switch string(d.Body) {
		case "declined":
			return mq.Reject(errors.New("card declined"))
		case "busy":
			return mq.Retry(30*time.Second, errors.New("bank is busy"))
		case "night":
			return mq.Snooze(8 * time.Hour)
		}
		return nil
	})

	for _, body := range []string{"paid", "busy", "night", "declined"} {
		o := mqtest.Deliver(t, charge, mq.Message{Body: []byte(body)})
		switch {
		case o.Acked:
			fmt.Println("acked")
		case o.Retried:
			fmt.Printf("again in %v: %v\n", o.After, o.Err)
		case o.Snoozed:
			fmt.Println("not before", o.After)
		case o.DeadLettered:
			fmt.Println("dead letter:", o.Reason)
		}
	}
	// Output:
	// acked
	// again in 30s: bank is busy
	// not before 8h0m0s
	// dead letter: card declined
}
