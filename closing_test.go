package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// deaf is a provider that answers nothing. It ends a call with its context, or a
// while after Close, as one does that lets statements end.
type deaf struct {
	*fake
	closed chan struct{}
	write  bool // says that a call may have taken effect
}

func newDeaf(write bool) *deaf {
	groups := capable
	groups.Groups = true
	d := &deaf{fake: &fake{caps: groups}, closed: make(chan struct{}), write: write}
	d.fake.send = func(ctx context.Context, _ []driver.Message) ([]string, error) { return nil, d.hang(ctx) }
	d.fake.settle = func(ctx context.Context, _ []Settlement) error { return d.hang(ctx) }
	d.fake.extend = func(ctx context.Context, _ []Receipt, _ time.Duration) error { return d.hang(ctx) }
	d.fake.receive = func(ctx context.Context, _ driver.ReceiveRequest) ([]driver.Delivery, error) { return nil, d.hang(ctx) }
	return d
}

func (d *deaf) hang(ctx context.Context) error {
	err := context.Canceled
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-d.closed:
	}
	if d.write {
		return fmt.Errorf("cut off: %w (%w)", err, ErrUnavailable)
	}
	return err
}

func (d *deaf) Close() error {
	time.AfterFunc(2*time.Second, func() { close(d.closed) })
	return nil
}

func (d *deaf) Ping(ctx context.Context) error { return d.hang(ctx) }

func (d *deaf) EnsureQueue(ctx context.Context, _ string, _ QueueOptions) error { return d.hang(ctx) }

func (d *deaf) DropQueue(ctx context.Context, _ string) error { return d.hang(ctx) }

func (d *deaf) ListQueues(ctx context.Context) ([]string, error) { return nil, d.hang(ctx) }

func (d *deaf) PurgeQueue(ctx context.Context, _ string) (int64, error) { return 0, d.hang(ctx) }

func (d *deaf) Stats(ctx context.Context, _ string) (Stats, error) { return Stats{}, d.hang(ctx) }

func (d *deaf) Pop(ctx context.Context, _ string, _ int) ([]driver.Delivery, error) {
	return nil, d.hang(ctx)
}

func (d *deaf) Browse(ctx context.Context, _ string, _ driver.BrowseRequest) ([]driver.Record, error) {
	return nil, d.hang(ctx)
}

func (d *deaf) Redrive(ctx context.Context, _ string, _ []string, _ int) (int64, error) {
	return 0, d.hang(ctx)
}

func (d *deaf) PurgeArchive(ctx context.Context, _ string, _ time.Duration) (int64, error) {
	return 0, d.hang(ctx)
}

func (d *deaf) ReceiveHeads(ctx context.Context, _ string, _ driver.GroupRequest) ([]driver.Delivery, error) {
	return nil, d.hang(ctx)
}

func (d *deaf) ReceiveGroup(ctx context.Context, _ string, _ driver.GroupDrainRequest) ([]driver.Delivery, error) {
	return nil, d.hang(ctx)
}

func only[T any](_ T, err error) error { return err }

// Each call that Close ends is ErrClosed, and not context.Canceled.
func TestCloseEndsCalls(t *testing.T) {
	ops := map[string]func(ctx context.Context, q *Queue, d *Delivery) error{
		"EnsureQueue": func(ctx context.Context, q *Queue, _ *Delivery) error {
			return only(q.client.EnsureQueue(ctx, "other", QueueOptions{}))
		},
		"DropQueue":    func(ctx context.Context, q *Queue, _ *Delivery) error { return q.client.DropQueue(ctx, "other") },
		"Queues":       func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.client.Queues(ctx)) },
		"Ping":         func(ctx context.Context, q *Queue, _ *Delivery) error { return q.client.Ping(ctx) },
		"Verify":       func(ctx context.Context, q *Queue, _ *Delivery) error { return q.client.Verify(ctx, "q").Err() },
		"Stats":        func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Stats(ctx)) },
		"Purge":        func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Purge(ctx)) },
		"Redrive":      func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Redrive(ctx, RedriveOptions{})) },
		"PurgeArchive": func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.PurgeArchive(ctx, AnyAge)) },
		"Pop":          func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Pop(ctx, 1)) },
		"Peek":         func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Peek(ctx, BrowseOptions{})) },
		"Send":         func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Send(ctx, new(Message))) },
		"Receive":      func(ctx context.Context, q *Queue, _ *Delivery) error { return only(q.Receive(ctx, ReceiveOptions{})) },
		"wait": func(ctx context.Context, q *Queue, _ *Delivery) error {
			return only(q.Receive(ctx, ReceiveOptions{Wait: Forever}))
		},
		"ReceiveHeads": func(ctx context.Context, q *Queue, _ *Delivery) error {
			return only(q.ReceiveHeads(ctx, ByGroup(), ReceiveOptions{}))
		},
		"Ack":    func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Ack(ctx) },
		"Move":   func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Move(ctx, "other", "") },
		"Extend": func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Extend(ctx, time.Minute) },
		"Messages": func(ctx context.Context, q *Queue, _ *Delivery) error {
			for _, err := range q.Messages(ctx, ReceiveOptions{}) {
				return err
			}
			return nil
		},
	}
	for name, op := range ops {
		for _, write := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", write), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := New(newDeaf(write), Config{}).Queue("q")
					d := newDelivery(driver.Delivery{Receipt: "r"}, q)
					d.lease.begins(now(), time.Hour, 0)
					ended := make(chan error, 1)
					go func() { ended <- op(t.Context(), q, d) }()
					time.Sleep(time.Second)
					begun := time.Now()
					if err := q.client.Close(); err != nil {
						t.Error(err)
					}
					err := <-ended
					if err == nil && name == "Messages" { // the loop ends
						return
					}
					if !errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) {
						t.Errorf("%v", err)
					}
					slow := slices.Contains([]string{"Send", "Receive", "wait", "ReceiveHeads", "Ack", "Move", "Extend"}, name)
					if took := time.Since(begun); took > 2*time.Second || took > 0 && !slow {
						t.Errorf("it ends after %v", took)
					}
				})
			})
		}
	}
}
