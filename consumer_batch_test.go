package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// runBatches starts a Consumer of batches of queue "q" in the bubble of t.
func runBatches(t *testing.T, p Provider, cfg Config, bc BatchConfig, h BatchHandler) *running {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := New(p, cfg)
	cons, err := NewBatchConsumer(c.Queue("q"), h, bc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{cons, c, cancel, make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	return r
}

var attentive = driver.Caps{Headers: true, Delay: true, AtomicMove: true, Attempts: true, NackFences: true, MaxBatch: 100}

func TestBatchSizes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages int
		cfg      BatchConfig
		want     string
		after    time.Duration // of the last batch
	}{
		{"full ones do not wait", 6, BatchConfig{Max: 3, Within: time.Minute}, "[3 3]", 0},
		{"the rest waits", 7, BatchConfig{Max: 3, Within: time.Minute}, "[3 3 1]", time.Minute},
		{"the default", 230, BatchConfig{}, "[100 100 30]", 100 * time.Millisecond},
		{"one by one", 3, BatchConfig{Max: 1}, "[1 1 1]", 0},
		{"more than one fetch brings", 300, BatchConfig{Max: 300}, "[300]", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(attentive, tt.messages)
				var sizes []int
				var last time.Time
				start := time.Now()
				r := runBatches(t, b, Config{}, tt.cfg, func(_ context.Context, ds []*Delivery) []error {
					sizes, last = append(sizes, len(ds)), time.Now()
					return nil
				})
				time.Sleep(2 * time.Minute)
				s := r.stop(t)
				if got := fmt.Sprint(sizes); got != tt.want {
					t.Errorf("batches of %s, want %s", got, tt.want)
				}
				if got := last.Sub(start); got != tt.after {
					t.Errorf("the last one began after %v, want %v", got, tt.after)
				}
				if int(s.Acked) != tt.messages {
					t.Errorf("%d messages acked of %d", s.Acked, tt.messages)
				}
			})
		})
	}
}

func TestBatchAnswers(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		handle BatchHandler
		want   string // what was settled of three messages, sorted
	}{
		{"nil", func(context.Context, []*Delivery) []error { return nil }, "ack ack ack"},
		{"each", func(context.Context, []*Delivery) []error { return []error{nil, Reject(boom), boom} }, "ack archive nack"},
		{"one for all", func(context.Context, []*Delivery) []error { return []error{Reject(boom)} }, "archive archive archive"},
		{"too few", func(context.Context, []*Delivery) []error { return make([]error, 2) }, "nack nack nack"},
		{"too many", func(context.Context, []*Delivery) []error { return make([]error, 4) }, "nack nack nack"},
		{"panic", func(context.Context, []*Delivery) []error { panic("boom") }, "nack nack nack"},
		{"the goroutine ends", func(context.Context, []*Delivery) []error { runtime.Goexit(); return nil }, "nack nack nack"},
		{"settled by the handler", func(ctx context.Context, ds []*Delivery) []error {
			_ = ds[1].Archive(ctx, "by hand")
			ds[0] = nil // the slice is the handler's own
			return nil
		}, "ack ack archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(attentive, 3)
				var log journal
				cfg := BatchConfig{Max: 3, ConsumerConfig: ConsumerConfig{Backoff: func(int) time.Duration { return time.Hour }}}
				r := runBatches(t, b, log.config(), cfg, tt.handle)
				time.Sleep(time.Second)
				r.stop(t)
				var ops []string
				for s := range strings.FieldsSeq(strings.Trim(b.noted("settle"), "[]")) {
					if s[0] >= 'a' {
						ops = append(ops, s)
					}
				}
				slices.Sort(ops)
				if got := strings.Join(ops, " "); got != tt.want {
					t.Errorf("settled %s, want %s", got, tt.want)
				}
				if panics := strings.Count(log.String(), `"mq: handler panicked"`); panics != strings.Count(tt.name, "panic") {
					t.Errorf("the log has %d panics:\n%s", panics, log.String())
				}
			})
		})
	}
}

