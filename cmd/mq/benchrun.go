package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

// bencher carries out one run of mq bench.
type bencher struct {
	benching
	app   *app
	queue *mq.Queue
	begin time.Time     // what stamps count from
	from  time.Duration // the stamp at which the measurement began that sends and receives

	results []*measurement
}

// measurement is what one part of a run came to.
type measurement struct {
	name   string
	took   time.Duration
	times  histogram
	total  int64   // messages that it is going to measure, -1 if that cannot be told
	target float64 // messages per second that were asked for, or 0
	behind int64   // sent, but not received in time
	unsent int64   // due, but not sent in time
}

func (m *measurement) rate() float64 {
	if m.took <= 0 {
		return 0
	}
	return float64(m.times.count) / m.took.Seconds()
}

// How much the first measurement leaves for the second at most, how much is
// under way in the third, and how long the last one waits for senders and for
// messages that are late.
const (
	maxBacklog      = 200_000
	maxBacklogBytes = 256 << 20
	minWindow       = 1000
	stragglers      = 5 * time.Second
)

func (b *bencher) run(ctx context.Context) error {
	backlog := max(1, min(maxBacklog, maxBacklogBytes/int64(b.size)))
	sent, err := b.measureSend(ctx, backlog)
	if err != nil {
		return err
	}
	if err := b.measureReceive(ctx, sent); err != nil {
		return err
	}
	if _, err := b.queue.Purge(ctx); err != nil && !errors.Is(err, mq.ErrNotSupported) {
		return err
	}
	window := max(minWindow, int64(2*b.batch*(b.senders+b.consumers)))
	fastest, err := b.measureBoth(ctx, "end-to-end", 0, window)
	if err != nil {
		return err
	}
	rate := b.rate
	if rate == 0 {
		rate = fastest.rate() / 2
	}
	if rate > 0 {
		_, err = b.measureBoth(ctx, "load", rate, 0)
	}
	return err
}

// measure runs the workers of one measurement and shows how it goes on. What
// workers time they add to a histogram of their own.
func (b *bencher) measure(ctx context.Context, m *measurement, counted *atomic.Int64, workers ...worker) error {
	b.results = append(b.results, m)
	stop := b.show(m, counted)
	defer stop()
	start := time.Now()
	times := make([]histogram, len(workers))
	err := inParallel(ctx, len(workers), func(ctx context.Context, i int) error { return workers[i](ctx, &times[i]) })
	m.took = time.Since(start)
	for i := range times {
		m.times.merge(&times[i])
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// worker works until its part is done or ctx ends.
type worker func(ctx context.Context, times *histogram) error

// inParallel calls f n times at once. The first error ends the context of all.
func inParallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for i := range n {
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				once.Do(func() { first = err })
				cancel(err)
			}
		})
	}
	wg.Wait()
	return first
}

// show shows how a counter goes up.
func (b *bencher) show(m *measurement, counter *atomic.Int64) (stop func()) {
	bar := b.app.newProgress(m.total, m.name, "messages")
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for shown := int64(0); ; {
			select {
			case <-tick.C:
				n := counter.Load()
				bar.add(int(n - shown))
				shown = n
			case <-done:
				bar.end()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func repeat(n int, w worker) []worker {
	ws := make([]worker, n)
	for i := range ws {
		ws[i] = w
	}
	return ws
}

// measureSend fills the queue, up to a limit, and returns with how many.
func (b *bencher) measureSend(ctx context.Context, limit int64) (int64, error) {
	var claimed, sent atomic.Int64
	end := time.Now().Add(b.duration)
	m := &measurement{name: "send", total: -1}
	err := b.measure(ctx, m, &sent, repeat(b.senders, func(ctx context.Context, times *histogram) error {
		for time.Now().Before(end) && claimed.Add(int64(b.batch)) <= max(limit, int64(b.batch)) {
			start := time.Now()
			if err := b.send(ctx, start); err != nil {
				return over(ctx, err)
			}
			times.add(time.Since(start), b.batch)
			sent.Add(int64(b.batch))
		}
		return nil
	})...)
	return sent.Load(), err
}

// measureReceive drains what is there.
func (b *bencher) measureReceive(ctx context.Context, total int64) error {
	var got atomic.Int64
	drained, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.Now().Add(b.duration)
	return b.measure(ctx, &measurement{name: "receive+ack", total: total}, &got, repeat(b.consumers, func(ctx context.Context, times *histogram) error {
		defer context.AfterFunc(ctx, cancel)()
		for got.Load() < total && time.Now().Before(end) {
			start := time.Now()
			n, err := b.receive(ctx, drained, time.Until(end), nil)
			if err != nil {
				return over(ctx, err)
			}
			times.add(time.Since(start), n)
			if got.Add(int64(n)) >= total {
				cancel() // whoever waits for more
			}
		}
		return nil
	})...)
}

// over returns nil for what is but the end of ctx.
func over(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// send sends a batch that is stamped with a time.
func (b *bencher) send(ctx context.Context, due time.Time) error {
	body := benchBody(due.Sub(b.begin), b.size)
	msgs := make([]*mq.Message, b.batch)
	for i := range msgs {
		msgs[i] = &mq.Message{Body: body}
	}
	_, err := b.queue.SendAll(ctx, msgs)
	return err
}

// receive receives a batch, acks it and returns its length. waiting ends the
// wait for messages; what came is acked under ctx. With times it adds how old
// the messages were when they came, and leaves out those that an earlier
// measurement has sent.
func (b *bencher) receive(ctx, waiting context.Context, wait time.Duration, times *histogram) (int, error) {
	ds, err := b.queue.Receive(waiting, mq.ReceiveOptions{Max: b.batch, Wait: max(wait, 0)})
	if waiting.Err() != nil {
		err = nil
	}
	if err != nil || len(ds) == 0 {
		return 0, err
	}
	n, now := len(ds), time.Since(b.begin)
	for _, d := range ds {
		if times == nil {
			break
		}
		sent, err := stampOf(d.Body)
		if err != nil {
			return 0, err
		}
		if sent < b.from {
			n--
			continue
		}
		times.add(now-sent, 1)
	}
	return n, settleAll(ctx, ds, mq.OpAck)
}

// minBenchBody is the length of a body without any padding.
const minBenchBody = len(`{"t":9223372036854775807,"p":""}`)

// benchBody returns JSON of a length with a time in it.
func benchBody(t time.Duration, size int) []byte {
	body := make([]byte, 0, size)
	body = strconv.AppendInt(append(body, `{"t":`...), int64(t), 10)
	body = append(body, `,"p":"`...)
	body = append(body, bytes.Repeat([]byte{'x'}, max(0, size-len(body)-2))...)
	return append(body, `"}`...)
}

// stampOf returns the time in a body, whose spaces and order the provider may
// have changed.
func stampOf(body []byte) (time.Duration, error) {
	_, rest, ok := bytes.Cut(body, []byte(`"t":`))
	rest = bytes.TrimLeft(rest, " ")
	if i := bytes.IndexAny(rest, ",}"); ok && i > 0 {
		if n, err := strconv.ParseInt(string(rest[:i]), 10, 64); err == nil {
			return time.Duration(n), nil
		}
	}
	return 0, fmt.Errorf("a message that mq bench has not sent is in its queue")
}
