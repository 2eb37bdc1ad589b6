package mq_test

import (
	"context"
	"errors"
	"fmt"
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
	o, err := ds[0].Value()
	fmt.Println(o.Card, string(ds[0].Body), err)
	// Output: visa {"id":1,"card":"visa"} <nil>
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

// A message that does not decode comes among the others, to be settled as you like.
func ExampleTypedQueue_Receive() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	numbers := mq.Of[int](queue(c, "numbers"))
	_, err := numbers.Queue().SendAll(ctx, []*mq.Message{{Body: []byte("one")}, {Body: []byte("2")}})
	check(err)
	ds, err := numbers.Receive(ctx, mq.ReceiveOptions{Max: 10})
	check(err)
	for _, d := range ds {
		n, err := d.Value()
		if err != nil {
			fmt.Printf("%s is set aside\n", d.Body)
			check(d.Archive(ctx, err.Error()))
			continue
		}
		fmt.Println("number", n)
		check(d.Ack(ctx))
	}
	// Output:
	// one is set aside
	// number 2
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
		o, err := d.Value()
		check(err)
		fmt.Println("order", o.ID)
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
	worker, err := mq.NewConsumer(q, h, mq.ConsumerConfig{})
	check(err)
	check(worker.Run(whileBusy(q)))
	// Output: order 7
}

// Message 1 does not decode into a number.
func ExampleTypedDelivery_Value() {
	c := open()
	defer c.Close()
	q := queue(c, "numbers")
	_, err := q.SendAll(context.Background(), []*mq.Message{{Body: []byte("7")}, {Body: []byte("seven")}})
	check(err)
	for d, err := range mq.Of[int](q).Messages(context.Background(), mq.ReceiveOptions{}) {
		check(err)
		fmt.Println(d.Value())
		check(d.Ack(context.Background()))
	}
	// Output:
	// 7 <nil>
	// 0 payload does not decode into int: invalid character 's' looking for beginning of value
}

// At is for a time of day; the backend's clock only knows the delay.
func ExampleAt() {
	c := open()
	defer c.Close()
	mails := mq.Of[string](queue(c, "mails"))
	_, err := mails.Send(context.Background(), "good morning", mq.At(time.Now().Add(time.Hour)))
	check(err)
	s, err := mails.Queue().Stats(context.Background())
	fmt.Println(s.Delayed, err)
	// Output: 1 <nil>
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
	v, err := ds[0].Value()
	check(err)
	fmt.Println(string(ds[0].Body), v+1)
	// Output: 21.5 22.5
}
