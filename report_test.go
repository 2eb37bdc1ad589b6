package mq

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// registered is a fake that takes reports.
type registered struct {
	*fake
	answer func(context.Context) error

	mu   sync.Mutex
	got  []driver.ConsumerReport
	at   []time.Time
	ttls []time.Duration
}

func (r *registered) Report(ctx context.Context, c driver.ConsumerReport, ttl time.Duration) error {
	r.mu.Lock()
	r.got, r.at, r.ttls = append(r.got, c), append(r.at, time.Now()), append(r.ttls, ttl)
	r.mu.Unlock()
	if r.answer != nil {
		return r.answer(ctx)
	}
	return nil
}

func (r *registered) Consumers(context.Context, string) ([]driver.ConsumerReport, error) {
	return nil, nil
}

// reports runs a Consumer for d, whose messages take as long as they like.
func reports(t *testing.T, f *fake, answer func(context.Context) error, cfg Config, d time.Duration, h HandlerFunc) (*registered, time.Duration) {
	t.Helper()
	r := &registered{fake: f, answer: answer}
	cfg.Logger = slog.New(slog.DiscardHandler)
	c := New(r, cfg)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	begin := time.Now()
	if err := newConsumer(t, c.Queue("q"), h, ConsumerConfig{}).Run(ctx); err != nil {
		t.Error(err)
	}
	return r, time.Since(begin) - d
}

// An idle Consumer reports that it is there once a minute, and takes it back at its end.
func TestReportsOfIdleConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := reports(t, &fake{}, nil, Config{Name: "worker"}, 10*time.Minute, idle)
		last := len(r.got) - 1
		if last < 9 || last > 12 || r.ttls[0] != reportTTL || r.ttls[last] != 0 || r.got[last].ID != r.got[0].ID {
			t.Fatalf("%d reports with %v, want one a minute, and one that is taken back", len(r.got), r.ttls)
		}
		for i := 1; i < last; i++ {
			if pause := r.at[i].Sub(r.at[i-1]); pause > maxReportPause+minReportPause {
				t.Errorf("report %d came after %v", i, pause)
			}
		}
		if got := r.got[0]; got.Name != "worker" || got.Queue != "q" || got.Held != 0 || got.Running != 0 || got.Concurrency != 10 {
			t.Errorf("the report is %+v", got)
		}
	})
}

// A Consumer that holds messages reports which, and for how long, every ten seconds.
func TestReportsOfBusyConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: deliver(driver.Delivery{ID: "7", Receipt: "r", ReadCount: 1})}
		r, _ := reports(t, f, nil, Config{}, time.Minute, func(ctx context.Context, _ *Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if n := len(r.got); n < 6 || n > 11 {
			t.Fatalf("%d reports in a minute", n)
		}
		for _, got := range r.got[:5] {
			if got.Held != 1 || len(got.Longest) != 1 || got.Longest[0].ID != "7" || got.Running != 1 || !strings.Contains(got.Name, "/") {
				t.Errorf("the report is %+v", got)
			}
		}
		if first, later := r.got[0].Longest[0].For, r.got[4].Longest[0].For; first > 2*time.Second || later < 30*time.Second {
			t.Errorf("held for %v, and later for %v", first, later)
		}
	})
}

// What becomes of a report does not matter to the Consumer.
func TestReportsFail(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tt := range map[string]struct {
		answer func(context.Context) error
		cfg    Config
		least  int
		most   int
		longer time.Duration // than the Consumer would take to stop
	}{
		"fail":              {func(context.Context) error { return errors.New("disk full") }, Config{}, 5, 20, 0},
		"hang":              {hangs, Config{}, 5, 20, 2 * reportLimit},
		"are not supported": {func(context.Context) error { return ErrNotSupported }, Config{}, 1, 1, 0},
		"are switched off":  {nil, Config{NoReports: true}, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, longer := reports(t, &fake{}, tt.answer, tt.cfg, 5*time.Minute, idle)
				if len(r.got) < tt.least || len(r.got) > tt.most || longer > tt.longer {
					t.Errorf("%d reports, and the Consumer ended %v after its context", len(r.got), longer)
				}
			})
		})
	}
}

// A Consumer that ends at once leaves no trace.
func TestNoReportOfShortRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if r, _ := reports(t, &fake{}, nil, Config{}, firstReportPause/2, idle); len(r.got) != 0 {
			t.Errorf("%d reports", len(r.got))
		}
	})
}
