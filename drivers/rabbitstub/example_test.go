package rabbitstub_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/rabbitstub"
)

// A worker's connection is lost while it works. The message comes again, and the
// handler learns from its context that it should stop. The test takes an hour
// of fake time, and none of ours.
func Example() {
	test := func(t *testing.T) {
		p := rabbitstub.New()
		c := mq.New(p, silent)
		defer c.Close()
		orders, err := c.EnsureQueue(t.Context(), "orders", mq.QueueOptions{})
		check(err)
		_, err = orders.Send(t.Context(), &mq.Message{Body: []byte("order 1"), Delay: time.Hour})
		check(err)

		ctx, stop := context.WithCancel(t.Context())
		work := func(ctx context.Context, d *mq.Delivery) error {
			if d.ReadCount > 1 {
				fmt.Printf("%s again, read %d times\n", d.Body, d.ReadCount)
				stop()
				return nil
			}
			p.Broker().Disconnect()
			<-ctx.Done() // the next heartbeat tells
			fmt.Println("lease lost:", errors.Is(context.Cause(ctx), mq.ErrStaleReceipt))
			return ctx.Err()
		}
		check(orders.Consume(ctx, work, mq.ConsumerConfig{Concurrency: 1}))
	}
	run(func(t *testing.T) { synctest.Test(t, test) }) // what a TestReconnect(t *testing.T) does
	// Output:
	// lease lost: true
	// order 1 again, read 2 times
}

// run takes the place of go test, which calls examples without a *testing.T.
func run(test func(*testing.T)) {
	defer set("test.v", "false")() // it would show among the output
	defer set("test.count", "1")()
	every := func(string, string) (bool, error) { return true, nil }
	if !testing.RunTests(every, []testing.InternalTest{{Name: "TestReconnect", F: test}}) {
		log.Fatal("the test failed")
	}
}

// set sets a flag of go test.
func set(name, value string) (reset func()) {
	f := flag.Lookup(name).Value
	old := f.String()
	check(f.Set(value))
	return func() { check(f.Set(old)) }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
