package mq_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// receive leases one message.
func receive(q *mq.Queue) *mq.Delivery {
	ds, err := q.Receive(context.Background(), mq.ReceiveOptions{Wait: time.Second})
	check(err)
	return ds[0]
}

// What cannot be done now is given back, at once or for later.
func ExampleDelivery_Nack() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 1)
	check(receive(q).Nack(ctx, 0))
	check(receive(q).Nack(ctx, 20*time.Millisecond))
	fmt.Println("read", receive(q).ReadCount, "times")
	// Output: read 3 times
}

// The archive keeps a message and the reason why it is there.
func ExampleDelivery_Archive() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 1)
	check(receive(q).Archive(ctx, "card declined"))
	s, err := q.Stats(ctx)
	check(err)
	fmt.Println(s.Total, "in the queue,", s.Archived, "in the archive")
	// Output: 0 in the queue, 1 in the archive
}

// A lease that is extended lasts so long from now. A Consumer and
// Queue.Messages do it by themselves.
func ExampleDelivery_Extend() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 1)
	d := receive(q)
	check(d.Extend(ctx, time.Hour))
	records, err := q.Peek(ctx, mq.BrowseOptions{})
	check(err)
	fmt.Println(records[0].VisibleAt.Sub(d.EnqueuedAt) >= time.Hour)
	// Output: true
}

func ExampleDelivery_Move() {
	c := open()
	defer c.Close()
	q, review := queue(c, "orders"), queue(c, "review")
	fill(q, 1)
	check(receive(q).Move(context.Background(), review.Name(), "above 10,000"))
	d := receive(review)
	fmt.Println(string(d.Body), d.Headers["mq-reason"], d.Headers["mq-origin"])
	// Output: 1 above 10,000 orders/1
}

func ExampleDelivery_Queue() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	fill(q, 1)
	fmt.Println(receive(q).Queue().Name())
	// Output: orders
}

// A receipt is text: where Caps.PortableReceipts it may go to another process,
// which settles by it.
func ExampleQueue_Settle() {
	front, err := mq.Open("mem://settle")
	check(err)
	defer front.Close()
	back, err := mq.Open("mem://settle")
	check(err)
	defer back.Close()
	fill(queue(front, "orders"), 2)
	receipts := []mq.Receipt{receive(front.Queue("orders")).Receipt, receive(front.Queue("orders")).Receipt}

	err = back.Queue("orders").Settle(context.Background(),
		mq.Settlement{Receipt: receipts[0], Op: mq.OpAck},
		mq.Settlement{Receipt: receipts[1], Op: mq.OpArchive, Reason: "card declined"},
	)
	fmt.Println(err)
	// Output: <nil>
}

// As with Settle, by receipt. One of a queue that it does not belong to is
// refused.
func ExampleQueue_Extend() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q, other := queue(c, "orders"), queue(c, "mails")
	fill(q, 1)
	r := receive(q).Receipt
	fmt.Println(q.Extend(ctx, time.Minute, r))
	fmt.Println(errors.Is(other.Extend(ctx, time.Minute, r), mq.ErrInvalidReceipt))
	// Output:
	// <nil>
	// true
}

// inTx runs f in a transaction on two queues. With a database it is one of
// database/sql, from db.BeginTx.
func inTx(f func(ctx context.Context, orders *mq.Queue, out *mq.TxQueue) error) mq.Stats {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	fill(q, 1)
	tx := p.Begin()
	out := q.Tx(tx)
	check(f(ctx, q, out))
	check(tx.Commit())
	s, err := q.Stats(ctx)
	check(err)
	return s
}

// The message is stored by the commit.
func ExampleTxQueue_Send() {
	s := inTx(func(ctx context.Context, _ *mq.Queue, tx *mq.TxQueue) error {
		_, err := tx.Send(ctx, &mq.Message{Body: []byte("order 2")})
		return err
	})
	fmt.Println(s.Total)
	// Output: 2
}

func ExampleTxQueue_SendAll() {
	s := inTx(func(ctx context.Context, _ *mq.Queue, tx *mq.TxQueue) error {
		_, err := tx.SendAll(ctx, []*mq.Message{{Body: []byte("order 2")}, {Body: []byte("order 3")}})
		return err
	})
	fmt.Println(s.Total)
	// Output: 3
}

// The message is received outside of the transaction, and deleted by its
// commit, together with whatever else it does.
func ExampleTxQueue_Ack() {
	s := inTx(func(ctx context.Context, q *mq.Queue, tx *mq.TxQueue) error {
		return tx.Ack(ctx, receive(q))
	})
	fmt.Println(s.Total)
	// Output: 0
}

func ExampleTxQueue_Nack() {
	s := inTx(func(ctx context.Context, q *mq.Queue, tx *mq.TxQueue) error {
		return tx.Nack(ctx, receive(q), time.Hour)
	})
	fmt.Println(s.Delayed)
	// Output: 1
}

func ExampleTxQueue_Archive() {
	s := inTx(func(ctx context.Context, q *mq.Queue, tx *mq.TxQueue) error {
		return tx.Archive(ctx, receive(q), "card declined")
	})
	fmt.Println(s.Total, s.Archived)
	// Output: 0 1
}
