package mq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// working is a handler that takes some time unless its context ends.
func working(d time.Duration) HandlerFunc {
	return func(ctx context.Context, _ *Delivery) error {
		_ = sleep(ctx, d)
		return context.Cause(ctx)
	}
}

func TestHangingHeartbeatCostsNoLease(t *testing.T) {
	for _, offset := range []time.Duration{0, time.Second, 2500 * time.Millisecond, 4999 * time.Millisecond} {
		for _, hung := range []int{1, 2} { // dead connections
			t.Run(fmt.Sprintf("%v, %d", offset, hung), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBackend(capable, 0)
					b.fault = hangs("extend", 1, hung)
					r := run(t, b, Config{}, ConsumerConfig{SoftStop: time.Hour, Prefetch: NoPrefetch}, working(2*time.Minute))
					time.Sleep(offset) // between the keeper's start and the fetch
					for i := range 3 {
						b.mu.Lock()
						b.add("q", Message{Body: fmt.Append(nil, i)})
						b.mu.Unlock()
					}
					time.Sleep(3 * time.Minute)
					if s := r.stop(t); s.Acked != 3 || s.Lost != 0 || s.Received != 3 {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}

// A handler may return while a heartbeat of its lease hangs.
func TestSettlementBesideAHangingHeartbeat(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fences bool
		err    error
		op     string
	}{
		{"ack", false, nil, "[ack 0]"},
		{"archive", false, Reject(errBad), "[archive 0]"},
		{"nack", false, Retry(time.Hour, nil), "[nack 0]"},
		{"nack that fences", true, Retry(time.Hour, nil), "[nack 0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caps := capable
				caps.NackFences = tt.fences
				b := newBackend(caps, 1)
				b.fault = hangs("extend", 1, 1)
				var returned time.Time
				r := run(t, b, Config{}, ConsumerConfig{}, func(ctx context.Context, _ *Delivery) error {
					_ = sleep(ctx, 16*time.Second) // a second after the heartbeat
					returned = time.Now()
					return tt.err
				})
				time.Sleep(16*time.Second + 1)
				synctest.Wait()
				for b.noted("settle") == "[]" && time.Since(returned) < time.Minute {
					time.Sleep(time.Second)
				}
				// An unfenced nack waits for the heartbeat, which has until the next beat.
				if took := time.Since(returned); took > 5*time.Second {
					t.Errorf("settled %v after the handler returned", took)
				}
				if s := r.stop(t); b.noted("settle") != tt.op || s.Lost+s.Failed != 0 {
					t.Errorf("settled %s, %+v", b.noted("settle"), s)
				}
			})
		})
	}
}

// While settlements wait for dead connections their leases are kept alive.
func TestWaitingSettlementsAreKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := capable
		caps.Flights = 1
		b := newBackend(caps, 4)
		b.fault = hangs("settle", 1, 4)
		var log journal
		r := run(t, b, log.config(), ConsumerConfig{Concurrency: 4, SoftStop: time.Hour}, nil2)
		time.Sleep(10 * time.Minute)
		if s := r.stop(t); s.Acked != 4 || s.Lost+s.Failed != 0 || s.Received != 4 {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(log.String(), "a settlement does not get through") {
			t.Errorf("two minutes of hanging settlements are not logged: %s", &log)
		}
	})
}

func TestHeartbeatFailureIsLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(op string, n int) fault
		want  string
	}{
		"fails": {answers(errBad, "extend", 1, 5), "bad item"},
		"hangs": {hangs("extend", 1, 1), "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 3)
				b.fault = tt.fault
				var log journal
				r := run(t, b, log.config(), ConsumerConfig{SoftStop: time.Hour}, working(time.Minute))
				time.Sleep(2 * time.Minute)
				r.stop(t)
				s := log.String()
				if strings.Count(s, "heartbeat failed") != 1 || !strings.Contains(s, tt.want) || !strings.Contains(s, "leases=3") {
					t.Errorf("logged %s", s)
				}
			})
		})
	}
}

func TestLostLeaseSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = hangs("extend", 1, 100)
		var log journal
		var cause error
		var took time.Duration
		r := run(t, b, log.config(), ConsumerConfig{SoftStop: time.Hour}, awaitEnd(&cause, &took))
		time.Sleep(2 * time.Minute)
		if s := r.stop(t); cause != ErrStaleReceipt || took != 30*time.Second || s.Lost != 1 {
			t.Errorf("the handler ended after %v with %v, %+v", took, cause, s)
		}
		if !strings.Contains(log.String(), "ended before an extension got through") {
			t.Errorf("logged %s", &log)
		}
		if n := strings.Count(log.String(), "heartbeat failed"); n < 1 || n > 3 {
			t.Errorf("%d lines about three failed heartbeats: %s", n, &log)
		}
	})
}

