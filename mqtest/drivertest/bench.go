package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// Bench measures the provider of h, in the same way for every driver, with
// bodies of about 256 bytes:
//
//   - send/senders=N: that many goroutines send one message at a time
//   - send/batch=100: one goroutine sends 100 messages at a time
//   - receive/one: one goroutine receives and acks one message at a time
//   - receive/batch=100: it receives and acks 100 at a time
//   - receive/delayed=10000: receive/one, behind 10,000 delayed messages
//   - nack/batch=100: it receives and nacks 100 at a time
//   - consumer/handlers=16: a Consumer drains 10,000 messages per operation
//   - latency/rate=1000: from before the send to the beginning of the handler,
//     at 1,000 messages a second: the median and the 99th percentile
//
// An operation is one call, or one call and its settlement; msgs/s counts
// messages. What is not supported is skipped.
//
//	func BenchmarkDriver(b *testing.B) { drivertest.Bench(b, h) }
func Bench(b *testing.B, h Harness) {
	for _, n := range []int{1, 16, 128} {
		run(b, h, fmt.Sprintf("send/senders=%d", n), func(b *bench) { b.send(n) })
	}
	run(b, h, "send/batch=100", func(b *bench) { b.sendBatch(100) })
	run(b, h, "receive/one", func(b *bench) { b.receive(1) })
	run(b, h, "receive/batch=100", func(b *bench) { b.receive(100) })
	run(b, h, "receive/delayed=10000", func(b *bench) { b.delayed(10_000) })
	run(b, h, "nack/batch=100", func(b *bench) { b.nack(100) })
	run(b, h, "consumer/handlers=16", func(b *bench) { b.consume(16) })
	run(b, h, "latency/rate=1000", func(b *bench) { b.latency(1000) })
}

// bench is one benchmark on a queue of its own.
type bench struct {
	*testing.B
	q     *mq.Queue
	stock int // messages in the queue, where that matters
}

