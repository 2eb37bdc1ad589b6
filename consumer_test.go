package mq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

var capable = driver.Caps{Delay: true, AtomicMove: true, MaxBatch: 100}

// consume runs a handler on what f delivers until d has passed.
func consume(t *testing.T, f *fake, cfg Config, cc ConsumerConfig, d time.Duration, h HandlerFunc) (ConsumerStats, error) {
	t.Helper()
	c := New(f, cfg)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cons := newConsumer(t, c.Queue("q"), h, cc)
	err := cons.Run(ctx)
	return cons.Stats(), err
}

func TestOutcomes(t *testing.T) {
	boom := errors.New("boom")
	fixed := func(int) time.Duration { return 7 * time.Second }
	for _, tt := range []struct {
		name string
		err  error
		read int
		cc   ConsumerConfig
		caps driver.Caps
		want Settlement
	}{
		{"nil", nil, 1, ConsumerConfig{}, capable, Settlement{Op: OpAck}},
		{"error", boom, 1, ConsumerConfig{}, capable, Settlement{Op: OpNack, Delay: 7 * time.Second}},
		{"retry", Retry(time.Minute, boom), 1, ConsumerConfig{}, capable, Settlement{Op: OpNack, Delay: time.Minute}},
		{"wrapped retry", fmt.Errorf("bank: %w", Retry(0, nil)), 1, ConsumerConfig{}, capable, Settlement{Op: OpNack}},
		{"reject", Reject(boom), 1, ConsumerConfig{}, capable, Settlement{Op: OpArchive, Reason: "boom"}},
		{"wrapped reject", fmt.Errorf("bank: %w", Reject(boom)), 1, ConsumerConfig{}, capable, Settlement{Op: OpArchive, Reason: "bank: boom"}},
		{"reject nil", Reject(nil), 1, ConsumerConfig{}, capable, Settlement{Op: OpArchive, Reason: "rejected"}},
		{"decode", &DecodeError{"T", boom}, 1, ConsumerConfig{}, capable, Settlement{Op: OpArchive, Reason: "payload does not decode into T: boom"}},
		{"last read", boom, 3, ConsumerConfig{MaxAttempts: 3}, capable, Settlement{Op: OpArchive, Reason: "attempt 3 failed, the limit is 3: boom"}},
		{"retry at last read", Retry(0, boom), 3, ConsumerConfig{MaxAttempts: 3}, capable, Settlement{Op: OpArchive, Reason: "attempt 3 failed, the limit is 3: boom"}},
		{"success at last read", nil, 3, ConsumerConfig{MaxAttempts: 3}, capable, Settlement{Op: OpAck}},
		{"read too often", nil, 4, ConsumerConfig{MaxAttempts: 3}, capable, Settlement{Op: OpArchive, Reason: "the last of 3 attempts was never answered, the limit is 3"}},
		{"no limit", boom, 1000, ConsumerConfig{MaxAttempts: Unlimited}, capable, Settlement{Op: OpNack, Delay: 7 * time.Second}},
		{"dead letter queue", Reject(boom), 1, ConsumerConfig{DeadLetter: "dead"}, capable, Settlement{Op: OpMove, To: "dead", Reason: "boom"}},
		{"delay above the limit", boom, 1, ConsumerConfig{}, driver.Caps{Delay: true, MaxDelay: time.Second}, Settlement{Op: OpNack, Delay: time.Second}},
		{"text for a header", Reject(errors.New("a\x00b\xff" + strings.Repeat("x", 2000))), 1, ConsumerConfig{}, capable, Settlement{Op: OpArchive, Reason: "ab" + strings.Repeat("x", 996)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := driver.Delivery{Receipt: "r", ReadCount: tt.read}
				f := &fake{caps: tt.caps, receive: deliver(d)}
				tt.cc.Backoff = fixed
				_, err := consume(t, f, Config{}, tt.cc, time.Second, func(context.Context, *Delivery) error { return tt.err })
				if err != nil {
					t.Fatal(err)
				}
				tt.want.Receipt = "r"
				if len(f.settled) != 1 || f.settled[0] != tt.want {
					t.Errorf("settled %+v, want %+v", f.settled, tt.want)
				}
			})
		})
	}
}

func TestOnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string, 2)
		f := &fake{caps: capable, receive: deliver(numbered(2)...)}
		_, err := consume(t, f, Config{}, ConsumerConfig{
			OnEvent: func(_ context.Context, e Event) { got <- e.Kind.String() + " " + e.Delivery.ID + " " + e.Reason },
		}, time.Second, func(_ context.Context, d *Delivery) error {
			if d.ID == "1" {
				return Reject(errBad)
			}
			return nil
		})
		if err != nil || len(got) != 1 || <-got != "dead letter 1 bad item" {
			t.Errorf("Run = %v, %d dead letters", err, len(got))
		}
	})
}

func TestNoDelaysMeansTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		stats, err := consume(t, f, Config{}, ConsumerConfig{}, time.Second, func(context.Context, *Delivery) error { return errBad })
		if err != nil || stats.Retried != 1 || f.called("settle") != 0 {
			t.Errorf("%+v, %v, %d settle calls: want the message left to its timeout", stats, err, f.called("settle"))
		}
	})
}

func TestPanicAndGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &fake{caps: capable, receive: deliver(numbered(4)...)}
		stats, err := consume(t, f, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, ConsumerConfig{Concurrency: 1}, time.Second,
			func(_ context.Context, d *Delivery) error {
				switch d.ID {
				case "0":
					panic("out of cheese")
				case "1":
					runtime.Goexit()
				}
				return nil
			})
		if err != nil || stats.Retried != 2 || stats.Acked != 2 || stats.Running != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
		if !strings.Contains(log.String(), "out of cheese") || !strings.Contains(log.String(), "consumer_test.go") {
			t.Errorf("the panic and its stack are not logged: %s", log.String())
		}
	})
}

func TestPanicErrorUnwraps(t *testing.T) {
	if !errors.Is(&PanicError{Value: errBad}, errBad) || errors.Unwrap(&PanicError{Value: "x"}) != nil {
		t.Error("Unwrap does not return the panic's error")
	}
}

func TestConcurrencyAndSetConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable, receive: deliver(numbered(60)...)}
		c := New(f, Config{})
		var mu sync.Mutex
		now, most := 0, 0
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			now--
			return nil
		}), ConsumerConfig{Concurrency: 4})
		check := func(want int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if most != want {
				t.Errorf("%d handlers at once, want %d", most, want)
			}
			most = now
		}
		go func() { _ = cons.Run(t.Context()) }()
		time.Sleep(3500 * time.Millisecond)
		check(4)
		cons.SetConcurrency(8)
		time.Sleep(2 * time.Second)
		check(8)
		cons.SetConcurrency(2)
		time.Sleep(1500 * time.Millisecond) // until the surplus handlers have ended
		mu.Lock()
		most = 0
		mu.Unlock()
		time.Sleep(2 * time.Second)
		check(2)
		if err := c.Close(); err != nil { // ends Run
			t.Error(err)
		}
	})
}

func TestSetConcurrencyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("SetConcurrency(0) did not panic")
		}
	}()
	newConsumer(t, New(&fake{}, Config{}).Queue("q"), HandlerFunc(nil2), ConsumerConfig{}).SetConcurrency(0)
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable}
		var sent atomic.Int32
		f.receive = func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			if err := sleep(ctx, time.Second); err != nil {
				return nil, err
			}
			sent.Add(1)
			return numbered(1), nil
		}
		c := New(f, Config{})
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error { return nil }), ConsumerConfig{})
		go func() { _ = cons.Run(t.Context()) }()
		time.Sleep(3500 * time.Millisecond)
		cons.Pause()
		time.Sleep(time.Minute)
		if n := sent.Load(); n != 3 {
			t.Errorf("%d messages fetched, want the 3 before Pause", n)
		}
		cons.Resume()
		time.Sleep(2500 * time.Millisecond)
		if n := sent.Load(); n != 5 {
			t.Errorf("%d messages fetched after Resume, want 5", n)
		}
		_ = c.Close()
	})
}

func TestFetchErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable}
		next := deliver(numbered(1)...)
		f.receive = func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			if n := f.called("receive"); n <= 5 {
				return nil, ErrUnavailable
			}
			return next(ctx, r)
		}
		start := time.Now()
		var took time.Duration
		stats, err := consume(t, f, Config{}, ConsumerConfig{}, time.Minute, func(context.Context, *Delivery) error {
			took = time.Since(start)
			return nil
		})
		if err != nil || stats.Acked != 1 {
			t.Errorf("%+v, %v", stats, err)
		}
		if took < 2*time.Second || took > 5*time.Second {
			t.Errorf("came back after %v, want growing pauses of 3.1s in all", took)
		}
	})
	for _, hopeless := range []error{ErrQueueNotFound, ErrClosed, ErrNotSupported} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{receive: func(context.Context, driver.ReceiveRequest) ([]driver.Delivery, error) { return nil, hopeless }}
			start := time.Now()
			if _, err := consume(t, f, Config{}, ConsumerConfig{}, time.Hour, nil2); !errors.Is(err, hopeless) || time.Since(start) > 0 {
				t.Errorf("Run = %v after %v, want %v at once", err, time.Since(start), hopeless)
			}
		})
	}
}

func nil2(context.Context, *Delivery) error { return nil }

func TestGracefulStop(t *testing.T) {
	for _, tt := range []struct {
		name               string
		cc                 ConsumerConfig
		handler            time.Duration // how long it takes
		obeys              bool          // it watches its ctx
		took               time.Duration
		acked, retried     int64
		abandoned, givenUp int
	}{
		{"all finish", ConsumerConfig{Prefetch: 4, SoftStop: time.Minute}, 10 * time.Second, true, 20 * time.Second, 4, 0, 0, 0},
		{"buffer given back", ConsumerConfig{Prefetch: 4, SoftStop: 15 * time.Second}, 10 * time.Second, true, 15 * time.Second, 2, 2, 0, 0},
		{"at once", ConsumerConfig{Prefetch: 4, SoftStop: AtOnce}, 10 * time.Second, true, 0, 0, 2, 0, 2},
		{"abandoned", ConsumerConfig{SoftStop: time.Second, HardStop: 3 * time.Second}, 60 * time.Second, false, 4 * time.Second, 0, 0, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{caps: capable, receive: deliver(numbered(4)...)}
				c := New(f, Config{})
				tt.cc.Concurrency = 2
				cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, _ *Delivery) error {
					if !tt.obeys {
						ctx = context.Background()
					}
					err := sleep(ctx, tt.handler)
					if err != nil && !errors.Is(context.Cause(ctx), ErrStopping) {
						t.Errorf("cause = %v", context.Cause(ctx))
					}
					return err
				}), tt.cc)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- cons.Run(ctx) }()
				synctest.Wait()
				cancel()
				start := time.Now()
				err := <-done
				if took := time.Since(start); took != tt.took {
					t.Errorf("stopped after %v, want %v", took, tt.took)
				}
				stop := (*StopError)(nil)
				if errors.As(err, &stop) != (tt.abandoned > 0) || stop != nil && stop.Abandoned != tt.abandoned {
					t.Errorf("Run = %v", err)
				}
				if s := cons.Stats(); s.Acked != tt.acked || s.Returned != tt.retried+int64(tt.givenUp) {
					t.Errorf("stats = %+v", s)
				}
				time.Sleep(time.Minute) // let abandoned handlers end
			})
		})
	}
}

func TestUncertainSettleIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable, receive: deliver(numbered(3)...)}
		var applied sync.Map
		f.settle = func(_ context.Context, s []Settlement) error {
			errs := make([]error, len(s))
			for i := range s {
				errs[i] = ErrUnavailable // the first time: applied, but the answer is lost
				if _, again := applied.LoadOrStore(s[i].Receipt, true); again {
					errs[i] = ErrMessageNotFound
				}
			}
			return driver.Batch(errs)
		}
		stats, err := consume(t, f, Config{}, ConsumerConfig{}, time.Minute, nil2)
		if err != nil || stats.Acked != 3 || stats.Lost != 0 || stats.Failed != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable, receive: deliver(numbered(1)...), settle: func(context.Context, []Settlement) error { return ErrUnavailable }}
		stats, err := consume(t, f, Config{}, ConsumerConfig{Visibility: 10 * time.Second}, time.Minute, nil2)
		if err != nil || stats.Failed != 1 || f.called("settle") > 10 {
			t.Errorf("%+v, %v, %d calls: want it to end with the lease", stats, err, f.called("settle"))
		}
	})
}

