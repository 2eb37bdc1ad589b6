package mq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/portmq/mq/driver"
)

func TestLeaseTransitions(t *testing.T) {
	names := map[leaseState]string{
		held: "held", settling: "settling", repeating: "repeating", inTx: "in tx",
		settled: "settled", givenUp: "given up", lost: "lost",
	}
	allowed := map[leaseState][]leaseState{
		held:      {settling, givenUp, lost},
		settling:  {held, repeating, inTx, settled, givenUp, lost},
		repeating: {settling, givenUp, lost},
		inTx:      {settling, givenUp, lost},
	}
	for from, name := range names {
		may := make(map[leaseState]bool)
		for _, to := range allowed[from] {
			may[to] = true
		}
		for to := range names {
			cancelled, k := false, &keeper{leases: make(map[*lease]kept)}
			l := &lease{state: from, keeper: k, cancel: func(error) { cancelled = true }}
			k.leases[l] = kept{}
			if got := l.to(to); got != may[to] {
				t.Errorf("%s to %s: %v, want %v", name, names[to], got, may[to])
			}
			over := may[to] && to >= settled
			if (len(k.leases) == 0) != over || cancelled != (over && to == lost) {
				t.Errorf("%s to %s: %d leases kept, handler told: %v", name, names[to], len(k.leases), cancelled)
			}
		}
	}
}

func TestDeliveryStaysSmall(t *testing.T) {
	if n := unsafe.Sizeof(Delivery{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 320 {
		t.Errorf("a Delivery has %d bytes, more than the size class of 320", n)
	}
}

// awaitEnd is a handler that works until its context ends, and reports the
// cause and how long that took.
func awaitEnd(cause *error, took *time.Duration) HandlerFunc {
	return func(ctx context.Context, d *Delivery) error {
		if d.ReadCount > 1 {
			return nil
		}
		begun := time.Now()
		select {
		case <-ctx.Done():
			*cause, *took = context.Cause(ctx), time.Since(begun)
		case <-time.After(time.Hour):
			*took = time.Since(begun)
		}
		return nil
	}
}

func TestLossEndsTheHandlerWhoeverFindsOut(t *testing.T) {
	for name, find := range map[string]func(ctx context.Context, d *Delivery) error{
		"extend":  func(ctx context.Context, d *Delivery) error { return d.Extend(ctx, time.Minute) },
		"ack":     func(ctx context.Context, d *Delivery) error { return d.Ack(ctx) },
		"nack":    func(ctx context.Context, d *Delivery) error { return d.Nack(ctx, 0) },
		"archive": func(ctx context.Context, d *Delivery) error { return d.Archive(ctx, "late") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				var cause error
				var took time.Duration
				wait := awaitEnd(&cause, &took)
				var r *running
				started := make(chan bool)
				r = run(t, b, Config{}, ConsumerConfig{}, func(ctx context.Context, d *Delivery) error {
					<-started
					elsewhere := Settlement{Receipt: d.Receipt, Op: OpAck}
					if err := d.queue.Settle(ctx, elsewhere); err != nil {
						t.Error(err)
					}
					if err := find(context.WithoutCancel(ctx), d); !errors.Is(err, ErrStaleReceipt) {
						t.Errorf("%s = %v", name, err)
					}
					_ = wait(ctx, d)
					if n := len(r.keeper.leases); n != 0 {
						t.Errorf("%d leases are kept", n)
					}
					return nil
				})
				close(started)
				synctest.Wait()
				s := r.stop(t)
				if cause != ErrStaleReceipt || took != 0 || s.Lost != 1 || s.Acked != 0 {
					t.Errorf("the handler ended after %v with %v, %+v", took, cause, s)
				}
			})
		})
	}
}

// A settlement whose answer was lost did arrive if the next one finds no
// message.
func TestAckThatArrivedAfterAllIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = func(op string, n int) fault {
			return fault{hang: op == "settle" && n == 1, applied: true}
		}
		r := run(t, b, Config{CallTimeout: time.Second}, ConsumerConfig{}, func(ctx context.Context, d *Delivery) error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := d.Ack(short); !errors.Is(err, ErrUnavailable) {
				t.Errorf("first Ack = %v", err)
			}
			if err := d.Ack(ctx); !errors.Is(err, ErrMessageNotFound) {
				t.Errorf("second Ack = %v", err)
			}
			return ctx.Err()
		})
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 1 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFailedSettlementIsKeptAlive(t *testing.T) {
	for name, fail := range map[string]func(ctx context.Context, d *Delivery) error{
		"ack": func(ctx context.Context, d *Delivery) error { return d.Ack(ctx) },
		"move to nowhere": func(ctx context.Context, d *Delivery) error {
			return d.Move(ctx, "typo", "")
		},
		"archive": func(ctx context.Context, d *Delivery) error { return d.Archive(ctx, "") },
		"nack that gave up waiting": func(ctx context.Context, d *Delivery) error {
			go func() { _ = d.Extend(ctx, time.Minute) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return d.Nack(ctx, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				b.fault = func(op string, n int) fault {
					switch {
					case op == "settle" && n == 1 && !strings.HasPrefix(name, "nack"):
						return fault{err: ErrQueueNotFound}
					case op == "extend" && n == 1 && strings.HasPrefix(name, "nack"):
						return fault{hang: true}
					}
					return fault{}
				}
				r := run(t, b, Config{CallTimeout: 5 * time.Second}, ConsumerConfig{SoftStop: time.Hour}, func(ctx context.Context, d *Delivery) error {
					if err := fail(ctx, d); err == nil {
						t.Error("the settlement did not fail")
					}
					if err := sleep(ctx, 5*time.Minute); err != nil {
						t.Errorf("the lease was lost: %v", context.Cause(ctx))
					}
					return d.Ack(ctx)
				})
				time.Sleep(6 * time.Minute)
				s := r.stop(t)
				if got := b.noted("settle"); got != "[ack 0]" || s.Acked != 1 || s.Lost != 0 || s.Received != 1 {
					t.Errorf("settled %s, %+v", got, s)
				}
			})
		})
	}
}