func run(b *testing.B, h Harness, name string, f func(*bench)) {
	b.Run(name, func(b *testing.B) {
		c := h.Open(b)
		b.Cleanup(func() { closeClient(b, c) })
		q, err := c.EnsureQueue(b.Context(), fmt.Sprintf("bench_%08x", rand.Uint32()), mq.QueueOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		f(&bench{B: b, q: q})
		_ = c.DropQueue(b.Context(), q.Name()) // as far as that is supported
	})
}

func (b *bench) ok(err error) {
	if err != nil {
		b.Fatal(err)
	}
}

// rate reports how many messages went through, n in each operation.
func (b *bench) rate(n int) {
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msgs/s")
}

// stamp is the payload: JSON, which some providers store as such.
type stamp struct {
	Sent time.Duration
	Pad  string
}

func benchMessages(n int, delay time.Duration) []*mq.Message {
	msgs := make([]*mq.Message, n)
	for i := range msgs {
		body := fmt.Appendf(nil, `{"Pad":%q}`, strings.Repeat("x", 246))
		msgs[i] = &mq.Message{Body: body, Delay: delay}
	}
	return msgs
}

// fill sends n messages.
func (b *bench) fill(n int, delay time.Duration) {
	msgs := benchMessages(min(n, 1000), delay)
	for ; n > 0; n -= len(msgs) {
		msgs = msgs[:min(n, len(msgs))]
		_, err := b.q.SendAll(b.Context(), msgs)
		b.ok(err)
	}
}

// need makes sure that n messages are there, outside the measured time.
func (b *bench) need(n int) {
	if b.stock < n {
		b.StopTimer()
		b.fill(10_000, 0)
		b.stock += 10_000
		b.StartTimer()
	}
	b.stock -= n
}

// sent keeps a queue that is only sent to from growing without end.
func (b *bench) sent(n int) {
	const most = 200_000
	if b.stock += n; b.stock < most {
		return
	}
	b.StopTimer()
	if _, err := b.q.Purge(b.Context()); !errors.Is(err, mq.ErrNotSupported) {
		b.ok(err)
	}
	b.stock = 0
	b.StartTimer()
}

// send counts what is handed to the senders: the few messages that are on
// their way at the end do not matter.
func (b *bench) send(senders int) {
	msg := benchMessages(1, 0)[0]
	turns := make(chan struct{}, senders)
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range turns {
				if _, err := b.q.Send(b.Context(), msg); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for b.Loop() {
		turns <- struct{}{}
		b.sent(1)
	}
	close(turns)
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	b.rate(1)
}

func (b *bench) sendBatch(n int) {
	msgs := benchMessages(n, 0)
	for b.Loop() {
		_, err := b.q.SendAll(b.Context(), msgs)
		b.ok(err)
		b.sent(n)
	}
	b.rate(n)
}

// take receives n messages, in as many calls as it needs.
func (b *bench) take(n int) []*mq.Delivery {
	var got []*mq.Delivery
	for limit := b.q.Client().Caps().BatchLimit(); len(got) < n; {
		ds, err := b.q.Receive(b.Context(), mq.ReceiveOptions{Max: min(n-len(got), limit), Wait: time.Minute})
		b.ok(err)
		if len(ds) == 0 {
			b.Fatal("a message that was sent does not come")
		}
		got = append(got, ds...)
	}
	return got
}

func (b *bench) settle(ds []*mq.Delivery, op mq.Settlement) {
	settlements := make([]mq.Settlement, len(ds))
	for i, d := range ds {
		settlements[i] = op
		settlements[i].Receipt = d.Receipt
	}
	b.ok(b.q.Settle(b.Context(), settlements...))
}

func (b *bench) receive(n int) {
	for b.Loop() {
		b.need(n)
		b.settle(b.take(n), mq.Settlement{Op: mq.OpAck})
	}
	b.rate(n)
}

func (b *bench) delayed(n int) {
	caps := b.q.Client().Caps()
	if !caps.Delay {
		b.Skip("no delays")
	}
	delay := 24 * time.Hour
	if caps.MaxDelay > 0 {
		delay = min(delay, caps.MaxDelay)
	}
	b.fill(n, delay)
	b.receive(1)
}

func (b *bench) nack(n int) {
	b.fill(10*n, 0)
	for b.Loop() {
		b.settle(b.take(n), mq.Settlement{Op: mq.OpNack})
	}
	b.rate(n)
}

func (b *bench) consume(handlers int) {
	const n = 10_000
	for b.Loop() {
		b.need(n)
		ctx, stop := context.WithCancel(b.Context())
		var handled atomic.Int64
		b.ok(b.q.Consume(ctx, func(context.Context, *mq.Delivery) error {
			if handled.Add(1) == n {
				stop()
			}
			return nil
		}, mq.ConsumerConfig{Concurrency: handlers}))
		stop()
	}
	b.rate(n)
}

// lastMessage is how long the last message of a measurement may take.
const lastMessage = time.Minute

func (b *bench) latency(rate int) {
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var mu sync.Mutex
	var took []time.Duration
	begin := time.Now()
	stamps := mq.Of[stamp](b.q)
	done := make(chan error, 1)
	go func() {
		done <- stamps.Consume(ctx, func(_ context.Context, s stamp) error {
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begin)-s.Sent)
			return nil
		}, mq.ConsumerConfig{})
	}()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	pad := strings.Repeat("x", 225)
	sent := 0
	for ; b.Loop(); sent++ {
		<-tick.C
		_, err := stamps.Send(ctx, stamp{time.Since(begin), pad})
		b.ok(err)
	}
	for end := time.Now().Add(lastMessage); time.Now().Before(end) && b.Context().Err() == nil; time.Sleep(time.Millisecond) {
		mu.Lock()
		all := len(took) >= sent
		mu.Unlock()
		if all {
			break
		}
	}
	stop()
	b.ok(<-done)
	b.percentiles(took)
}

// percentiles takes the place of the time per operation, which the rate sets.
func (b *bench) percentiles(took []time.Duration) {
	if len(took) == 0 {
		b.Fatal("no message came")
	}
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Nanoseconds()) / 1e3 }
	b.ReportMetric(at(50), "p50-µs")
	b.ReportMetric(at(99), "p99-µs")
	b.ReportMetric(0, "ns/op")
}
