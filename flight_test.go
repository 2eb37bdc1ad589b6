package mq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// Callers without a deadline on connections that hang hold up nobody else for
// longer than CallTimeout, and return themselves.
func TestHangingCallersDoNotStallAQueue(t *testing.T) {
	const limit = 5 * time.Second
	for name, tt := range map[string]struct {
		op   string
		call func(ctx context.Context, q *Queue, d *Delivery) error
	}{
		"send": {"send", func(ctx context.Context, q *Queue, _ *Delivery) error {
			_, err := q.Send(ctx, new(Message))
			return err
		}},
		"ack": {"settle", func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Ack(ctx) }},
		"settle": {"settle", func(ctx context.Context, q *Queue, d *Delivery) error {
			return q.Settle(ctx, Settlement{Receipt: d.Receipt, Op: OpAck})
		}},
		"extend": {"extend", func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Extend(ctx, time.Minute) }},
		"extend by receipt": {"extend", func(ctx context.Context, q *Queue, d *Delivery) error {
			return q.Extend(ctx, 10*time.Minute, d.Receipt)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 4)
				b.fault = hangs(tt.op, 1, 2)
				c := New(b, Config{CallTimeout: limit})
				defer c.Close()
				q := c.Queue("q")
				ds, err := q.Receive(t.Context(), ReceiveOptions{Max: 4, Visibility: time.Hour})
				if err != nil || len(ds) != 4 {
					t.Fatal(ds, err)
				}
				errs := make([]error, 4)
				took := make([]time.Duration, 4)
				start := time.Now()
				fleet(4, func(i int) {
					errs[i] = tt.call(context.Background(), q, ds[i])
					took[i] = time.Since(start)
				}).Wait()
				for i, err := range errs {
					if (err != nil) != (i < 2) || i < 2 && !errors.Is(err, ErrUnavailable) || took[i] > limit {
						t.Errorf("caller %d: %v after %v", i, err, took[i])
					}
				}
				if !strings.Contains(errs[0].Error(), "no answer within CallTimeout (5s)") {
					t.Errorf("the error does not name the limit: %v", errs[0])
				}
			})
		})
	}
}

// Handlers without a deadline of their own hang in d.Extend or d.Ack, and the
// others are not touched.
func TestHangingHandlersCostNobodyElsesLease(t *testing.T) {
	for name, tt := range map[string]struct {
		op   string
		call func(ctx context.Context, d *Delivery) error
	}{
		"extend": {"extend", func(ctx context.Context, d *Delivery) error { return d.Extend(ctx, 10*time.Minute) }},
		"ack":    {"settle", func(ctx context.Context, d *Delivery) error { return d.Ack(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 20)
				b.fault = hangs(tt.op, 1, 2)
				r := run(t, b, Config{}, ConsumerConfig{Concurrency: 20, SoftStop: time.Hour}, func(ctx context.Context, d *Delivery) error {
					if d.ID == "0" || d.ID == "1" {
						_ = tt.call(context.WithoutCancel(ctx), d)
						return nil
					}
					_ = sleep(ctx, 14*time.Second)
					_ = sleep(ctx, time.Minute)
					return context.Cause(ctx)
				})
				time.Sleep(5 * time.Minute)
				if s := r.stop(t); s.Acked != 20 || s.Lost+s.Failed+s.Retried != 0 || s.Received != 20 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// Every call that a backend may leave without an answer ends.
func TestCallsEndWithoutADeadlineOfTheirOwn(t *testing.T) {
	const limit = 5 * time.Second
	for name, call := range map[string]func(ctx context.Context, c *Client) error{
		"ping":   func(ctx context.Context, c *Client) error { return c.Ping(ctx) },
		"stats":  func(ctx context.Context, c *Client) error { _, err := c.Queue("q").Stats(ctx); return err },
		"verify": func(ctx context.Context, c *Client) error { return c.Verify(ctx, "q").Err() },
		"receive": func(ctx context.Context, c *Client) error {
			_, err := c.Queue("q").Receive(ctx, ReceiveOptions{})
			return err
		},
		"receive that waits": func(ctx context.Context, c *Client) error {
			_, err := c.Queue("q").Receive(ctx, ReceiveOptions{Wait: time.Second})
			return err
		},
		"loop": func(ctx context.Context, c *Client) error {
			_, err := loop(ctx, c.Queue("q"), ReceiveOptions{}, func(*Delivery) {})
			return err
		},
		"move in two steps": func(ctx context.Context, c *Client) error {
			d := &Delivery{queue: c.Queue("q")}
			d.lease.begins(now(), time.Minute, 0)
			d.lease.keepOriginal(Message{})
			return d.Move(ctx, "other", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(driver.Caps{MaxBatch: 100}, 1)
				b.fault = func(string, int) fault { return fault{hang: true} }
				c := New(b, Config{CallTimeout: limit, AllowDuplicateMoves: true})
				defer c.Close()
				start := time.Now()
				err := call(context.Background(), c)
				if took := time.Since(start); !errors.Is(err, ErrUnavailable) || took < limit || took > limit+time.Second {
					t.Errorf("%v after %v", err, took)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start = time.Now()
				err = call(ctx, c)
				if took := time.Since(start); err == nil || took != time.Second || strings.Contains(err.Error(), "CallTimeout") {
					t.Errorf("with a deadline of its own: %v after %v", err, took)
				}
			})
		})
	}
}

// A provider that begins nothing after its ctx has ended answers the bare error
// of a context that is not the caller's.
func TestBareDeadlineIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(ctx context.Context, _ []driver.Message) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		_, err := New(f, Config{}).Queue("q").Send(t.Context(), new(Message))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within CallTimeout (30s)") {
			t.Errorf("Send = %v", err)
		}
	})
}

