package mq

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// A provider that does not wait, over a way that takes some time, is not asked
// over and over.
func TestPollingOverASlowWay(t *testing.T) {
	for _, way := range []time.Duration{0, 5 * time.Millisecond, 12 * time.Millisecond, 100 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{receive: func(ctx context.Context, _ driver.ReceiveRequest) ([]driver.Delivery, error) {
				return nil, sleep(ctx, way)
			}}
			start := time.Now()
			ds, err := New(f, Config{}).Queue("q").Receive(t.Context(), ReceiveOptions{Wait: 5 * time.Second})
			if took := time.Since(start); len(ds) != 0 || err != nil || took < 5*time.Second || took > 7*time.Second {
				t.Errorf("way of %v: %v, %v after %v", way, ds, err, took)
			}
			if n := f.called("receive"); n > 25 {
				t.Errorf("way of %v: %d calls in 5s", way, n)
			}
		})
	}
}

// A Pause that is over before the fetch returns is no failure.
func TestPauseAndResumeInQuickSuccession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 0)
		var log journal
		var at time.Time
		r := run(t, b, log.config(), ConsumerConfig{}, func(context.Context, *Delivery) error {
			at = time.Now()
			return nil
		})
		time.Sleep(time.Second)
		r.Pause()
		r.Resume()
		b.mu.Lock()
		b.add("q", Message{})
		b.mu.Unlock()
		sent := time.Now()
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 1 || at.Sub(sent) > 0 {
			t.Errorf("handled %v after the send, %+v", at.Sub(sent), s)
		}
		if log.String() != "" {
			t.Errorf("logged %s", &log)
		}
	})
}

// While settlements hang nothing is fetched, and the log says why.
func TestStandstillIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := capable
		caps.MaxBatch = 10
		b := newBackend(caps, 100)
		b.fault = hangs("settle", 1, 1<<30)
		var log journal
		r := run(t, b, log.config(), ConsumerConfig{Concurrency: 10, SoftStop: AtOnce}, nil2)
		time.Sleep(2 * time.Minute)
		s := r.stop(t)
		if s.Received > 30 || !strings.Contains(log.String(), "not fetching, settlements do not get through") {
			t.Errorf("%+v, logged %s", s, &log)
		}
		// What a Consumer keeps waiting for is nobody else's.
		if s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A receive that hangs ends, so that the Consumer goes on by another connection.
func TestHangingReceiveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = hangs("receive", 1, 1)
		var log journal
		r := run(t, b, log.config(), ConsumerConfig{}, nil2)
		time.Sleep(5 * time.Minute)
		if s := r.stop(t); s.Acked != 1 || !strings.Contains(log.String(), "receiving failed") {
			t.Errorf("%+v, logged %s", s, &log)
		}
	})
}
