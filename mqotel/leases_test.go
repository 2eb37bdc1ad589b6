package mqotel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqotel"
	"github.com/portmq/mq/mqtest"
)

// Each lost lease counts once, wherever it shows.
func TestLeaseLost(t *testing.T) {
	once := map[string]int64{"": 1}
	tests := []struct {
		name string
		run  func(l *lab)
		want map[string]int64
	}{
		{"heartbeat of a handler", func(l *lab) {
			l.consume(mq.ConsumerConfig{}, func(ctx context.Context, d *mq.Delivery, stop func()) error {
				defer stop()
				_, err := l.queue.Purge(ctx)
				l.check(err)
				<-ctx.Done()
				return errors.Join(ctx.Err(), d.Ack(context.Background()))
			})
		}, once},
		{"settlement of a Consumer", func(l *lab) {
			l.consume(mq.ConsumerConfig{}, func(ctx context.Context, _ *mq.Delivery, stop func()) error {
				stop()
				_, err := l.queue.Purge(ctx)
				return err
			})
		}, once},
		{"settlement after a timeout", func(l *lab) {
			ds, err := l.queue.Receive(l.Context(), mq.ReceiveOptions{})
			l.check(err)
			time.Sleep(time.Minute)
			_, err = l.queue.Receive(l.Context(), mq.ReceiveOptions{})
			l.check(err)
			for range 2 {
				if err := ds[0].Ack(l.Context()); !errors.Is(err, mq.ErrStaleReceipt) {
					l.Errorf("ack: %v", err)
				}
			}
		}, once},
		{"extension after a timeout", func(l *lab) {
			ds, err := l.queue.Receive(l.Context(), mq.ReceiveOptions{})
			l.check(err)
			time.Sleep(time.Minute)
			if err := ds[0].Extend(l.Context(), time.Minute); !errors.Is(err, mq.ErrStaleReceipt) {
				l.Errorf("extend: %v", err)
			}
		}, once},
		{"a second settlement is no loss", func(l *lab) {
			ds, err := l.queue.Receive(l.Context(), mq.ReceiveOptions{})
			l.check(err)
			l.check(ds[0].Ack(l.Context()))
			if err := ds[0].Ack(l.Context()); !errors.Is(err, mq.ErrStaleReceipt) {
				l.Errorf("second ack: %v", err)
			}
		}, map[string]int64{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, mqotel.Config{})
				l.send(t.Context(), "1")
				test.run(l)
				l.requireSeries("mq.lease.lost", test.want)
			})
		})
	}
}

// A backend that is away does not say that the lease is lost: its time is over.
func TestLeaseLostInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mqtest.Faulty(mem.New(), mqtest.Fault{Op: "extend", Err: driver.ErrUnavailable})
		l := newLabOf(t, mqotel.Config{}, p)
		l.send(t.Context(), "1")
		l.consume(mq.ConsumerConfig{Concurrency: 1, Prefetch: mq.NoPrefetch}, func(ctx context.Context, _ *mq.Delivery, stop func()) error {
			defer stop()
			<-ctx.Done()
			return ctx.Err()
		})
		l.requireSeries("mq.lease.lost", map[string]int64{"": 1})
	})
}