// crowd counts the calls of an operation that are under way.
type crowd struct {
	*backend
	now, most int
}

func (c *crowd) Extend(ctx context.Context, queue string, rs []Receipt, d time.Duration) error {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	return c.backend.Extend(ctx, queue, rs, d)
}

func TestHeartbeatsAreBounded(t *testing.T) {
	for _, flights := range []int{1, 2, 8} {
		synctest.Test(t, func(t *testing.T) {
			caps := capable
			caps.Flights, caps.MaxBatch = flights, 10
			c := &crowd{backend: newBackend(caps, 100)}
			c.fault = hangs("extend", 1, 1<<30)
			r := run(t, c, Config{}, ConsumerConfig{Concurrency: 100, SoftStop: AtOnce, MaxAttempts: Unlimited}, working(time.Hour))
			time.Sleep(5 * time.Minute)
			r.stop(t)
			if c.most > min(flights, maxBeats) {
				t.Errorf("%d Extend calls at once, Caps.Flights is %d", c.most, flights)
			}
			if n := c.called("extend"); n > maxBeats*5*2*beatsPerVisibility {
				t.Errorf("%d Extend calls in five minutes", n)
			}
		})
	}
}

// One slow part of a large beat does not cost the leases of the others.
func TestLargeBeatHasADeadlineForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := capable
		caps.MaxBatch = 10
		b := newBackend(caps, 100)
		b.fault = func(op string, n int) fault {
			switch {
			case op != "extend":
				return fault{}
			case n == 3 || n == 40:
				return fault{hang: true}
			}
			return fault{delay: 500 * time.Millisecond}
		}
		r := run(t, b, Config{}, ConsumerConfig{Concurrency: 100, SoftStop: time.Hour, Prefetch: NoPrefetch}, working(5*time.Minute))
		time.Sleep(6 * time.Minute)
		if s := r.stop(t); s.Acked != 100 || s.Lost != 0 || s.Received != 100 {
			t.Errorf("%+v", s)
		}
	})
}

// A receive that takes almost as long as the lease leaves little of it.
func TestLateReceiveIsExtendedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 2)
		late := &lateReceive{b, 28 * time.Second}
		c := New(late, Config{})
		defer c.Close()
		n := 0
		for d, err := range c.Queue("q").Messages(t.Context(), ReceiveOptions{Max: 2}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			_ = sleep(t.Context(), time.Minute)
			if err := d.Ack(t.Context()); err != nil {
				t.Errorf("Ack = %v", err)
			}
		}
		if n != 2 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// lateReceive brings its answers late.
type lateReceive struct {
	*backend
	delay time.Duration
}

func (l *lateReceive) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := l.backend.Receive(ctx, queue, r)
	if len(ds) > 0 {
		time.Sleep(l.delay)
	}
	return ds, err
}

func TestPanicInAHeartbeatsInterceptor(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("mine") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				n := 0
				var log journal
				cfg := log.config()
				cfg.Interceptors = []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
					if c.Op == "extend" {
						if n++; n == 1 {
							end()
						}
					}
					return next(ctx)
				}}
				r := run(t, b, cfg, ConsumerConfig{SoftStop: time.Hour}, working(2*time.Minute))
				time.Sleep(3 * time.Minute)
				if s := r.stop(t); s.Acked != 1 || s.Lost != 0 {
					t.Errorf("%+v", s)
				}
				if !strings.Contains(log.String(), "heartbeat failed") {
					t.Errorf("logged %s", &log)
				}
			})
		})
	}
}

// Closing the keeper ends its beats.
func TestKeeperCloseEndsHangingBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = hangs("extend", 1, 100)
		c := New(b, Config{})
		q := c.Queue("q")
		k := newKeeper(t.Context(), q, 30*time.Second, nil)
		ds, err := q.Receive(t.Context(), ReceiveOptions{})
		if err != nil || len(ds) != 1 {
			t.Fatal(ds, err)
		}
		k.keep(ds)
		time.Sleep(16 * time.Second)
		start := time.Now()
		k.close()
		if took := time.Since(start); took != 0 {
			t.Errorf("close took %v", took)
		}
		if err := ds[0].Ack(t.Context()); err != nil {
			t.Errorf("Ack = %v", err)
		}
		if err := c.Close(); err != nil || !errors.Is(c.Ping(t.Context()), ErrClosed) {
			t.Error(err)
		}
	})
}
