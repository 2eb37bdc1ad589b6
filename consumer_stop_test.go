package mq

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The backend hangs while the Consumer stops, as it does when that is why the
// program is restarted.
func TestHandlersAreToldBeforeTheBackendIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 5)
		b.fault = func(op string, _ int) fault { return fault{hang: op == "settle" || op == "extend"} }
		told := make(chan time.Time, 1)
		c := New(b, (&journal{}).config())
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, _ *Delivery) error {
			<-ctx.Done()
			told <- time.Now()
			return ctx.Err()
		}), ConsumerConfig{Concurrency: 1, Prefetch: 4, SoftStop: time.Second, HardStop: 5 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cons.Run(ctx) }()
		time.Sleep(time.Second)
		start := time.Now()
		cancel()
		if at := <-told; at.Sub(start) != time.Second {
			t.Errorf("the handler was told after %v, SoftStop is 1s", at.Sub(start))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second+5*time.Second+30*time.Second {
			t.Errorf("Run returned after %v", took)
		}
		_ = c.Close()
	})
}

// A handler that does not return and a backend that hangs do not add up.
func TestGivingBackRunsBesideHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 5)
		b.fault = func(op string, _ int) fault { return fault{hang: op == "settle"} }
		c := New(b, (&journal{}).config())
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error {
			time.Sleep(time.Hour)
			return nil
		}), ConsumerConfig{Concurrency: 1, Prefetch: 4, SoftStop: AtOnce, HardStop: 20 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if err := cons.Run(ctx); err == nil {
			t.Error("no *StopError")
		}
		if took := time.Since(start) - time.Second; took > 30*time.Second {
			t.Errorf("Run returned %v after its end, CallTimeout is 30s", took)
		}
		time.Sleep(2 * time.Hour)
		_ = c.Close()
	})
}