// TestBatchConcurrency: part batches count as whole ones.
func TestBatchConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 0)
		var mu sync.Mutex
		var now, most, total int
		r := runBatches(t, b, Config{}, BatchConfig{
			Max: 10, Within: time.Millisecond, ConsumerConfig: ConsumerConfig{Concurrency: 2},
		}, func(_ context.Context, ds []*Delivery) []error {
			mu.Lock()
			now, total = now+1, total+len(ds)
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		})
		go func() {
			for i := range 60 {
				b.mu.Lock()
				b.add("q", Message{Body: fmt.Append(nil, i)})
				b.mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				if i == 30 {
					r.SetConcurrency(3)
				}
			}
		}()
		time.Sleep(5 * time.Minute)
		r.stop(t)
		if most != 3 || total != 60 {
			t.Errorf("%d batches at once, of %d messages; want 3 and 60", most, total)
		}
	})
}

// TestBatchStops: a stop does not wait for a batch to fill, and what waits behind a
// batch that hangs is given back without counting an attempt.
func TestBatchStops(t *testing.T) {
	t.Run("gathering", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(attentive, 3)
			r := runBatches(t, b, Config{}, BatchConfig{Within: time.Hour}, func(context.Context, []*Delivery) []error { return nil })
			time.Sleep(time.Second)
			start := time.Now()
			if s := r.stop(t); s.Acked != 3 || time.Since(start) > time.Second {
				t.Errorf("%d acked after %v", s.Acked, time.Since(start))
			}
		})
	})
	t.Run("hanging", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(attentive, 5)
			release := make(chan struct{})
			r := runBatches(t, b, Config{}, BatchConfig{Max: 2}, func(context.Context, []*Delivery) []error {
				<-release
				return nil
			})
			time.Sleep(time.Second)
			r.cancel()
			err := <-r.done
			stop := (*StopError)(nil)
			if !errors.As(err, &stop) || stop.Abandoned != 2 {
				t.Errorf("Run = %v, want 2 abandoned", err)
			}
			if visible, total := b.state("q"); visible != 3 || total != 5 {
				t.Errorf("%d visible of %d, want 3 of 5", visible, total)
			}
			close(release)
			_ = r.client.Close()
			for _, row := range b.queues["q"] {
				if row.due.Before(time.Now()) && row.reads != row.uncounted {
					t.Errorf("message %s: %d reads, %d not counted", row.id, row.reads, row.uncounted)
				}
			}
		})
	})
}

// TestBatchLostLease: a message whose lease is lost while its batch gathers is not
// handled, and one whose lease is lost later does not end the others.
func TestBatchLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 4)
		lose := func(i int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.queues["q"][i].receipt = "taken"
			b.queues["q"][i].due = time.Now().Add(time.Hour)
		}
		var got strings.Builder
		r := runBatches(t, b, Config{}, BatchConfig{Max: 10, Within: 10 * time.Minute, ConsumerConfig: ConsumerConfig{Visibility: time.Minute}},
			func(ctx context.Context, ds []*Delivery) []error {
				for _, d := range ds {
					got.WriteString(" " + d.ID)
				}
				lose(0)
				time.Sleep(2 * time.Minute)
				return []error{ctx.Err()}
			})
		time.Sleep(time.Minute)
		lose(1)
		time.Sleep(12 * time.Minute)
		if s := r.stop(t); strings.Contains(got.String(), "1") || len(got.String()) != 6 || s.Lost != 2 || s.Acked != 2 {
			t.Errorf("handled%s, %d lost, %d acked; want 0 2 3, 2 and 2", got.String(), s.Lost, s.Acked)
		}
	})
}

func TestBatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 2)
		var took time.Duration
		r := runBatches(t, b, Config{}, BatchConfig{Max: 10, Within: time.Minute, ConsumerConfig: ConsumerConfig{Timeout: time.Second, Backoff: func(int) time.Duration { return time.Hour }}},
			func(ctx context.Context, ds []*Delivery) []error {
				start := time.Now()
				<-ctx.Done()
				took = time.Since(start)
				return []error{context.Cause(ctx)}
			})
		time.Sleep(62 * time.Second)
		if s := r.stop(t); took != time.Second || s.Retried != 2 {
			t.Errorf("ended after %v, %d retried", took, s.Retried)
		}
	})
}

// TestBatchSuspicious: a message that may kill its process is a batch of its own.
func TestBatchSuspicious(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 4)
		b.queues["q"][1].reads = 2
		var batches []string
		r := runBatches(t, b, Config{}, BatchConfig{Max: 4, Within: time.Second}, func(_ context.Context, ds []*Delivery) []error {
			var ids []string
			for _, d := range ds {
				ids = append(ids, d.ID)
			}
			slices.Sort(ids)
			batches = append(batches, strings.Join(ids, " "))
			return nil
		})
		time.Sleep(time.Minute)
		r.stop(t)
		if got := strings.Join(batches, ", "); got != "0 2 3, 1" {
			t.Errorf("batches %s, want 0 2 3, 1", got)
		}
	})
}

