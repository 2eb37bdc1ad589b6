package mq_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/mem"
)

// What README.md and docs show, where no other example has it.

// whileBusy returns a context that ends when q is empty.
func whileBusy(q *mq.Queue) context.Context {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		for s, err := q.Stats(ctx); err == nil && s.Total > 0; s, err = q.Stats(ctx) {
			time.Sleep(time.Millisecond)
		}
	}()
	return ctx
}

// The DSN chooses the provider, and with it who sees the queues.
func ExampleOpen() {
	ctx := context.Background()

	shop, err := mq.Open("mem://shop") // for all clients of the process that open this name
	check(err)
	defer shop.Close()
	worker, err := mq.Open("mem://shop")
	check(err)
	defer worker.Close()
	alone, err := mq.Open("mem://") // for this client only
	check(err)
	defer alone.Close()

	_, err = queue(shop, "orders").Send(ctx, &mq.Message{Body: []byte("order 1")})
	check(err)
	ds, err := worker.Queue("orders").Receive(ctx, mq.ReceiveOptions{})
	check(err)
	fmt.Printf("worker: %s\n", ds[0].Body)
	_, err = alone.Queue("orders").Receive(ctx, mq.ReceiveOptions{})
	fmt.Println("alone:", errors.Is(err, mq.ErrQueueNotFound))
	// Output:
	// worker: order 1
	// alone: true
}

var errBankClosed = errors.New("bank is closed")

func pay(_ context.Context, o Order) error { return charge(o, 2) }

// A worker: types, retries and dead letters.
func ExampleQueue_Archived() {
	c := open()
	defer c.Close()
	q := queue(c, "orders")
	_, err := mq.Of[Order](q).SendAll(context.Background(), []Order{{1, "visa"}, {2, "stolen"}})
	check(err)
	ctx := whileBusy(q)

	orders := mq.Of[Order](c.Queue("orders"))
	err = orders.Consume(ctx, func(ctx context.Context, o Order) error {
		switch err := pay(ctx, o); {
		case errors.Is(err, errCardDeclined):
			return mq.Reject(err) // dead letter now, with this reason
		case errors.Is(err, errBankClosed):
			return mq.Snooze(time.Hour) // not a failure: does not count as an attempt
		default:
			return err // nil acks; any other error backs off and retries
		}
	}, mq.ConsumerConfig{Concurrency: 32})
	check(err)

	dead, err := q.Archived(context.Background(), mq.BrowseOptions{})
	check(err)
	for _, r := range dead {
		fmt.Printf("%s: %s\n", r.Body, r.Reason())
	}
	// Output: {"id":2,"card":"stolen"}: card declined
}

// Effects that happen exactly once: they and the ack are one transaction. In
// memory mem.Tx takes the place of *sql.Tx.
func ExampleDelivery_AckTx() {
	p := mem.New()
	c := mq.New(p, mq.Config{})
	defer c.Close()
	q, mails := queue(c, "orders"), queue(c, "mails")
	_, err := q.Send(context.Background(), &mq.Message{Body: []byte("order 1")})
	check(err)
	ctx := whileBusy(q)

	err = q.Consume(ctx, func(ctx context.Context, d *mq.Delivery) error {
		tx := p.Begin() // with a database: db.BeginTx(ctx, nil)
		defer func() { _ = tx.Rollback() }()

		out := mails.Tx(tx) // what is done here, in SQL or by sending, happens at Commit
		if _, err := out.Send(ctx, &mq.Message{Body: []byte("thank you")}); err != nil {
			return err
		}
		if err := d.AckTx(ctx, tx); err != nil {
			return err // stale: somebody else has the message, and nothing has happened here
		}
		return tx.Commit()
	}, mq.ConsumerConfig{})
	check(err)

	for _, q := range []*mq.Queue{q, mails} {
		s, err := q.Stats(context.Background())
		check(err)
		fmt.Println(q.Name(), s.Total)
	}
	// Output:
	// orders 0
	// mails 1
}

// A batch may take effect in part. Here one of three was settled before.
func ExampleBatchError() {
	c := open()
	defer c.Close()
	ctx := context.Background()
	q := queue(c, "orders")
	_, err := q.SendAll(ctx, []*mq.Message{new(mq.Message), new(mq.Message), new(mq.Message)})
	check(err)
	ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 3})
	check(err)
	check(ds[1].Ack(ctx))

	var acks []mq.Settlement
	for _, d := range ds {
		acks = append(acks, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
	}
	err = q.Settle(ctx, acks...)

	some := (*mq.BatchError)(nil)
	switch {
	case err == nil:
		fmt.Println("all took effect")
	case errors.As(err, &some):
		for i, err := range some.Errs {
			fmt.Println(i, err)
		}
	default:
		fmt.Println("none took effect, unless it is ErrUnavailable:", err)
	}
	// Output:
	// 0 <nil>
	// 1 message not found: it was already settled, popped or purged
	// 2 <nil>
}
