package mq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		rate     float64
		messages int
		want     time.Duration // until the last one begins
		slack    time.Duration
	}{
		{1, 10, 9 * time.Second, 0},
		{0.1, 4, 30 * time.Second, 0},
		{10, 50, 4900 * time.Millisecond, time.Millisecond},
		{1000, 2000, 1900 * time.Millisecond, 100 * time.Millisecond},
		{1e12, 1000, 0, time.Second},
		{1e-300, 1, 0, 0},
	} {
		t.Run(fmt.Sprint(tt.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(attentive, tt.messages)
				var mu sync.Mutex
				start, last := time.Now(), time.Time{}
				r := run(t, b, Config{}, ConsumerConfig{Rate: tt.rate, Concurrency: 500, Prefetch: 100}, func(context.Context, *Delivery) error {
					mu.Lock()
					defer mu.Unlock()
					last = time.Now()
					return nil
				})
				time.Sleep(time.Minute)
				if s := r.stop(t); int(s.Acked) != tt.messages {
					t.Errorf("%d messages acked of %d", s.Acked, tt.messages)
				}
				if got := last.Sub(start); got < tt.want-tt.slack || got > tt.want+tt.slack {
					t.Errorf("the last one began after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestRateLeavesTheRest: what has to wait is not leased.
func TestRateLeavesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(attentive, 100)
		r := run(t, b, Config{}, ConsumerConfig{Rate: 1}, func(context.Context, *Delivery) error { return nil })
		time.Sleep(10500 * time.Millisecond)
		if visible, total := b.state("q"); visible != 89 || total != 89 {
			t.Errorf("%d visible of %d, want 89 of 89", visible, total)
		}
		r.stop(t)
	})
}

func TestRateMisuse(t *testing.T) {
	c := New(newBackend(capable, 0), Config{})
	defer c.Close()
	for _, rate := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := NewConsumer(c.Queue("q"), HandlerFunc(func(context.Context, *Delivery) error { return nil }), ConsumerConfig{Rate: rate})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("Rate %v: %v", rate, err)
		}
	}
}
