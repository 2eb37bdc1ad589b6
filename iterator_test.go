package mq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// loop runs Queue.Messages over what b has, and returns the deliveries that
// were yielded and the last error.
func loop(ctx context.Context, q *Queue, o ReceiveOptions, body func(d *Delivery)) (ids string, last error) {
	var got []string
	for d, err := range q.Messages(ctx, o) {
		if last = err; err == nil {
			got = append(got, d.ID)
			body(d)
		}
	}
	return fmt.Sprint(got), last
}

func TestMessagesStopsWithItsContext(t *testing.T) {
	for name, end := range map[string]func(c *Client, cancel func()) error{
		"cancel": func(_ *Client, cancel func()) error { cancel(); return context.Canceled },
		"close": func(c *Client, _ func()) error {
			go c.Close()
			synctest.Wait()
			return ErrClosed
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 3)
				c := New(b, Config{})
				defer c.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var want error
				start := time.Now()
				got, err := loop(ctx, c.Queue("q"), ReceiveOptions{Max: 3, Wait: Forever}, func(d *Delivery) {
					want = end(c, cancel)
					if err := d.Ack(t.Context()); err != nil {
						t.Errorf("Ack = %v", err)
					}
				})
				if got != "[0]" || !errors.Is(err, want) {
					t.Errorf("yielded %s, then %v, want one and %v", got, err, want)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if visible, total := b.state("q"); visible != 2 || total != 2 {
					t.Errorf("%d of %d messages are visible, want the 2 that the loop has not seen", visible, total)
				}
			})
		})
	}
}

func TestTypedMessagesStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 0)
		for i := range 3 {
			b.add("q", Message{Body: fmt.Append(nil, i)})
		}
		c := New(b, Config{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for d, err := range Of[int](c.Queue("q")).Messages(ctx, ReceiveOptions{Max: 3, Wait: Forever}) {
			if err != nil {
				continue
			}
			n++
			cancel()
			if err := d.Ack(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if visible, _ := b.state("q"); n != 1 || visible != 2 {
			t.Errorf("%d yielded, %d visible", n, visible)
		}
	})
}

func TestMessagesPassesOverLostLeases(t *testing.T) {
	for name, lose := range map[string]func(q *Queue, d *Delivery){
		"settled elsewhere": func(q *Queue, _ *Delivery) {
			_ = q.Settle(context.Background(), Settlement{Receipt: "1/1", Op: OpAck})
			time.Sleep(time.Minute)
		},
		"expired": func(q *Queue, _ *Delivery) {
			b := q.client.provider.(*backend)
			b.mu.Lock()
			b.fault = hangs("extend", 1, 100)
			b.mu.Unlock()
			time.Sleep(30*time.Second + 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 3)
				var log journal
				c := New(b, log.config())
				defer c.Close()
				q := c.Queue("q")
				first := true
				var got []string
				for d, err := range q.Messages(t.Context(), ReceiveOptions{Max: 3}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprintf("%s read %d", d.ID, d.ReadCount))
					if first {
						first = false
						if err := d.Ack(t.Context()); err != nil {
							t.Error(err)
						}
						lose(q, d)
						continue
					}
					if err := d.Ack(t.Context()); err != nil {
						t.Errorf("Ack of %s = %v", d.ID, err)
					}
				}
				want := "[0 read 1 2 read 1]"
				if name == "expired" {
					want = "[0 read 1 1 read 2 2 read 2]"
				}
				if fmt.Sprint(got) != want {
					t.Errorf("yielded %s, want %s", got, want)
				}
				if !strings.Contains(log.String(), "lease lost") {
					t.Errorf("logged %s", &log)
				}
			})
		})
	}
}

// A loop that is left while the backend hangs does not wait longer than
// CallTimeout, and does not keep the leases.
func TestLeavingTheLoopWhileTheBackendHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 3)
		b.fault = func(op string, _ int) fault { return fault{hang: op == "settle" || op == "extend"} }
		c := New(b, Config{CallTimeout: 10 * time.Second})
		defer c.Close()
		start := time.Now()
		for _, err := range c.Queue("q").Messages(t.Context(), ReceiveOptions{Max: 3}) {
			if err != nil {
				t.Error(err)
			}
			time.Sleep(16 * time.Second) // a heartbeat hangs
			break
		}
		if took := time.Since(start) - 16*time.Second; took > 10*time.Second {
			t.Errorf("leaving the loop took %v", took)
		}
	})
}

// What a receive has leased is handed out although an interceptor reports an
// error, by loops and Consumers alike.
func TestDeliveriesBesideAnError(t *testing.T) {
	failing := func(n *int) []Interceptor {
		return []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
			err := next(ctx)
			if c.Op == "receive" && len(c.Deliveries) > 0 {
				if *n++; *n == 1 {
					return errBad
				}
			}
			return err
		}}
	}
	t.Run("loop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(capable, 2)
			n := 0
			c := New(b, Config{Interceptors: failing(&n)})
			defer c.Close()
			got, err := loop(t.Context(), c.Queue("q"), ReceiveOptions{Max: 2}, func(d *Delivery) { _ = d.Ack(t.Context()) })
			if got != "[0 1]" || !errors.Is(err, errBad) {
				t.Errorf("yielded %s, then %v", got, err)
			}
		})
	})
	t.Run("consumer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(capable, 2)
			n := 0
			r := run(t, b, Config{Interceptors: failing(&n)}, ConsumerConfig{}, nil2)
			time.Sleep(time.Second)
			if s := r.stop(t); s.Acked != 2 || s.Received != 2 {
				t.Errorf("%+v", s)
			}
		})
	})
}
