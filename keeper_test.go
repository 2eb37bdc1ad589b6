package mq

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestKeeperExtendsInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: driver.Caps{MaxBatch: 1000}, receive: deliver(numbered(10_000)...)}
		c := New(f, Config{})
		defer c.Close()
		release := make(chan struct{})
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, _ *Delivery) error {
			<-release
			return context.Cause(ctx)
		}), ConsumerConfig{Concurrency: 10_000, Visibility: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cons.Run(ctx) }()

		time.Sleep(2*time.Minute + time.Second)
		const beats = 4 // each 30 s
		if got, want := f.called("extend"), beats*10; got != want {
			t.Errorf("%d Extend calls for 10,000 leases in two minutes, want %d", got, want)
		}
		if got := len(f.extended); got != beats*10_000 {
			t.Errorf("%d extensions, want %d", got, beats*10_000)
		}
		close(release)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := cons.Stats(); s.Acked != 10_000 || s.Lost != 0 {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestKeeperGivesUpLostLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(3)...)}
		f.extend = func(_ context.Context, rs []Receipt, _ time.Duration) error {
			errs := make([]error, len(rs))
			for i, r := range rs {
				if r == "1" {
					errs[i] = ErrStaleReceipt
				}
			}
			return driver.Batch(errs)
		}
		c := New(f, Config{})
		defer c.Close()
		causes := make(chan error, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, d *Delivery) error {
			select {
			case <-ctx.Done():
				causes <- context.Cause(ctx)
				return nil
			case <-time.After(time.Minute):
				causes <- nil
				return nil
			}
		}), ConsumerConfig{Visibility: 30 * time.Second})
		go func() { time.Sleep(2 * time.Minute); cancel() }()
		if err := cons.Run(ctx); err != nil {
			t.Error(err)
		}
		if first := <-causes; !errors.Is(first, ErrStaleReceipt) {
			t.Errorf("first handler ended with %v", first)
		}
		for range 2 {
			if err := <-causes; err != nil {
				t.Errorf("a lease that was not lost was given up: %v", err)
			}
		}
		if got := f.settlements(); got != "[ack 0 ack 2]" && got != "[ack 2 ack 0]" {
			t.Errorf("settled %v: a lost lease must not be settled", got)
		}
		if s := cons.Stats(); s.Lost != 1 || s.Acked != 2 {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestKeeperOutlivesFailingHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		outage := 25 * time.Second
		start := time.Now()
		f.extend = func(context.Context, []Receipt, time.Duration) error {
			if time.Since(start) < outage {
				return ErrUnavailable
			}
			return nil
		}
		c := New(f, Config{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, _ *Delivery) error {
			defer cancel()
			return sleep(ctx, 2*time.Minute)
		}), ConsumerConfig{Visibility: 30 * time.Second, SoftStop: time.Hour})
		if err := cons.Run(ctx); err != nil {
			t.Error(err)
		}
		if got := f.settlements(); got != "[ack 0]" {
			t.Errorf("settled %v", got)
		}
	})
}

func TestKeeperGivesUpAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		f.extend = func(context.Context, []Receipt, time.Duration) error { return ErrUnavailable }
		c := New(f, Config{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(func(ctx context.Context, _ *Delivery) error {
			defer cancel()
			<-ctx.Done()
			if took := time.Since(start); took > 36*time.Second {
				t.Errorf("told after %v that a lease of 30s is lost", took)
			}
			return nil
		}), ConsumerConfig{Visibility: 30 * time.Second})
		if err := cons.Run(ctx); err != nil {
			t.Error(err)
		}
		if got := f.settlements(); got != "[]" {
			t.Errorf("settled %v", got)
		}
	})
}

func TestSettleWaitsForExtendInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		f.extend = func(ctx context.Context, _ []Receipt, _ time.Duration) error { return sleep(ctx, time.Second) }
		c := New(f, Config{})
		defer c.Close()
		ds, err := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		go func() {
			if err := ds[0].Extend(t.Context(), time.Minute); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if err := ds[0].Nack(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the nack left after %v, beside the extension", took)
		}
		if err := ds[0].Extend(t.Context(), time.Minute); !errors.Is(err, ErrStaleReceipt) || f.called("extend") != 1 {
			t.Errorf("Extend after Nack = %v, %d calls", err, f.called("extend"))
		}
	})
}

func TestSettleGivesUpWaitingForExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		f.extend = func(ctx context.Context, _ []Receipt, _ time.Duration) error { return sleep(ctx, time.Hour) }
		c := New(f, Config{})
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		extendCtx, stop := context.WithCancel(t.Context())
		go func() { _ = ds[0].Extend(extendCtx, time.Minute) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := ds[0].Nack(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Nack = %v", err)
		}
		stop()
		synctest.Wait()
		if err := ds[0].Nack(t.Context(), 0); err != nil {
			t.Errorf("a Nack that did not leave cannot be repeated: %v", err)
		}
	})
}

func TestDeliverySettlesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(numbered(1)...)}
		f.settle = func(ctx context.Context, _ []Settlement) error { return sleep(ctx, time.Millisecond) }
		c := New(f, Config{})
		ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
		errs := make([]error, 16)
		fleet(16, func(i int) { errs[i] = ds[0].Ack(t.Context()) }).Wait()
		for i, err := range errs {
			if (err == nil) != (i == 0) || err != nil && !errors.Is(err, ErrStaleReceipt) {
				t.Errorf("Ack %d = %v", i, err)
			}
		}
		if f.called("settle") != 1 {
			t.Errorf("%d calls", f.called("settle"))
		}
	})
}

func TestFailedSettleMayBeRepeated(t *testing.T) {
	f := &fake{receive: deliver(numbered(1)...)}
	fail := true
	f.settle = func(context.Context, []Settlement) error {
		if fail {
			return ErrUnavailable
		}
		return nil
	}
	c := New(f, Config{})
	ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
	if err := ds[0].Ack(t.Context()); !errors.Is(err, ErrUnavailable) || f.called("settle") != 1 {
		t.Errorf("Ack = %v after %d calls", err, f.called("settle"))
	}
	fail = false
	if err := ds[0].Ack(t.Context()); err != nil {
		t.Error(err)
	}
}