func TestMaxHoldEndsTheHandler(t *testing.T) {
	for _, tt := range []struct{ visibility, hold time.Duration }{
		{time.Minute, 2 * time.Minute},
		{time.Minute, 95 * time.Second},
		{10 * time.Minute, 24 * time.Minute},
		{time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(driver.Caps{MaxHold: tt.hold, MaxBatch: 100}, 1)
			var log journal
			var cause error
			var took time.Duration
			r := run(t, b, log.config(), ConsumerConfig{Visibility: tt.visibility, SoftStop: time.Hour}, awaitEnd(&cause, &took))
			time.Sleep(tt.hold + time.Second)
			if s := r.stop(t); cause != ErrStaleReceipt || took != tt.hold || s.Lost != 1 {
				t.Errorf("V %v, MaxHold %v: the handler ended after %v with %v, %+v", tt.visibility, tt.hold, took, cause, s)
			}
			if !strings.Contains(log.String(), "MaxHold") {
				t.Errorf("the log does not say why: %s", &log)
			}
		})
	}
}

// The process stands still while a message is in the buffer.
func TestNoHandlerBeginsAfterItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 2)
		b.fault = func(op string, n int) fault { return fault{hang: op == "extend"} }
		var mu sync.Mutex
		begun := make(map[string]time.Duration)
		start := time.Now()
		r := run(t, b, Config{}, ConsumerConfig{Concurrency: 1, Prefetch: 1, SoftStop: AtOnce, MaxAttempts: Unlimited}, func(ctx context.Context, d *Delivery) error {
			mu.Lock()
			if _, again := begun[d.ID]; !again {
				begun[d.ID] = time.Since(start)
			}
			mu.Unlock()
			if d.ID == "0" && d.ReadCount == 1 {
				_ = d.Ack(ctx)
				time.Sleep(30*time.Second + time.Millisecond) // longer than the lease of the other one
			}
			return nil
		})
		time.Sleep(31 * time.Second)
		s := r.stop(t)
		if at := begun["1"]; at != 0 && at < 30*time.Second || s.Lost != 1 {
			t.Errorf("the second handler began at %v, %+v", at, s)
		}
		if got := b.noted("settle"); got != "[ack 0 ack 1]" && got != "[ack 0]" {
			t.Errorf("settled %s", got)
		}
	})
}

// Nobody knows in which order a backend sees extensions that overlap.
func TestOverlappingExtensionsTakeTheEarlierEnd(t *testing.T) {
	for name, faults := range map[string][2]fault{ // of the heartbeat and of the handler's own extension
		"heartbeat applied last, answered first": {{delay: time.Second}, {late: 2 * time.Second}},
		"heartbeat applied first, answered last": {{late: 2 * time.Second}, {delay: time.Second}},
		"heartbeat applied and answered last":    {{delay: 2 * time.Second}, {late: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				b.fault = func(op string, n int) fault {
					if op == "extend" && n <= 2 {
						return faults[n-1]
					}
					return fault{}
				}
				r := run(t, b, Config{}, ConsumerConfig{SoftStop: time.Hour}, func(ctx context.Context, d *Delivery) error {
					_ = sleep(ctx, 15*time.Second+time.Millisecond) // a heartbeat is under way
					if err := d.Extend(ctx, 10*time.Minute); err != nil {
						t.Error(err)
					}
					_ = sleep(ctx, 3*time.Minute)
					return ctx.Err()
				})
				time.Sleep(4 * time.Minute)
				if s := r.stop(t); s.Acked != 1 || s.Lost != 0 || s.Received != 1 {
					t.Errorf("%+v, extended %s", s, b.noted("extend"))
				}
			})
		})
	}
}

