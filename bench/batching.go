package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// slow is a provider whose every Send takes the same time, whatever its size,
// one at a time: a server that commits.
type slow struct {
	driver.Provider // nil: nothing else is called

	mu   sync.Mutex
	last int
	wait func()
}

func (*slow) Name() string      { return "slow" }
func (*slow) Caps() driver.Caps { return driver.Caps{MaxBatch: 1000} }
func (*slow) Close() error      { return nil }

func (s *slow) Send(_ context.Context, _ string, msgs []driver.Message) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait()
	ids := make([]string, len(msgs))
	for i := range ids {
		s.last++
		ids[i] = strconv.Itoa(s.last)
	}
	return ids, nil
}

// hold waits in the processor: time.Sleep may be late by a millisecond. It
// lets others run in between, as a server elsewhere does.
func hold(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		runtime.Gosched()
	}
}

// sender sends one message.
type sender func(context.Context) error

func direct(p mq.Provider) sender {
	msgs := []driver.Message{{Body: make([]byte, bodySize)}}
	return func(ctx context.Context) error {
		_, err := p.Send(ctx, "orders", msgs)
		return err
	}
}

func throughMQ(p mq.Provider) sender {
	q := mq.New(p, mq.Config{}).Queue("orders")
	msg := &mq.Message{Body: make([]byte, bodySize)}
	return func(ctx context.Context) error {
		_, err := q.Send(ctx, msg)
		return err
	}
}

// perSecond is how many messages a second so many senders get through.
func perSecond(ctx context.Context, send sender, senders, n int) (float64, error) {
	start := time.Now()
	err := parallel(senders, n, func() error { return send(ctx) })
	return float64(n) / time.Since(start).Seconds(), err
}

// batching prints what merging concurrent sends brings, and what it costs a
// lone sender.
func batching(ctx context.Context, rounds int) error {
	fmt.Printf("### Merging concurrent sends: mq beside direct calls of a provider\n\n")
	rows := [][]string{{"a call takes, one at a time", "senders", "direct/s", "mq/s", "", "bar"}}

	busy := &slow{wait: func() { hold(time.Millisecond) }}
	calls, merged, err := sideBySide(ctx, busy, 64, 1_000, 20_000, rounds)
	if err != nil {
		return err
	}
	gain := merged / calls
	rows = append(rows, []string{
		"1 ms", "64", fmt.Sprintf("%.0f", calls), fmt.Sprintf("%.0f", merged),
		fmt.Sprintf("gain %.1f times", gain), atLeast(gain, 20),
	})

	quick := &slow{wait: func() { hold(50 * time.Microsecond) }}
	calls, merged, err = sideBySide(ctx, quick, 1, 2_000, 2_000, 5*rounds)
	if err != nil {
		return err
	}
	loss := 100 * (1 - merged/calls)
	rows = append(rows, []string{
		"50 µs", "1", fmt.Sprintf("%.0f", calls), fmt.Sprintf("%.0f", merged),
		fmt.Sprintf("loss %.1f %%", loss), atMost(loss, 5),
	})
	table(rows)
	return nil
}

// sideBySide returns the medians of direct calls and of calls through mq, in
// messages a second.
func sideBySide(ctx context.Context, p *slow, senders, nDirect, nMQ, rounds int) (calls, merged float64, err error) {
	a, b := direct(p), throughMQ(p)
	var as, bs []float64
	for range rounds {
		rate, err := perSecond(ctx, a, senders, nDirect)
		if err != nil {
			return 0, 0, err
		}
		as = append(as, rate)
		if rate, err = perSecond(ctx, b, senders, nMQ); err != nil {
			return 0, 0, err
		}
		bs = append(bs, rate)
	}
	return median(as), median(bs), nil
}