// Long labour is not cut off, but does not go unnoticed.
func TestLabourIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 0)
		b.fault = func(op string, _ int) fault {
			if op == "ensure" {
				return fault{delay: 100 * time.Second}
			}
			return fault{}
		}
		var log journal
		c := New(b, log.config())
		defer c.Close()
		if _, err := c.EnsureQueue(t.Context(), "q", QueueOptions{}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "a call takes long"); n != 3 || !strings.Contains(log.String(), "op=ensure queue=q for=1m30s") {
			t.Errorf("logged %s", &log)
		}
	})
}

// A part that lands at the moment when its caller's ctx ends has landed.
func TestLandingBeatsTheEndOfTheContext(t *testing.T) {
	for range 100 {
		l := newLane(new(tower), 10)
		p, done := l.newPart([]int{1})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.landed([]string{"1"}, nil)
		if ids, err := l.await(ctx, p, done); err != nil || len(ids) != 1 {
			t.Fatalf("await = %v, %v", ids, err)
		}
	}
}

// A driver that returns another number of ids than messages is a defect, not a
// panic.
func TestWrongNumberOfIDs(t *testing.T) {
	for _, n := range []int{0, 2, 5} {
		f := &fake{caps: driver.Caps{MaxBatch: 3, AtomicSend: true}}
		f.send = func(context.Context, []driver.Message) ([]string, error) { return make([]string, n), nil }
		q := New(f, Config{}).Queue("q")
		for _, k := range []int{1, 3, 7} {
			msgs := make([]*Message, k)
			for i := range msgs {
				msgs[i] = new(Message)
			}
			if ids, err := q.SendAll(t.Context(), msgs); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%d ids for %d messages: Send = %q, %v", n, k, ids, err)
			}
		}
	}
}

// An acks's caller does not wait for an extension that hangs.
func TestAckDoesNotWaitForExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = hangs("extend", 1, 1)
		c := New(b, Config{})
		defer c.Close()
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		go func() { _ = ds[0].Extend(t.Context(), time.Minute) }()
		synctest.Wait()
		start := time.Now()
		if err := ds[0].Ack(context.Background()); err != nil || time.Since(start) != 0 {
			t.Errorf("Ack = %v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
	})
}

// A nack waits for the extension that could undo it, and no longer than that
// has.
func TestNackWaitsForExtensionsAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = hangs("extend", 1, 1)
		c := New(b, Config{})
		defer c.Close()
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		go func() { _ = ds[0].Extend(context.Background(), 10*time.Minute) }()
		synctest.Wait()
		start := time.Now()
		if err := ds[0].Nack(context.Background(), 0); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("Nack = %v after %v, want a third of the lease", err, time.Since(start))
		}
	})
}
