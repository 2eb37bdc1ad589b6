package mqcron_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqcron"
)

// Report is what the queue carries.
type Report struct{ Kind string }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Each instance of a service runs the same schedules, and consumes the messages as usual.
func ExampleRun() {
	c, err := mq.Open("mem://")
	check(err)
	defer c.Close()
	ctx, stop := context.WithCancel(context.Background())
	q, err := c.EnsureQueue(ctx, "reports", mq.QueueOptions{})
	check(err)
	reports := mq.Of[Report](q)
	go func() {
		check(mqcron.Run(ctx, c, mqcron.Config{},
			mqcron.Every("sales", "@every 1s", nil, reports, Report{"sales"}),
			mqcron.Every("month", "0 3 1 * *", time.UTC, reports, Report{"last month"}, mqcron.CatchUpAll),
		))
	}()
	err = reports.Consume(ctx, func(_ context.Context, r Report) error {
		fmt.Println("a report:", r.Kind)
		stop()
		return nil
	}, mq.ConsumerConfig{Concurrency: 1})
	check(err)
	// Output: a report: sales
}

// A program that is no service sets a schedule and leaves it to those that run.
func ExampleSet() {
	c, err := mq.Open("mem://")
	check(err)
	defer c.Close()
	ctx := context.Background()
	q, err := c.EnsureQueue(ctx, "reports", mq.QueueOptions{})
	check(err)
	yearly := mqcron.Every("year", "@yearly", nil, mq.Of[Report](q), Report{"last year"}, mqcron.Sending(mq.Group("reports")))
	check(mqcron.Set(ctx, c, mqcron.Config{}, yearly))

	all, err := mqcron.List(ctx, c, mqcron.Config{})
	check(err)
	for _, s := range all {
		fmt.Println(s.Name, s.Spec, s.Next.Format("January 2"))
	}
	_, err = mqcron.RunNow(ctx, c, mqcron.Config{}, "year")
	check(err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Println(string(ds[0].Body), ds[0].Group)
	check(mqcron.Remove(ctx, c, mqcron.Config{}, "year"))
	// Output:
	// year @yearly January 1
	// {"Kind":"last year"} reports
}