func TestPrefetchAdapts(t *testing.T) {
	for _, tt := range []struct {
		handler time.Duration
		atMost  int // messages leased ahead
		atLeast int
	}{
		{time.Microsecond, 100 + 10, 50},
		{10 * time.Millisecond, 10*10 + 10, 30},
		{time.Second, 9, 0}, // those of the first fetch, before their workers run
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			most := 0
			f := &fake{caps: capable, receive: deliver(numbered(2000)...)}
			c := New(f, Config{})
			var cons *Consumer
			cons = newConsumer(t, c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error {
				mu.Lock()
				most = max(most, cons.Stats().Buffered)
				mu.Unlock()
				time.Sleep(tt.handler)
				return nil
			}), ConsumerConfig{Concurrency: 10})
			go func() { _ = cons.Run(t.Context()) }()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if most > tt.atMost || most < tt.atLeast {
				t.Errorf("handlers of %v: %d messages leased ahead, want %d to %d", tt.handler, most, tt.atLeast, tt.atMost)
			}
			_ = c.Close()
		})
	}
}

func TestRunRefuses(t *testing.T) {
	c := New(&fake{}, Config{})
	ok := HandlerFunc(nil2)
	if _, err := NewConsumer(c.Queue("q"), nil, ConsumerConfig{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("nil handler: %v", err)
	}
	if _, err := NewConsumer(c.Queue(""), ok, ConsumerConfig{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad name: %v", err)
	}
	for name, cc := range map[string]ConsumerConfig{
		"Concurrency": {Concurrency: -1}, "Visibility": {Visibility: -1}, "Timeout": {Timeout: -1}, "MaxAttempts": {MaxAttempts: -2},
		"Prefetch": {Prefetch: -2}, "PrefetchBytes": {PrefetchBytes: -2}, "SoftStop": {SoftStop: -time.Second}, "HardStop": {HardStop: -time.Second},
	} {
		if _, err := NewConsumer(c.Queue("q"), ok, cc); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), strings.ToLower(name[:1])+name[1:]) && !strings.Contains(err.Error(), name) {
			t.Errorf("%s is negative: %v", name, err)
		}
	}
	for name, cc := range map[string]ConsumerConfig{
		"groups":      {Groups: &GroupBy{}},
		"dead letter": {DeadLetter: "dead"},
	} {
		if err := c.Queue("q").Consume(t.Context(), ok, cc); !errors.Is(err, ErrNotSupported) {
			t.Errorf("%s: Run = %v", name, err)
		}
	}
	cons := newConsumer(t, c.Queue("q"), ok, ConsumerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cons.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := cons.Run(ctx); !errors.Is(err, ErrInvalid) {
		t.Errorf("second Run = %v", err)
	}
	_ = c.Close()
	if err := c.Queue("q").Consume(t.Context(), ok, ConsumerConfig{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close = %v", err)
	}
}

func TestMiddlewareAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		wrap := func(name string) Middleware {
			return func(h Handler) Handler {
				return HandlerFunc(func(ctx context.Context, d *Delivery) error {
					order = append(order, name)
					return h.Handle(ctx, d)
				})
			}
		}
		f := &fake{caps: capable, receive: deliver(numbered(1)...)}
		_, err := consume(t, f, Config{}, ConsumerConfig{Timeout: time.Second, Middleware: []Middleware{wrap("a"), wrap("b")}}, time.Minute,
			func(ctx context.Context, d *Delivery) error {
				if got, ok := FromContext(ctx); !ok || got != d {
					t.Error("FromContext does not return the delivery")
				}
				<-ctx.Done()
				return ctx.Err()
			})
		if err != nil || fmt.Sprint(order) != "[a b]" || f.settlements() != "[nack 0]" {
			t.Errorf("%v, order %v, settled %v", err, order, f.settlements())
		}
	})
}

func TestHandlerThatSettlesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: capable, receive: deliver(numbered(1)...)}
		stats, err := consume(t, f, Config{}, ConsumerConfig{}, time.Minute, func(ctx context.Context, d *Delivery) error {
			return d.Archive(ctx, "mine")
		})
		if err != nil || stats.DeadLettered != 1 || f.settlements() != "[archive 0]" {
			t.Errorf("%+v, %v, settled %v", stats, err, f.settlements())
		}
	})
}

func TestExponential(t *testing.T) {
	b := Exponential(time.Second, time.Minute)
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 7: time.Minute, 1000: time.Minute} {
		for range 100 {
			if got := b(n); got < want*4/5 || got > want*6/5 {
				t.Fatalf("pause after %d reads = %v, want %v ± a fifth", n, got, want)
			}
		}
	}
	if got := Exponential(0, 0)(3); got != 0 {
		t.Errorf("zero backoff = %v", got)
	}
}
