package mq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

func open() *mq.Client {
	c, err := mq.Open("mem://")
	check(err)
	return c
}

func queue(c *mq.Client, name string) *mq.Queue {
	q, err := c.EnsureQueue(context.Background(), name, mq.QueueOptions{})
	check(err)
	return q
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// What cannot be processed is set aside with a reason, and comes back when
// its cause is mended.
func ExampleQueue_Redrive() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	_, err := q.Send(ctx, &mq.Message{Body: []byte("order 1")})
	check(err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	check(ds[0].Archive(ctx, "bank is closed"))

	dead, err := q.Archived(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Printf("%s: %s\n", dead[0].Body, dead[0].Reason())

	n, err := q.Redrive(ctx, mq.RedriveOptions{})
	check(err)
	ds, err = q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Println(n, "redriven:", string(ds[0].Body), "read", ds[0].ReadCount)
	// Output:
	// order 1: bank is closed
	// 1 redriven: order 1 read 1
}

// A receipt names one lease: when the visibility timeout has ended and
// somebody else has the message, the old holder cannot touch it.
func ExampleDelivery_Ack() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	_, err := q.Send(ctx, &mq.Message{Body: []byte("order 1")})
	check(err)

	slow, err := q.Receive(ctx, mq.ReceiveOptions{Visibility: time.Millisecond})
	check(err)
	other, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
	check(err)

	err = slow[0].Ack(ctx)
	fmt.Println("slow:", errors.Is(err, mq.ErrStaleReceipt))
	fmt.Println("other:", other[0].Ack(ctx))
	// Output:
	// slow: true
	// other: <nil>
}

// A delayed message shows up when its time has come.
func ExampleDelay() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	mails := mq.Of[string](queue(c, "mails"))
	const delay = 20 * time.Millisecond
	begin := time.Now()
	_, err := mails.Send(ctx, "remember the milk", mq.Delay(delay), mq.Header("lang", "en"))
	check(err)

	ds, err := mails.Receive(ctx, mq.ReceiveOptions{Wait: mq.Forever})
	check(err)
	text, err := ds[0].Value()
	check(err)
	fmt.Println(text, ds[0].Headers["lang"], "too early:", time.Since(begin) < delay)
	// Output: remember the milk en too early: false
}

// Enqueue in your own transaction: the row and the message, or neither. In
// memory mem.Tx takes the place of *sql.Tx.
func ExampleQueue_Tx() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	ctx := context.Background()
	mail := queue(c, "mail")

	for _, commit := range []bool{false, true} {
		tx := p.Begin()
		// ... tx.ExecContext(ctx, "insert into orders ...") with a database
		out := mail.Tx(tx)
		_, err := out.Send(ctx, &mq.Message{Body: []byte("receipt")})
		check(err)
		if commit {
			check(tx.Commit())
		} else {
			check(tx.Rollback())
		}
		s, err := mail.Stats(ctx)
		check(err)
		fmt.Println("commit:", commit, "messages:", s.Total)
	}
	// Output:
	// commit: false messages: 0
	// commit: true messages: 1
}

// The effects of a batch and its acks, in one transaction.
func ExampleTxQueue_AckAll() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 3)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 10})
	check(err)
	tx := p.Begin() // with a database: db.BeginTx(ctx, nil)
	check(q.Tx(tx).AckAll(ctx, ds))
	check(tx.Commit())
	s, err := q.Stats(ctx)
	fmt.Println(s.Total, err)
	// Output: 0 <nil>
}

// shout is a codec: anything that turns values into bytes.
type shout struct{}

func (shout) ContentType() string           { return "text/shout" }
func (shout) Marshal(v any) ([]byte, error) { return []byte(strings.ToUpper(fmt.Sprint(v))), nil }
func (shout) Unmarshal(data []byte, v any) error {
	*v.(*string) = string(data)
	return nil
}

func ExampleCodec() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	words := mq.Of[string](queue(c, "words"), shout{}) // or for all queues: Config.Codec
	_, err := words.Send(ctx, "hello")
	check(err)
	ds, err := words.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	word, err := ds[0].Value()
	check(err)
	fmt.Println(word, ds[0].Headers["content-type"])
	// Output: HELLO text/shout
}

// An interceptor sees every call, before it is merged with others.
func ExampleInterceptor() {
	trace := func(ctx context.Context, call *mq.Call, next func(context.Context) error) error {
		for _, m := range call.Messages {
			m.Headers.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		}
		err := next(ctx)
		fmt.Println(call.Op, call.Queue, err)
		return err
	}
	c, err := mq.OpenConfig("mem://", mq.Config{Interceptors: []mq.Interceptor{trace}})
	check(err)
	defer c.Close()
	q := queue(c, "orders")
	_, err = q.Send(context.Background(), &mq.Message{Body: []byte("x")})
	check(err)
	// Output:
	// ensure orders <nil>
	// send orders <nil>
}

// Before a program starts: are its queues there?
func ExampleClient_Verify() {
	c := open()
	defer c.Close()
	queue(c, "orders")
	v := c.Verify(context.Background(), "orders", "mails")
	fmt.Println("healthy:", v.Healthy, "missing:", v.Missing)
	fmt.Println(v.Err())
	// Output:
	// healthy: [orders] missing: [mails]
	// mq: verify "mails": queue not found (create it with EnsureQueue)
}

func ExampleOpen_unknownDriver() {
	_, err := mq.Open("nosuch://app:secret@host/db")
	text, _, _ := strings.Cut(err.Error(), " have:") // the rest lists the drivers
	fmt.Println(text)
	// Output: mq: unknown driver "nosuch" (forgotten import?
}
