// Groups processes the orders of each customer one at a time and in order, and
// those of different customers side by side. The customer is what the sender
// names as the message's group, or a value in its JSON body.
//
//	go run ./examples/groups
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
)

// Order is what the queues carry.
type Order struct {
	Customer string `json:"customer"`
	N        int    `json:"n"`
}

func main() {
	dsn := flag.String("dsn", "mem://", "the `provider` to use, one with groups")
	flag.Parse()
	if err := run(context.Background(), *dsn, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "groups:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn string, out io.Writer) error {
	c, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	defer c.Close()
	key := mq.GroupBy{}                            // by Message.Group
	path := mq.GroupBy{Path: []string{"customer"}} // by {"customer": ...}, for queues that others write
	if err := serve(ctx, c, "orders", key, out); err != nil {
		return err
	}
	return serve(ctx, c, "imports", path, out)
}

func serve(ctx context.Context, c *mq.Client, name string, by mq.GroupBy, out io.Writer) error {
	// PostgreSQL would want an index for each grouping: see pgmq.QueueOptions.
	q, err := c.EnsureQueue(ctx, name, mq.QueueOptions{})
	if err != nil {
		return err
	}
	orders := mq.Of[Order](q)
	if err := send(ctx, orders, by.Path == nil); err != nil {
		return err
	}
	b := &book{seen: make(map[string][]int), busy: make(map[string]bool)}
	if err := work(ctx, orders, by, b); err != nil {
		return err
	}
	fmt.Fprintf(out, "%-7s %v, two of one customer at once: %v\n", name, b.seen, b.clash)
	return nil
}

var customers = []string{"ann", "bob", "cid"}

const each = 5

// send sends the orders of all customers mixed.
func send(ctx context.Context, orders mq.TypedQueue[Order], withKey bool) error {
	for n := 1; n <= each; n++ {
		for _, customer := range customers {
			var o []mq.SendOption
			if withKey {
				o = append(o, mq.Group(customer))
			}
			if _, err := orders.Send(ctx, Order{customer, n}, o...); err != nil {
				return err
			}
		}
	}
	return nil
}

// work has more workers than customers, and a failure.
func work(ctx context.Context, orders mq.TypedQueue[Order], by mq.GroupBy, b *book) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return orders.Consume(ctx, func(ctx context.Context, o Order) error {
		d, _ := mq.FromContext(ctx)
		defer b.enter(d.GroupKey)()
		time.Sleep(time.Millisecond)
		if o.Customer == "bob" && o.N == 2 && d.ReadCount == 1 {
			return mq.Retry(20*time.Millisecond, nil) // bob waits, the others do not
		}
		if b.note(o) == each*len(customers) {
			stop()
		}
		return nil
	}, mq.ConsumerConfig{Concurrency: 8, Groups: &by})
}

// book notes who was served when.
type book struct {
	mu    sync.Mutex
	seen  map[string][]int
	busy  map[string]bool
	clash bool
	total int
}

// enter begins work for a customer and returns what ends it.
func (b *book) enter(customer string) (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clash = b.clash || b.busy[customer]
	b.busy[customer] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.busy[customer] = false
	}
}

func (b *book) note(o Order) (total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[o.Customer] = append(b.seen[o.Customer], o.N)
	b.total++
	return b.total
}
