package rabbitmq_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// Nothing that was not handed to a receiver counts as a read.

// fill sends n messages of a size.
func (r *rig) fill(n, size int) {
	r.Helper()
	body := bytes.Repeat([]byte("x"), size)
	for range n {
		must(r.Send(r.Context(), &mq.Message{Body: body}))(r)
	}
}

// receiveOnce receives and acks messages, each of which must be read once.
func (r *rig) receiveOnce(q *mq.Queue, o mq.ReceiveOptions) int64 {
	r.Helper()
	n, again := r.receiveAndAck(q, o)
	if again > 0 {
		r.Errorf("%d messages that nobody had before were read more than once", again)
	}
	return n
}

// receiveAndAck returns how many messages were received, and how many of them are said to
// have been read before.
func (r *rig) receiveAndAck(q *mq.Queue, o mq.ReceiveOptions) (n, again int64) {
	r.Helper()
	ds, err := q.Receive(r.Context(), o)
	if err != nil {
		r.Error(err)
	}
	for _, d := range ds {
		if d.ReadCount != 1 {
			again++
		}
		if err := d.Ack(r.Context()); err != nil {
			r.Error(err)
		}
	}
	return int64(len(ds)), again
}

// takeOnce is receiveOnce for n messages that are there.
func (r *rig) takeOnce(q *mq.Queue, n int, o mq.ReceiveOptions) {
	r.Helper()
	for got := 0; got < n; {
		more := r.receiveOnce(q, o)
		if more == 0 {
			r.Fatalf("received %d of %d messages, and then nothing", got, n)
		}
		got += int(more)
	}
}

// TestLargeBodies: a receive gets messages that the broker needs long to
// deliver, and leaves alone what it does not hand out.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, size int }{{400, 512 << 10}, {12, 8 << 20}} {
		t.Run(fmt.Sprint(c.size>>10, " KiB"), func(t *testing.T) {
			r := newRig(t)
			r.fill(c.n, c.size)
			r.takeOnce(r.Queue, c.n, mq.ReceiveOptions{Max: 50, Wait: patience, Visibility: 20 * time.Minute})
		})
	}
}

// TestLargeAfterSmall: what follows on small messages may be large.
func TestLargeAfterSmall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(300, 100)
	r.fill(60, 512<<10)
	r.takeOnce(r.Queue, 360, mq.ReceiveOptions{Max: 100, Wait: patience, Visibility: 20 * time.Minute})
}

// TestLargeClaims: a claim is bounded in bytes.
func TestLargeClaims(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const size, limit = 1 << 20, 12 << 20
	r.fill(40, size)
	for got := 0; got < 40; {
		ds := must(r.Receive(t.Context(), mq.ReceiveOptions{Max: 40, Wait: patience, Visibility: 20 * time.Minute}))(t)
		if len(ds) == 0 || len(ds)*size > limit {
			t.Fatalf("received %d messages of 1 MiB at once", len(ds))
		}
		for _, d := range ds {
			ok(t, d.Ack(t.Context()))
		}
		got += len(ds)
	}
}

// TestLargeConsumer: a Consumer whose handler never fails archives nothing.
func TestLargeConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 400
	r.fill(n, 512<<10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	handled := 0
	handler := mq.HandlerFunc(func(_ context.Context, d *mq.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if d.ReadCount != 1 {
			t.Errorf("read count %d", d.ReadCount)
		}
		if handled++; handled == n {
			cancel()
		}
		return nil
	})
	ok(t, r.Consume(ctx, handler, mq.ConsumerConfig{Concurrency: 4, OnEvent: func(_ context.Context, e mq.Event) {
		t.Errorf("%v: %v", e.Kind, e.Err)
		cancel()
	}}))
}

// TestShortWaits: messages that come while a receive ends wait for the next. On a machine
// that is slow enough the broker takes back some that come for a consumer being cancelled,
// which is why the count is an estimate.
func TestShortWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 600
	var wg sync.WaitGroup
	var received, readAgain atomic.Int64
	sender := r.open().Queue(queueName)
	wg.Go(func() {
		for i := range n {
			if _, err := sender.Send(t.Context(), &mq.Message{Body: fmt.Append(nil, i)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 4 {
		q := r.open().Queue(queueName)
		wg.Go(func() {
			for end := time.Now().Add(patience); received.Load() < n && time.Now().Before(end); {
				got, again := r.receiveAndAck(q, mq.ReceiveOptions{Max: 1 + 10*i, Wait: time.Duration(1+i) * time.Millisecond})
				received.Add(got)
				readAgain.Add(again)
			}
		})
	}
	wg.Wait()
	if received.Load() != n || readAgain.Load() > n/50 {
		t.Errorf("received %d of %d messages, %d of them as read before", received.Load(), n, readAgain.Load())
	}
}

// TestCutOffReceives: what is delivered to a call that has given up waits for
// the next one.
func TestCutOffReceives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, dsn := server.NewProxy(t, r.dsn)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	must(q.Receive(t.Context(), mq.ReceiveOptions{}))(t) // opens the channel
	for range 5 {
		r.send("late")
		resume := p.Silence()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := q.Receive(ctx, mq.ReceiveOptions{})
		cancel()
		wantError(t, err, context.DeadlineExceeded)
		resume()
		r.takeOnce(q, 1, mq.ReceiveOptions{Max: 10, Wait: patience})
	}
}

// TestProbedAcks: acks of a RabbitMQ 4 that has to be asked by a basic.get
// whether it has them add no read to the message that it gets.
func TestProbedAcks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, dsn := server.NewProxy(t, r.dsn)
	p.Answer = server.Altered(asRabbitMQ4)
	c := open(t, dsn)
	defer c.Close()
	q := c.Queue(queueName)
	const n = 200
	r.send(numbers(n)...)
	ds := takeNumbers(t, q, n)
	r.send(numbers(n)...)
	for len(ds) > 0 {
		var batch []mq.Settlement
		for _, d := range ds[:50] {
			batch = append(batch, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck})
		}
		ok(t, q.Settle(t.Context(), batch...))
		ds = ds[50:]
	}
	r.takeOnce(q, n, mq.ReceiveOptions{Max: 10, Wait: patience})
}
