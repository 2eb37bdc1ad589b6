package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

// flow is a measurement that sends and receives at once.
type flow struct {
	*bencher
	pacer  *pacer
	end    time.Time // of the sends
	window int64     // how many messages may be under way, 0 for no limit

	sending   atomic.Int64 // senders at work
	sent, got atomic.Int64
	late      atomic.Bool     // so much that a sender gave up
	receiving context.Context // ends when there is nothing more to come
	stop      context.CancelFunc
}

// measureBoth sends and receives at once: at a constant rate, or if that is 0
// as fast as a window of messages under way allows.
func (b *bencher) measureBoth(ctx context.Context, name string, rate float64, window int64) (*measurement, error) {
	m := &measurement{name: name, total: -1, target: rate}
	if rate > 0 {
		m.total = max(1, int64(rate*b.duration.Seconds()))
	}
	f := &flow{bencher: b, pacer: newPacer(rate, b.batch), window: window}
	f.end = f.pacer.start.Add(b.duration)
	b.from = f.pacer.start.Sub(b.begin)
	f.sending.Store(int64(b.senders))
	f.receiving, f.stop = context.WithCancel(ctx)
	defer f.stop()

	workers := append(repeat(b.senders, f.sendSome), repeat(b.consumers, f.receiveAll)...)
	err := b.measure(ctx, m, &f.got, workers...)
	if err == nil {
		m.behind = max(0, f.sent.Load()-f.got.Load())
	}
	if f.late.Load() {
		m.unsent = max(0, m.total-f.sent.Load())
	}
	return m, err
}

// sendSome is a sender.
func (f *flow) sendSome(ctx context.Context, _ *histogram) error {
	defer f.leave()
	for {
		due := f.pacer.next()
		if !due.Before(f.end) || !waitUntil(ctx, due) || !f.admit(ctx) {
			return nil
		}
		if f.window == 0 && time.Since(f.end) > stragglers {
			f.late.Store(true)
			return nil
		}
		if f.window > 0 {
			due = time.Now() // nothing is due: it goes as fast as it can
		}
		if err := f.send(ctx, due); err != nil {
			return over(ctx, err)
		}
		f.sent.Add(int64(f.batch))
	}
}

// admit waits until the window has room.
func (f *flow) admit(ctx context.Context) bool {
	for f.window > 0 && f.sent.Load()-f.got.Load() > f.window {
		if !waitFor(ctx, 50*time.Microsecond) || time.Now().After(f.end) {
			return false
		}
	}
	return true
}

// leave ends a sender. The last one leaves the consumers some time.
func (f *flow) leave() {
	if f.sending.Add(-1) > 0 {
		return
	}
	time.AfterFunc(stragglers, f.stop)
	f.stopIfDone()
}

func (f *flow) stopIfDone() {
	if f.sending.Load() == 0 && f.got.Load() >= f.sent.Load() {
		f.stop()
	}
}

// receiveAll is a consumer.
func (f *flow) receiveAll(ctx context.Context, times *histogram) error {
	defer context.AfterFunc(ctx, f.stop)()
	for f.receiving.Err() == nil {
		n, err := f.receive(ctx, f.receiving, mq.Forever, times)
		if err != nil {
			return over(ctx, err)
		}
		f.got.Add(int64(n))
		f.stopIfDone()
	}
	return nil
}

// pacer says when the batches of a constant rate are due.
type pacer struct {
	start time.Time
	every float64 // seconds between two batches, 0 for no pace
	n     atomic.Int64
}

func newPacer(rate float64, batch int) *pacer {
	p := &pacer{start: time.Now()}
	if rate > 0 {
		p.every = float64(batch) / rate
	}
	return p
}

// next returns when the next batch is due, whether or not the ones before are
// late.
func (p *pacer) next() time.Time {
	if p.every == 0 {
		return time.Now()
	}
	n := p.n.Add(1) - 1
	return p.start.Add(time.Duration(float64(n) * p.every * float64(time.Second)))
}

// waitUntil returns false if ctx ends first.
func waitUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	return waitFor(ctx, d)
}
