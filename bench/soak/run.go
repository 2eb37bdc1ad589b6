package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/metrics"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/bench/internal/measure"
)

// drain is how long the messages may take that are in the queues in the end.
const drain = 2 * time.Minute

// run is one run. Its record may hold samples also if it fails.
func run(ctx context.Context, p plan, b backend) (r *record, err error) {
	c, err := mq.OpenConfig(b.dsn(), mq.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	l, err := newLoad(ctx, p, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bounded(ctx, l.drop)) }()
	if p.broken == "snapshot" {
		if err := b.hold(ctx); err != nil {
			return nil, err
		}
	}
	return l.run(ctx, b)
}

// bounded does what is to be done even if ctx has ended, for a minute at most.
func bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return do(ctx)
}

func (l *load) drop(ctx context.Context) (err error) {
	for _, q := range l.queues() {
		err = errors.Join(err, l.client.DropQueue(ctx, q.Name()))
	}
	return err
}

// run carries the traffic for the duration, and waits until all is done.
func (l *load) run(ctx context.Context, b backend) (r *record, err error) {
	l.begin = time.Now()
	consuming, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	consumed := make(chan error, 1)
	go func() {
		err := l.consume(consuming)
		stop(err) // a Consumer that ends by itself ends the run
		consumed <- err
	}()
	producing, end := context.WithTimeout(consuming, l.duration)
	defer end()
	produced := make(chan struct{})
	go func() { l.produce(producing); close(produced) }()

	r = new(record)
	err = l.watch(producing, b, r)
	end()
	<-produced
	if err == nil {
		l.await(consuming)
	}
	stop(nil)
	err = errors.Join(err, <-consumed, ctx.Err())
	r.sent, r.done = l.sent.Load(), l.done.Load()
	r.faults = l.faults()
	return r, err
}

// await waits until every message is done.
func (l *load) await(ctx context.Context) {
	for end := time.Now().Add(drain); l.done.Load() < l.sent.Load() && time.Now().Before(end); {
		if !sleep(ctx, 50*time.Millisecond) {
			return
		}
	}
}

// faults returns what must not happen while nothing is broken.
func (l *load) faults() (all []string) {
	add := func(format string, n int64) {
		if n != 0 {
			all = append(all, fmt.Sprintf(format, n))
		}
	}
	add("%d sends have failed", l.failed.Load())
	add("%d leases were lost, or not settled", l.lapsed.Load())
	add("%d messages more were sent than done", l.sent.Load()-l.done.Load())
	if p := l.problem.Load(); p != nil {
		all = append(all, "the last one: "+*p)
	}
	return all
}

// watch takes samples until ctx ends.
func (l *load) watch(ctx context.Context, b backend, r *record) error {
	var last counts
	for n := time.Duration(1); sleep(ctx, n*l.interval()-time.Since(l.begin)); n++ {
		s := newSample(time.Since(l.begin))
		last = l.look(s, last)
		err := bounded(ctx, func(ctx context.Context) error {
			if err := l.lookAtQueues(ctx, s); err != nil {
				return err
			}
			return b.look(ctx, s)
		})
		if err != nil {
			return err
		}
		r.samples = append(r.samples, s)
	}
	return nil
}

// counts are those of a sample.
type counts struct {
	at         time.Duration
	sent, done int64
}

// look adds the figures of the process to a sample.
func (l *load) look(s *sample, last counts) counts {
	now, v := counts{s.at, l.sent.Load(), l.done.Load()}, &s.values
	span := (now.at - last.at).Seconds()
	v[sentRate] = float64(now.sent-last.sent) / span
	v[doneRate] = float64(now.done-last.done) / span
	v[sendP50], v[sendP99] = l.sends.take()
	v[latencyP50], v[latencyP99] = l.deliveries.take()
	read := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(read)
	v[heapLive] = float64(read[0].Value.Uint64()) / 1e6
	v[heapInUse] = float64(read[1].Value.Uint64()+read[2].Value.Uint64()) / 1e6
	v[goroutines] = float64(read[3].Value.Uint64())
	return now
}

// lookAtQueues adds what is in the queues to a sample.
func (l *load) lookAtQueues(ctx context.Context, s *sample) error {
	s.values[backlog] = 0
	for _, q := range l.queues() {
		stats, err := q.Stats(ctx)
		if err != nil {
			return err
		}
		s.values[backlog] += float64(max(0, stats.Total))
	}
	return nil
}

// quantile returns NaN if there is nothing.
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	return measure.Quantile(xs, q)
}