// TestBatchSuspiciousEndsTheGathering: a message that is to be handled alone ends the
// gathering of a batch, however long that would last.
func TestBatchSuspiciousEndsTheGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 1)
		var batches []string
		r := runBatches(t, b, Config{}, BatchConfig{Max: 4, Within: 50 * time.Second}, func(_ context.Context, ds []*Delivery) []error {
			batches = append(batches, fmt.Sprint(len(ds), " ", ds[0].ID))
			return nil
		})
		time.Sleep(time.Second)
		b.mu.Lock()
		b.add("q", Message{})
		b.queues["q"][1].reads = 2
		b.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := strings.Join(batches, ", "); got != "1 0, 1 1" {
			t.Errorf("batches %s, want 1 0, 1 1", got)
		}
		r.stop(t)
	})
}

// TestBatchExpires: a message that expires while its batch gathers is not handled.
func TestBatchExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 1)
		b.add("q", Message{Expires: time.Second})
		b.queues["q"][1].enqueued = time.Now()
		var handled []string
		var events []EventKind
		r := runBatches(t, b, Config{}, BatchConfig{Max: 4, Within: 2 * time.Second, ConsumerConfig: ConsumerConfig{
			OnEvent: func(_ context.Context, e Event) { events = append(events, e.Kind) },
		}}, func(_ context.Context, ds []*Delivery) []error {
			for _, d := range ds {
				handled = append(handled, d.ID)
			}
			return nil
		})
		time.Sleep(time.Minute)
		if s := r.stop(t); fmt.Sprint(handled) != "[0]" || s.Expired != 1 || s.Acked != 1 || fmt.Sprint(events) != "[expired]" {
			t.Errorf("handled %v, %d expired, %d acked, events %v", handled, s.Expired, s.Acked, events)
		}
	})
}

// TestBatchTypedPanic: what does not decode is a dead letter, whatever becomes of the
// others.
func TestBatchTypedPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 1) // which does not decode
		b.add("q", Message{Body: []byte("1")})
		var log journal
		c := New(b, log.config())
		defer c.Close()
		q := Of[int](c.Queue("q"))
		cons, err := NewBatchConsumer(q.Queue(), q.BatchHandler(func(context.Context, []TypedDelivery[int]) []error { panic("mine") }),
			BatchConfig{Max: 2, ConsumerConfig: ConsumerConfig{Backoff: func(int) time.Duration { return time.Hour }}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := cons.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if s := cons.Stats(); s.DeadLettered != 1 || s.Retried != 1 || !strings.Contains(log.String(), "panic=mine") {
			t.Errorf("%d dead letters, %d retried\n%s", s.DeadLettered, s.Retried, log.String())
		}
	})
}

func TestBatchMisuse(t *testing.T) {
	c := New(newBackend(capable, 0), Config{})
	defer c.Close()
	ok := func(context.Context, []*Delivery) []error { return nil }
	for _, tt := range []struct {
		name   string
		handle BatchHandler
		cfg    BatchConfig
		want   string
	}{
		{"no handler", nil, BatchConfig{}, "the handler is nil"},
		{"Max below 0", ok, BatchConfig{Max: -1}, "Max -1"},
		{"Max too large", ok, BatchConfig{Max: 1 << 40}, "Max 1099511627776"},
		{"Within below 0", ok, BatchConfig{Within: -1}, "Within -1ns"},
		{"Within too long", ok, BatchConfig{Within: 2 * time.Hour}, "Within 2h0m0s"},
		{"Concurrency", ok, BatchConfig{ConsumerConfig: ConsumerConfig{Concurrency: -1}}, "Concurrency -1"},
		{"Timeout", ok, BatchConfig{ConsumerConfig: ConsumerConfig{Timeout: -1}}, "Timeout -1ns"},
		{"the rest", ok, BatchConfig{ConsumerConfig: ConsumerConfig{DeadLetter: "q"}}, "DeadLetter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewBatchConsumer(c.Queue("q"), tt.handle, tt.cfg)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewBatchConsumer: %v, want %q", err, tt.want)
			}
		})
	}
}
