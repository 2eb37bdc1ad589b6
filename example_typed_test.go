package mq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// A queue whose payloads are orders, encoded as JSON unless Config.Codec says
// otherwise.
func ExampleOf() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	orders := mq.Of[Order](queue(c, "orders"))
	_, err := orders.Send(ctx, Order{ID: 1, Card: "visa"})
	check(err)
	ds, err := orders.Receive(ctx, mq.ReceiveOptions{Wait: time.Second})
	check(err)
	fmt.Println(ds[0].Value.Card, string(ds[0].Body))
	// Output: visa {"id":1,"card":"visa"}
}

func ExampleTypedQueue_Send() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	id, err := orders.Send(context.Background(), Order{ID: 7},
		mq.Group("ann"), mq.Delay(time.Hour), mq.Header("lang", "en"))
	fmt.Println(id, err)
	// Output: 1 <nil>
}

func ExampleTypedQueue_SendAll() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	ids, err := orders.SendAll(context.Background(), []Order{{ID: 1}, {ID: 2}, {ID: 3}})
	fmt.Println(ids, err)
	// Output: [1 2 3] <nil>
}

// The order is sent if, and when, the transaction commits.
func ExampleTypedQueue_SendTx() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	ctx := context.Background()
	orders := mq.Of[Order](queue(c, "orders"))

	tx := p.Begin() // with a database: db.BeginTx(ctx, nil)
	_, err := orders.SendTx(ctx, tx, Order{ID: 1})
	check(err)
	before, err := orders.Queue().Stats(ctx)
	check(err)
	check(tx.Commit())
	after, err := orders.Queue().Stats(ctx)
	check(err)
	fmt.Println(before.Total, after.Total)
	// Output: 0 1
}

// A message that can be sent later, or beside others.
func ExampleTypedQueue_Encode() {
	c := open()
	defer c.Close()
	orders := mq.Of[Order](queue(c, "orders"))
	m, err := orders.Encode(Order{ID: 1, Card: "visa"}, mq.Group("ann"))
	check(err)
	fmt.Println(m.Group, string(m.Body))
	_, err = orders.Queue().Send(context.Background(), m)
	check(err)
	// Output: ann {"id":1,"card":"visa"}
}

// What does not decode is set aside, with the reason, and the rest is there.
func ExampleTypedQueue_Receive() {
	c, err := mq.OpenConfig("mem://", mq.Config{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	defer c.Close()
	ctx := context.Background()
	numbers := mq.Of[int](queue(c, "numbers"))
	_, err = numbers.Queue().SendAll(ctx, []*mq.Message{{Body: []byte("one")}, {Body: []byte("2")}})
	check(err)
	ds, err := numbers.Receive(ctx, mq.ReceiveOptions{Max: 10})
	check(err)
	for _, d := range ds {
		fmt.Println(d.Value, d.Ack(ctx))
	}
	s, err := numbers.Queue().Stats(ctx)
	check(err)
	fmt.Println(s.Archived, "set aside")
	// Output:
	// 2 <nil>
	// 1 set aside
}

func ExampleTypedQueue_Messages() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	orders := mq.Of[Order](queue(c, "orders"))
	_, err := orders.SendAll(ctx, []Order{{ID: 1}, {ID: 2}})
	check(err)
	for d, err := range orders.Messages(ctx, mq.ReceiveOptions{}) { // without Wait it ends with the messages
		check(err)
		fmt.Println("order", d.Value.ID)
		check(d.Ack(ctx))
	}
	// Output:
	// order 1
	// order 2
}

// For NewConsumer, and for tests.
func ExampleTypedQueue_Handler() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	h := mq.Of[Order](q).Handler(func(_ context.Context, o Order) error {
		fmt.Println("order", o.ID)
		return nil
	})
	_, err := q.Send(context.Background(), &mq.Message{Body: []byte(`{"id":7}`)})
	check(err)
	check(mq.NewConsumer(q, h, mq.ConsumerConfig{}).Run(whileBusy(q)))
	// Output: order 7
}

func ExampleTypedQueue_Queue() {
	c := open()
	defer c.Close()
	fmt.Println(mq.Of[Order](queue(c, "orders")).Queue().Name())
	// Output: orders
}

// A handler that decodes by itself says so with a DecodeError, and the message
// is a dead letter without another try.
func ExampleDecodeError() {
	c := open()
	defer c.Close()
	q := queue(c, "numbers")
	fill(q, 1)
	err := mq.Of[Order](q).Handler(func(context.Context, Order) error { return nil }).
		Handle(context.Background(), receive(q))
	if e, ok := errors.AsType[*mq.DecodeError](err); ok {
		fmt.Println("no", e.Type)
	}
	// Output: no mq_test.Order
}

// Celsius has an encoding of its own.
type Celsius float64

// MarshalMQ encodes c as text.
func (c Celsius) MarshalMQ() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(c), 'f', 1, 64), nil
}

// UnmarshalMQ decodes what MarshalMQ has made.
func (c *Celsius) UnmarshalMQ(data []byte) error {
	f, err := strconv.ParseFloat(string(data), 64)
	*c = Celsius(f)
	return err
}

// A type with an encoding of its own needs no codec.
func ExampleMarshaler() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := mq.Of[Celsius](queue(c, "temperatures"))
	_, err := q.Send(ctx, 21.5)
	check(err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Println(string(ds[0].Body), ds[0].Value+1)
	// Output: 21.5 22.5
}
