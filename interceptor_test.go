package mq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestInterceptors(t *testing.T) {
	var seen []string
	tag := func(name string) Interceptor {
		return func(ctx context.Context, c *Call, next func(context.Context) error) error {
			for i := range c.Messages {
				c.Messages[i].Headers.Set(name, c.Queue)
			}
			err := next(ctx)
			seen = append(seen, fmt.Sprintf("%s %s %s %d %v", name, c.Provider, c.Op, len(c.Messages)+len(c.Settlements)+len(c.Deliveries), c.IDs))
			return err
		}
	}
	refuse := func(ctx context.Context, c *Call, next func(context.Context) error) error {
		if c.Op == "purge" {
			return errBad
		}
		return next(ctx)
	}
	f := &fake{caps: driver.Caps{Headers: true}, receive: deliver(numbered(1)...)}
	var sent []driver.Message
	f.send = func(_ context.Context, ms []driver.Message) ([]string, error) {
		sent = ms
		return []string{"1", "2"}, nil
	}
	q := New(f, Config{Interceptors: []Interceptor{tag("a"), refuse, tag("b")}}).Queue("q")
	mine := &Message{Headers: Headers{"x": "y"}}
	if _, err := q.SendAll(t.Context(), []*Message{mine, new(Message)}); err != nil {
		t.Fatal(err)
	}
	if len(mine.Headers) != 1 || fmt.Sprint(sent[0].Headers) != "map[a:q b:q x:y]" || fmt.Sprint(sent[1].Headers) != "map[a:q b:q]" {
		t.Errorf("headers %v, caller's %v", sent, mine.Headers)
	}
	ds, _ := q.Receive(t.Context(), ReceiveOptions{})
	_ = ds[0].Ack(t.Context())
	if _, err := q.Purge(t.Context()); !errors.Is(err, errBad) {
		t.Errorf("Purge = %v", err)
	}
	want := "[b fake send 2 [1 2] a fake send 2 [1 2] b fake receive 1 [] a fake receive 1 [] b fake ack 1 [] a fake ack 1 [] a fake purge 0 []]"
	if fmt.Sprint(seen) != want {
		t.Errorf("seen %v\nwant %v", seen, want)
	}
}

func TestInterceptorsSeeAConsumersCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := make(chan string, 100)
		f := &fake{caps: capable, receive: deliver(numbered(2)...)}
		stats, err := consume(t, f, Config{Interceptors: []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
			defer func() { ops <- c.Op }()
			return next(ctx)
		}}}, ConsumerConfig{}, time.Second, nil2)
		close(ops)
		acks := 0
		for op := range ops {
			if op == "ack" {
				acks++
			}
		}
		if err != nil || acks != 2 || stats.Acked != 2 {
			t.Errorf("%d acks seen, %+v, %v", acks, stats, err)
		}
	})
}

// All calls of a Consumer have the values of its context, and its settlements
// the delivery, though they go on when that has ended.
func TestInterceptorsSeeAConsumersContext(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := make(map[string]int)
		watch := func(ctx context.Context, c *Call, next func(context.Context) error) error {
			mu.Lock()
			defer mu.Unlock()
			seen[c.Op]++
			if ctx.Value(key{}) != "mine" {
				t.Errorf("%s: the context is not the caller's", c.Op)
			}
			if d, ok := FromContext(ctx); ok != (c.Op == "ack") || ok && d.Receipt != c.Settlements[0].Receipt {
				t.Errorf("%s: delivery %v, %v", c.Op, d, ok)
			}
			return next(ctx)
		}
		f := &fake{caps: capable, receive: deliver(numbered(2)...)}
		f.settle = func(ctx context.Context, ss []Settlement) error { return ctx.Err() }
		c := New(f, Config{Interceptors: []Interceptor{watch}})
		defer c.Close()
		ctx, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "mine"))
		slow := func(context.Context, *Delivery) error {
			time.Sleep(30 * time.Second)
			stop()
			time.Sleep(time.Second)
			return nil
		}
		cc := ConsumerConfig{Concurrency: 1, Prefetch: 1, SoftStop: AtOnce}
		if err := c.Queue("q").Consume(ctx, slow, cc); err != nil {
			t.Error(err)
		}
		for _, op := range []string{"receive", "extend", "settle", "ack"} {
			if seen[op] == 0 {
				t.Errorf("no %s in %v", op, seen)
			}
		}
	})
}