// A handler that shortens its lease does not lose it to the next beat.
func TestShortenedLeaseIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		r := run(t, b, Config{}, ConsumerConfig{SoftStop: time.Hour}, func(ctx context.Context, d *Delivery) error {
			_ = sleep(ctx, time.Second)
			if err := d.Extend(ctx, 2*time.Second); err != nil { // the next beat is in 4
				t.Error(err)
			}
			_ = sleep(ctx, time.Minute)
			return context.Cause(ctx)
		})
		time.Sleep(2 * time.Minute)
		if s := r.stop(t); s.Acked != 1 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestStuckHandlerDoesNotKeepItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		var log journal
		start := time.Now()
		var again time.Duration
		r := run(t, b, log.config(), ConsumerConfig{Timeout: time.Minute, HardStop: 10 * time.Second, SoftStop: AtOnce}, func(_ context.Context, d *Delivery) error {
			if d.ReadCount == 1 {
				time.Sleep(time.Hour) // ignores its context
				return nil
			}
			again = time.Since(start)
			return nil
		})
		time.Sleep(2 * time.Hour)
		s := r.stop(t)
		if again < 70*time.Second || again > 70*time.Second+30*time.Second+time.Second {
			t.Errorf("delivered again after %v, want the end of the last lease before 1m10s", again)
		}
		if s.Stuck != 1 || s.Acked != 1 || s.Lost != 1 {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(log.String(), "ignores the end of its context") || !strings.Contains(log.String(), "id=0") {
			t.Errorf("logged %s", &log)
		}
	})
}

// After HardStop the leases of handlers that do not listen run out, even while
// Run waits for settlements.
func TestAbandonedHandlersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 2)
		b.fault = func(op string, n int) fault { return fault{hang: op == "settle"} }
		c := New(b, Config{CallTimeout: 2 * time.Minute})
		defer c.Close()
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(_ context.Context, d *Delivery) error {
			if d.ID == "0" {
				time.Sleep(time.Hour)
			}
			return nil
		}), ConsumerConfig{SoftStop: AtOnce, HardStop: time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		stop := (*StopError)(nil)
		if err := cons.Run(ctx); !errors.As(err, &stop) || stop.Abandoned != 1 {
			t.Errorf("Run = %v", err)
		}
		if n := strings.Count(b.noted("extend"), "0"); n > 0 {
			t.Errorf("the lease of an abandoned handler was extended %d times", n)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestExtendOfALostLeaseNeedsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		c := New(b, Config{})
		defer c.Close()
		ds, err := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		if err != nil || len(ds) != 1 {
			t.Fatal(ds, err)
		}
		if err := ds[0].Nack(t.Context(), AtTimeout); err != nil {
			t.Error(err)
		}
		for range 2 {
			for what, err := range map[string]error{
				"Ack": ds[0].Ack(t.Context()), "Extend": ds[0].Extend(t.Context(), time.Minute), "Nack": ds[0].Nack(t.Context(), AtTimeout),
			} {
				if !errors.Is(err, ErrStaleReceipt) {
					t.Errorf("%s after a nack = %v", what, err)
				}
			}
		}
		if n := b.called("settle") + b.called("extend"); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// A heartbeat that is refused while the settlement is on its way says nothing.
func TestRefusedHeartbeatBesideASettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = func(op string, n int) fault { return fault{hang: op == "settle" && n == 1, applied: true} }
		var log journal
		cfg := log.config()
		cfg.CallTimeout = 20 * time.Second
		r := run(t, b, cfg, ConsumerConfig{SoftStop: time.Hour}, nil2)
		time.Sleep(5 * time.Minute)
		if s := r.stop(t); s.Acked != 1 || s.Lost != 0 || b.called("extend") == 0 {
			t.Errorf("%+v after %d extensions: %s", s, b.called("extend"), &log)
		}
	})
}

func TestInstant(t *testing.T) {
	for _, tt := range []struct {
		i    instant
		d    time.Duration
		want instant
	}{
		{0, time.Second, instant(time.Second)},
		{-5, 3, -2},
		{never - 5, 3, never - 2},
		{never - 5, Forever, never},
		{never, 1, never},
		{always, time.Second, always + instant(time.Second)},
		{-7, Forever, never - 7},
	} {
		if got := tt.i.add(tt.d); got != tt.want {
			t.Errorf("%d.add(%d) = %d, want %d", tt.i, tt.d, got, tt.want)
		}
	}
	for _, tt := range []struct {
		i, j instant
		want time.Duration
	}{
		{5, 3, 2},
		{3, 5, -2},
		{never, -5, Forever},
		{never, 5, Forever - 5},
		{0, always + 2, Forever - 1},
	} {
		if got := tt.i.sub(tt.j); got != tt.want {
			t.Errorf("%d.sub(%d) = %d, want %d", tt.i, tt.j, got, tt.want)
		}
	}
	if fmt.Sprint(lostByClock) == "" || lostRefused.String() == lostByLimit.String() {
		t.Error("reasons")
	}
}
