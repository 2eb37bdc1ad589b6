package mq

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// pausable is a fake with pauses.
type pausable struct {
	*fake
	paused  func(context.Context) ([]driver.Pause, error)
	await   func(context.Context, time.Duration) error
	looks   atomic.Int32
	waiters atomic.Int32
}

func (p *pausable) SetPaused(context.Context, string, bool, string) error { return nil }

func (p *pausable) Paused(ctx context.Context) ([]driver.Pause, error) {
	p.looks.Add(1)
	return p.paused(ctx)
}

func (p *pausable) AwaitPause(ctx context.Context, d time.Duration) error {
	p.waiters.Add(1)
	defer p.waiters.Add(-1)
	if p.await != nil {
		return p.await(ctx, d)
	}
	return sleep(ctx, d)
}

// idling is a fake that counts its receives, each of which waits.
func idling(n *atomic.Int32) *fake {
	return &fake{receive: func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		n.Add(1)
		return nil, sleep(ctx, r.Wait)
	}}
}

// How a Consumer goes on when its backend does not say which queues are paused.
func TestPausedUnknown(t *testing.T) {
	hangs := func(ctx context.Context) ([]driver.Pause, error) { <-ctx.Done(); return nil, ctx.Err() }
	fails := func(context.Context) ([]driver.Pause, error) { return nil, errors.New("disk full") }
	lacks := func(context.Context) ([]driver.Pause, error) { return nil, ErrNotSupported }
	for _, tt := range []struct {
		name    string
		paused  func(context.Context) ([]driver.Pause, error)
		after   time.Duration // when it fetches
		watches bool
	}{
		{"fails", fails, 0, true},
		{"hangs", hangs, pauseLimit, true},
		{"is not supported", lacks, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fetches atomic.Int32
				var log strings.Builder
				p := &pausable{fake: idling(&fetches), paused: tt.paused}
				c := New(p, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				defer c.Close()
				go func() { _ = newConsumer(t, c.Queue("q"), idle, ConsumerConfig{}).Run(t.Context()) }()
				time.Sleep(tt.after + time.Millisecond)
				synctest.Wait()
				if fetches.Load() != 1 || (p.waiters.Load() == 1) != tt.watches {
					t.Errorf("%d fetches, %d watchers", fetches.Load(), p.waiters.Load())
				}
				if strings.Contains(log.String(), "Queue.Pause does not stop this consumer") == tt.watches || log.Len() == 0 {
					t.Errorf("logged %q", log.String())
				}
			})
		})
	}
}

// A Consumer that could not find out obeys once it can, and what it knows stands while
// it cannot.
func TestPauseAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		var fails, paused atomic.Bool
		p := &pausable{fake: idling(&fetches), paused: func(context.Context) ([]driver.Pause, error) {
			switch {
			case fails.Load():
				return nil, ErrBadConn
			case paused.Load():
				return []driver.Pause{{Queue: "another"}, {Queue: "q"}}, nil
			}
			return nil, nil
		}}
		c := New(p, Config{Logger: slog.New(slog.DiscardHandler)})
		defer c.Close()
		cons := newConsumer(t, c.Queue("q"), idle, ConsumerConfig{})
		go func() { _ = cons.Run(t.Context()) }()
		for _, step := range []struct{ fails, paused, want bool }{
			{true, true, false}, {false, true, true}, {true, false, true}, {false, false, false},
		} {
			fails.Store(step.fails)
			paused.Store(step.paused)
			time.Sleep(3 * pauseCheck)
			if got := cons.Stats().Paused; got != step.want {
				t.Errorf("%+v: paused is %v", step, got)
			}
		}
	})
}

// A provider whose waits end at once does not make the client busy, and the last
// Consumer ends the watch.
func TestPauseWatchIsCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		p := &pausable{
			fake:   idling(&fetches),
			paused: func(context.Context) ([]driver.Pause, error) { return nil, nil },
			await:  func(context.Context, time.Duration) error { return nil },
		}
		c := New(p, Config{Logger: slog.New(slog.DiscardHandler)})
		defer c.Close()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- newConsumer(t, c.Queue("q"), idle, ConsumerConfig{}).Run(ctx) }()
		}
		time.Sleep(10 * time.Second)
		if n := p.looks.Load(); n < 100 || n > 210 {
			t.Errorf("%d looks in 10 seconds, want one every %v", n, pauseGap)
		}
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		before := p.looks.Load()
		time.Sleep(time.Minute)
		if n := p.looks.Load() - before; n != 0 {
			t.Errorf("%d looks after the last Consumer ended", n)
		}
	})
}

// idle handles nothing.
var idle HandlerFunc = func(context.Context, *Delivery) error { return nil }
