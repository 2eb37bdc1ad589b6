package rabbitmq_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// The benchmarks measure the driver beside amqp091-go used by hand, on one
// quorum queue and with bodies of 512 bytes.

const senders, size = 64, 512

func BenchmarkSend(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		_, q, ch := rawQueue(b)
		ok(b, ch.Confirm(false))
		body := make([]byte, size)
		each(b, func() error {
			dc, err := ch.PublishWithDeferredConfirm("", q, true, false, amqp.Publishing{DeliveryMode: 2, Body: body})
			if err == nil {
				dc.Wait()
			}
			return err
		})
	})
	b.Run("mq", func(b *testing.B) {
		dsn, name, _ := rawQueue(b)
		c := open(b, dsn)
		b.Cleanup(func() { ok(b, c.Close()) })
		q := c.Queue(name)
		body := make([]byte, size)
		each(b, func() error {
			_, err := q.Send(context.Background(), &mq.Message{Body: body})
			return err
		})
	})
}

// each calls f b.N times, by all senders.
func each(b *testing.B, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkDrain(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		_, q, ch := rawQueue(b)
		fill(b, ch, q, b.N)
		b.ResetTimer()
		ok(b, ch.Qos(100, 0, false))
		ds := must(ch.Consume(q, "", false, false, false, false, nil))(b)
		for range b.N {
			d := <-ds
			ok(b, d.Ack(false))
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	b.Run("mq", func(b *testing.B) {
		dsn, name, ch := rawQueue(b)
		fill(b, ch, name, b.N)
		c := open(b, dsn)
		b.Cleanup(func() { ok(b, c.Close()) })
		b.ResetTimer()
		consumer, err := mq.NewConsumer(c.Queue(name), mq.HandlerFunc(func(context.Context, *mq.Delivery) error { return nil }), mq.ConsumerConfig{Concurrency: 16})
		ok(b, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- consumer.Run(ctx) }()
		for consumer.Stats().Acked < int64(b.N) {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		cancel()
		ok(b, <-done)
	})
}

// rawQueue makes a queue as EnsureQueue does, and a channel.
func rawQueue(b *testing.B) (dsn, name string, ch *amqp.Channel) {
	b.Helper()
	dsn = server.RabbitMQ(b).Vhost(b)
	c := open(b, dsn)
	must(c.EnsureQueue(b.Context(), "bench", mq.QueueOptions{}))(b)
	ok(b, c.Close())
	conn := must(amqp.Dial(dsn))(b)
	b.Cleanup(func() { _ = conn.Close() })
	return dsn, "bench", must(conn.Channel())(b)
}

// fill puts n messages into a queue.
func fill(b *testing.B, ch *amqp.Channel, q string, n int) {
	b.Helper()
	ok(b, ch.Confirm(false))
	var last *amqp.DeferredConfirmation
	for i := range n {
		last = must(ch.PublishWithDeferredConfirm("", q, true, false, amqp.Publishing{DeliveryMode: 2, Body: make([]byte, size)}))(b)
		if i%1000 == 999 {
			last.Wait()
		}
	}
	last.Wait()
	time.Sleep(200 * time.Millisecond)
}
