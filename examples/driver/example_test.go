package toy_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/examples/driver"
	"github.com/portmq/mq/mqtest"
	"github.com/portmq/mq/mqtest/drivertest"
)

func Example() {
	ctx := context.Background()
	c, err := mq.Open("toy://")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := q.Send(ctx, &mq.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range ds {
		fmt.Printf("%s, read %d times\n", d.Body, d.ReadCount)
		fmt.Println(d.Ack(ctx))
	}
	// Output:
	// order 1, read 1 times
	// <nil>
}

// What mq makes of a connection that is refused twice.
func Example_faulty() {
	ctx := context.Background()
	inner, err := mq.Open("toy://")
	if err != nil {
		log.Fatal(err)
	}
	p := mqtest.Faulty(inner.Provider(), mqtest.Fault{Op: "send", When: mqtest.First(2), Err: driver.ErrBadConn})
	c := mq.New(p, mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = q.Send(ctx, &mq.Message{Body: []byte("order 1")})
	fmt.Println(err, p.Calls("send"), p.Applied("send"))
	// Output: <nil> 3 1
}

func Example_report() {
	fmt.Print(drivertest.ReportHeader())
	fmt.Print(drivertest.Report(harness))
	// Output:
	// | driver | order | delay | head start | headers | attempts | groups | group limit | dedup | topics | tx | manage | browse | redrive | move | operate | pop | shared | durable | portable receipts | exact bodies | exact stats | max batch | max body | max delay | max hold | resolution |
	// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
	// | toy | id | yes | no | yes | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | yes | yes | 1000 | none | none | none | none |
}
