package mq

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// fake is a provider made of functions, for what mem does too well: failing,
// blocking and counting. Without a function a call succeeds.
type fake struct {
	caps    driver.Caps
	send    func(ctx context.Context, msgs []driver.Message) ([]string, error)
	receive func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error)
	settle  func(ctx context.Context, s []Settlement) error
	extend  func(ctx context.Context, rs []Receipt, d time.Duration) error
	stats   func() (Stats, error)

	mu       sync.Mutex
	calls    map[string]int // by operation
	settled  []Settlement
	extended []Receipt
}

// count notes a call.
func (f *fake) count(op string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[op]++
}

func (f *fake) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// settlements returns what was settled so far, formatted.
func (f *fake) settlements() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, s := range f.settled {
		out = append(out, fmt.Sprintf("%s %s", s.Op, s.Receipt))
	}
	return fmt.Sprint(out)
}

func (f *fake) Name() string      { return "fake" }
func (f *fake) Caps() driver.Caps { return f.caps }
func (f *fake) Ping(context.Context) error {
	f.count("ping")
	return nil
}

func (f *fake) Close() error {
	f.count("close")
	return nil
}

func (f *fake) EnsureQueue(context.Context, string, QueueOptions) error {
	f.count("ensure")
	return nil
}

func (f *fake) Send(ctx context.Context, _ string, msgs []driver.Message) ([]string, error) {
	f.count("send")
	if f.send != nil {
		return f.send(ctx, msgs)
	}
	return make([]string, len(msgs)), nil
}

func (f *fake) Receive(ctx context.Context, _ string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	f.count("receive")
	if f.receive != nil {
		return f.receive(ctx, r)
	}
	return nil, sleep(ctx, r.Wait)
}

func (f *fake) Settle(ctx context.Context, _ string, s []Settlement) error {
	f.count("settle")
	if f.settle != nil {
		if err := f.settle(ctx, s); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled = append(f.settled, s...)
	return nil
}

func (f *fake) Extend(ctx context.Context, _ string, rs []Receipt, d time.Duration) error {
	f.count("extend")
	f.mu.Lock()
	f.extended = append(f.extended, rs...)
	f.mu.Unlock()
	if f.extend != nil {
		return f.extend(ctx, rs, d)
	}
	return nil
}

func (f *fake) Stats(context.Context, string) (Stats, error) {
	f.count("stats")
	if f.stats != nil {
		return f.stats()
	}
	return Stats{}, nil
}

// deliver makes receive hand out the given deliveries, each once, and then
// wait.
func deliver(ds ...driver.Delivery) func(context.Context, driver.ReceiveRequest) ([]driver.Delivery, error) {
	var mu sync.Mutex
	return func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		mu.Lock()
		n := min(r.Max, len(ds))
		out := ds[:n]
		ds = ds[n:]
		mu.Unlock()
		if n == 0 {
			return nil, sleep(ctx, r.Wait)
		}
		return out, nil
	}
}

// numbered makes n deliveries with receipts "0", "1", ...
func numbered(n int) []driver.Delivery {
	ds := make([]driver.Delivery, n)
	for i := range ds {
		id := fmt.Sprint(i)
		ds[i] = driver.Delivery{ID: id, Receipt: Receipt(id), ReadCount: 1, Message: driver.Message{Body: []byte(id)}}
	}
	return ds
}

// newConsumer is NewConsumer with arguments that are right.
func newConsumer(t testing.TB, q *Queue, h Handler, cfg ConsumerConfig) *Consumer {
	t.Helper()
	c, err := NewConsumer(q, h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
