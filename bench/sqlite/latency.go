package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// steady is how many messages are sent in a round, 100 a second.
const steady = 500

// latency measures how soon an idle Consumer handles messages of its own process
// and of another one.
func latency(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.queue(ctx, "mq.db")
	if err != nil {
		return nil, err
	}
	dsn := l.dsn("mq.db", l.synchronous)
	var near, far [][]float64
	for range l.rounds {
		took, err := wakes(ctx, q, func() error { return sendSteadily(ctx, q) })
		if err != nil {
			return nil, err
		}
		near = append(near, took)
		took, err = wakes(ctx, q, func() error { return runChild(ctx, "sender", dsn, nil) })
		if err != nil {
			return nil, err
		}
		far = append(far, took)
	}
	const what = "send to handler, 100/s, "
	return []row{
		within(what+"same process, p50", quantiles(near, 0.5), 1500*time.Microsecond),
		within(what+"same process, p99", quantiles(near, 0.99), 0),
		within(what+"another process, p50", quantiles(far, 0.5), 5*time.Millisecond),
		within(what+"another process, p99", quantiles(far, 0.99), 0),
	}, nil
}

// quantiles are those of the rounds.
func quantiles(rounds [][]float64, q float64) (xs []float64) {
	for _, took := range rounds {
		xs = append(xs, measure.Quantile(took, q))
	}
	return xs
}

// stamped is a message that says when it was sent.
type stamped struct {
	At  time.Time `json:"at"`
	Pad string    `json:"pad"`
}

// sendSteadily sends 100 messages a second.
func sendSteadily(ctx context.Context, q *mq.Queue) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	pad := strings.Repeat("x", bodySize-60)
	for range steady {
		<-tick.C
		if _, err := mq.Of[stamped](q).Send(ctx, stamped{time.Now(), pad}); err != nil {
			return err
		}
	}
	return nil
}

// wakes consumes while send sends, and returns how many seconds each message took
// to the handler.
func wakes(ctx context.Context, q *mq.Queue, send func() error) (took []float64, err error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	all := make(chan struct{})
	handler := func(_ context.Context, m stamped) error {
		mu.Lock()
		defer mu.Unlock()
		if took = append(took, time.Since(m.At).Seconds()); len(took) == steady {
			close(all)
		}
		return nil
	}
	consumed := make(chan error, 1)
	go func() { consumed <- mq.Of[stamped](q).Consume(running, handler, mq.ConsumerConfig{}) }()
	pause(ctx, 2*time.Second) // for it to be idle
	err = send()
	select {
	case <-all:
	case <-time.After(10 * time.Second):
		err = errors.Join(err, fmt.Errorf("not all of %d messages came", steady))
	}
	stop()
	return took, errors.Join(err, <-consumed)
}

// sender is the main function of the other process.
func sender(ctx context.Context, dsn string) error {
	return onQueue(dsn, func(q *mq.Queue) error { return sendSteadily(ctx, q) })
}

// onQueue opens a file for a while.
func onQueue(dsn string, f func(*mq.Queue) error) error {
	client, err := mq.Open(dsn)
	if err != nil {
		return err
	}
	return errors.Join(f(client.Queue("orders")), client.Close())
}

// decoded parses what a child has printed.
func decoded(text []byte, result any) error {
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}
