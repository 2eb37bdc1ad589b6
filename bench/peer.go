package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A peer is one queue under test. Every peer does the same work: what Send
// took, Drain must deliver and acknowledge, one message at a time, in the way
// that is normal for its API.
type peer interface {
	Send(ctx context.Context, body []byte) error
	// Drain receives and acknowledges n messages with so many workers. When
	// it returns nil every acknowledgement has taken effect.
	Drain(ctx context.Context, workers, n int) error
	Close()
}

type opener struct {
	name string
	open func(n int) (peer, error) // n is how many messages will come
	bar  float64                   // how many times as fast as it mq must be; 0 = no bar
}

const (
	bodySize = 512
	workers  = 16
)

// cost is what a workload took.
type cost struct {
	send, drain   time.Duration
	bytes, allocs uint64
}

func (c cost) total() time.Duration { return c.send + c.drain }

// measure runs a workload once: senders send n messages, and then they are
// drained.
func measure(ctx context.Context, o opener, senders, n int) (c cost, err error) {
	p, err := o.open(n)
	if err != nil {
		return c, err
	}
	defer p.Close()

	body := make([]byte, bodySize)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	start := time.Now()
	err = parallel(senders, n, func() error { return p.Send(ctx, body) })
	c.send = time.Since(start)
	if err != nil {
		return c, fmt.Errorf("%s: send: %w", o.name, err)
	}
	start = time.Now()
	err = p.Drain(ctx, workers, n)
	c.drain = time.Since(start)
	if err != nil {
		return c, fmt.Errorf("%s: drain: %w", o.name, err)
	}

	runtime.ReadMemStats(&after)
	c.bytes = after.TotalAlloc - before.TotalAlloc
	c.allocs = after.Mallocs - before.Mallocs
	return c, nil
}

// parallel calls f n times in all from so many goroutines.
func parallel(goroutines, n int, f func() error) error {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, goroutines)
	for i := range goroutines {
		wg.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				errs[i] = f()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
