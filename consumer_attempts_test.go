package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// counting are the Caps of a provider that counts attempts.
var counting = driver.Caps{Delay: true, AtomicMove: true, MaxBatch: 100, Attempts: true, NackReasons: true}

// Ten deployments in the middle of a job leave it, and what was prefetched behind it,
// at attempt 1.
func TestDeploymentsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 51)
		cc := ConsumerConfig{Concurrency: 1, Prefetch: 50, MaxAttempts: 10, SoftStop: AtOnce}
		for range 10 {
			r := run(t, b, Config{}, cc, func(ctx context.Context, d *Delivery) error {
				if d.Attempt != 1 {
					t.Errorf("attempt %d of message %s", d.Attempt, d.ID)
				}
				<-ctx.Done()
				return ctx.Err()
			})
			time.Sleep(time.Second)
			if s := r.stop(t); s.Returned != s.Received || s.Received == 0 {
				t.Errorf("%+v", s)
			}
		}
		r := run(t, b, Config{}, cc, nil2)
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 51 || s.DeadLettered != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// crashes runs processes that end without a word when they handle the killer, until
// nothing is left, and returns the ids of the dead letters.
func crashes(t *testing.T, b *backend, cc ConsumerConfig, killer string) (dead []string) {
	t.Helper()
	for range 100 {
		died := make(chan bool, 1)
		line := newMortal(b)
		r := run(t, line, (&journal{}).config(), cc, func(ctx context.Context, d *Delivery) error {
			if d.ID == killer {
				line.cut()
				died <- true
				<-ctx.Done()
				return ctx.Err()
			}
			return sleep(ctx, 100*time.Millisecond)
		})
		select {
		case <-died:
		case <-time.After(5 * time.Minute):
		}
		r.cancel()
		mustEnd(t, r.done)
		_ = r.client.Close()
		if _, left := b.state("q"); left == 0 {
			break
		}
		time.Sleep(time.Minute) // the leases end
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range b.queues["q"] {
		if row.archived {
			dead = append(dead, row.id)
		}
	}
	return dead
}

// mortal is a backend that a process no longer reaches once it is dead.
type mortal struct {
	*backend
	mu   sync.Mutex
	dead bool
}

func newMortal(b *backend) *mortal { return &mortal{backend: b} }

func (c *mortal) cut() {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
}

func (c *mortal) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

func (c *mortal) Settle(ctx context.Context, queue string, s []Settlement) error {
	if c.gone() {
		return ErrBadConn
	}
	return c.backend.Settle(ctx, queue, s)
}

func (c *mortal) Extend(ctx context.Context, queue string, rs []Receipt, d time.Duration) error {
	if c.gone() {
		return ErrBadConn
	}
	return c.backend.Extend(ctx, queue, rs, d)
}

func (c *mortal) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	if c.gone() {
		return nil, ErrBadConn
	}
	return c.backend.Receive(ctx, queue, r)
}

// A message that kills its process takes at most itself to the archive.
func TestKillerTakesNobodyAlong(t *testing.T) {
	for _, tt := range []struct{ concurrency, prefetch, attempts int }{
		{10, 0, 10}, {10, 50, 10}, {50, NoPrefetch, 3}, {10, 0, 2}, {1, 100, 3}, {10, 0, 0},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(counting, 100)
				cc := ConsumerConfig{Concurrency: tt.concurrency, Prefetch: tt.prefetch, MaxAttempts: tt.attempts, SoftStop: AtOnce, HardStop: AtOnce}
				if dead := crashes(t, b, cc, "7"); !slices.Equal(dead, []string{"7"}) {
					t.Errorf("the archive has %v, want 7", dead)
				}
			})
		})
	}
}

// A suspicious message waits for others for its visibility timeout at most.
func TestSuspectJoinsSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 3)
		b.queues["q"][2].reads = 2 // never answered
		begun := time.Now()
		started := make(map[string]time.Duration)
		var mu sync.Mutex
		r := run(t, b, Config{}, ConsumerConfig{Concurrency: 10}, func(ctx context.Context, d *Delivery) error {
			mu.Lock()
			started[d.ID] = time.Since(begun)
			mu.Unlock()
			return sleep(ctx, time.Hour)
		})
		time.Sleep(5 * time.Minute)
		b.mu.Lock()
		b.add("q", Message{})
		b.mu.Unlock()
		time.Sleep(3 * time.Hour)
		if s := r.stop(t); s.Acked != 4 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		if started["2"] != 30*time.Second || started["3"] > 6*time.Minute {
			t.Errorf("handlers began after %v", started)
		}
	})
}

// A handler that ends its goroutine ends the isolation, too.
func TestGoexitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 3)
		for _, row := range b.queues["q"] {
			row.reads = 2
		}
		tries := make(map[string]int)
		r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(_ context.Context, d *Delivery) error {
			if tries[d.ID]++; tries[d.ID] == 1 {
				ends["goexit"]()
			}
			return nil
		})
		time.Sleep(time.Hour)
		if s := r.stop(t); s.Acked != 3 || s.Retried != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// Each outcome that is not a success is an event and, except for snoozes, a line.
func TestEvents(t *testing.T) {
	for name, tt := range map[string]struct {
		caps driver.Caps
		cc   ConsumerConfig
		fail func(*backend)
		h    HandlerFunc
		want string // of the first event
		log  string
		stat func(ConsumerStats) int64
	}{
		"error":   {counting, ConsumerConfig{Backoff: func(int) time.Duration { return time.Minute }}, nil, failing(errBad), "retry 0 1 bad item 1m0s", `handler failed`, func(s ConsumerStats) int64 { return s.Retried }},
		"retry":   {counting, ConsumerConfig{}, nil, failing(Retry(time.Hour, errBad)), "retry 0 1 bad item 1h0m0s", `handler failed`, func(s ConsumerStats) int64 { return s.Retried }},
		"panic":   {counting, ConsumerConfig{Backoff: func(int) time.Duration { return time.Minute }}, nil, func(context.Context, *Delivery) error { panic("mine") }, "retry 0 1 handler panicked: mine 1m0s", `handler failed`, func(s ConsumerStats) int64 { return s.Retried }},
		"snooze":  {counting, ConsumerConfig{}, nil, failing(fmt.Errorf("later: %w", Snooze(time.Hour))), "snoozed 0 1 later: snoozed 1h0m0s", "", func(s ConsumerStats) int64 { return s.Snoozed }},
		"reject":  {counting, ConsumerConfig{}, nil, failing(Reject(errBad)), "dead letter 0 1 bad item 0s reason bad item", "dead letter", func(s ConsumerStats) int64 { return s.DeadLettered }},
		"dead":    {counting, ConsumerConfig{MaxAttempts: 1}, nil, failing(errBad), "dead letter 0 1 bad item 0s reason attempt 1 failed, the limit is 1: bad item", "dead letter", func(s ConsumerStats) int64 { return s.DeadLettered }},
		"lost":    {counting, ConsumerConfig{}, func(b *backend) { b.fault = answers(ErrStaleReceipt, "settle", 1, 1) }, nil2, "lease lost 0 1  0s cause", "lease lost", func(s ConsumerStats) int64 { return s.Lost }},
		"refused": {counting, ConsumerConfig{}, func(b *backend) { b.fault = answers(errBad, "settle", 1, 1) }, nil2, "not settled 0 1  0s cause", "could not be settled", func(s ConsumerStats) int64 { return s.Failed }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(tt.caps, 1)
				if tt.fail != nil {
					tt.fail(b)
				}
				var got []string
				var log journal
				tt.cc.OnEvent = func(ctx context.Context, e Event) {
					if d, ok := FromContext(ctx); !ok || d != e.Delivery || ctx.Err() != nil {
						t.Errorf("the event's context: %v, %v", d, ctx.Err())
					}
					s := fmt.Sprintf("%v %s %d %s %v", e.Kind, e.Delivery.ID, e.Delivery.Attempt, errorText(e.Err), e.Delay)
					if e.Reason != "" {
						s += " reason " + e.Reason
					}
					if e.Cause != nil {
						s += " cause"
					}
					got = append(got, s)
				}
				r := run(t, b, log.config(), tt.cc, tt.h)
				time.Sleep(time.Second / 2)
				s := r.Stats()
				r.stop(t)
				if len(got) == 0 || got[0] != tt.want || tt.stat(s) == 0 {
					t.Errorf("events %q, want %q, %+v", got, tt.want, s)
				}
				if tt.log == "" && log.String() != "" || !strings.Contains(log.String(), tt.log) {
					t.Errorf("logged %s, want %s", &log, tt.log)
				}
				if strings.Contains(log.String(), "body 0") {
					t.Errorf("the log has the body: %s", &log)
				}
			})
		})
	}
}

func failing(err error) HandlerFunc { return func(context.Context, *Delivery) error { return err } }

// The message keeps its last error, where a nack can.
func TestNackKeepsTheError(t *testing.T) {
	for _, caps := range []driver.Caps{counting, capable} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(caps, 1)
			r := run(t, b, (&journal{}).config(), ConsumerConfig{}, failing(errors.New("größer\x00")))
			time.Sleep(time.Second / 2)
			r.stop(t)
			want := map[bool]string{true: "größer"}[caps.NackReasons]
			if got := b.queues["q"][0].lastError; got != want {
				t.Errorf("kept %q, want %q", got, want)
			}
		})
	}
}

// What a snoozed message waits for may take months.
func TestSnoozeDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 1)
		r := run(t, b, Config{}, ConsumerConfig{MaxAttempts: 2}, func(_ context.Context, d *Delivery) error {
			if d.ReadCount < 50 {
				return Snooze(time.Hour)
			}
			return map[bool]error{true: errBad}[d.Attempt == 1]
		})
		time.Sleep(100 * time.Hour)
		if s := r.stop(t); s.Snoozed != 49 || s.Retried != 1 || s.Acked != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A dependency that is down for twelve hours makes no dead letter.
func TestDefaultsOutlastANight(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(counting, 20)
			begun := time.Now()
			r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(context.Context, *Delivery) error {
				if time.Since(begun) < 12*time.Hour {
					return errBad
				}
				return nil
			})
			time.Sleep(14 * time.Hour)
			if s := r.stop(t); s.Acked != 20 || s.DeadLettered != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// The default limits of a stop fit into the 30 seconds of a pod, whatever hangs.
func TestStopFitsIntoAPod(t *testing.T) {
	for name, hang := range map[string]string{"handlers": "", "settlements": "settle", "fetches": "receive", "heartbeats": "extend"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(counting, 20)
				leave := make(chan struct{})
				r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(context.Context, *Delivery) error {
					if time.Sleep(25 * time.Second); hang == "" {
						<-leave
					}
					return nil
				})
				time.Sleep(24 * time.Second)
				b.mu.Lock()
				b.fault = hangs(hang, 0, 1<<30)
				b.mu.Unlock()
				begun := time.Now()
				r.cancel()
				mustEnd(t, r.done)
				if took := time.Since(begun); took > 28*time.Second {
					t.Errorf("Run took %v to stop", took)
				}
				close(leave)
				_ = r.client.Close()
				time.Sleep(time.Hour)
			})
		})
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 1)
		b.fault = answers(ErrUnavailable, "receive", 3, 6)
		c := New(b, (&journal{}).config())
		cons := newConsumer(t, c.Queue("q"), HandlerFunc(nil2), ConsumerConfig{})
		if err := cons.Health(); !errors.Is(err, errNotRunning) {
			t.Errorf("before Run: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cons.Run(ctx) }()
		time.Sleep(time.Second)
		if s := cons.Stats(); cons.Health() != nil || s.LastFetch.IsZero() || s.LastError != nil {
			t.Errorf("at the beginning: %v, %+v", cons.Health(), s)
		}
		for begun := time.Now(); cons.Health() == nil && time.Since(begun) < 5*time.Minute; {
			time.Sleep(50 * time.Millisecond)
		}
		if s := cons.Stats(); !errors.Is(cons.Health(), ErrUnavailable) || !errors.Is(s.LastError, ErrUnavailable) || s.LastErrorAt.IsZero() {
			t.Errorf("while it fails: %v, %+v", cons.Health(), s)
		}
		time.Sleep(5 * time.Minute)
		if s := cons.Stats(); cons.Health() != nil || time.Since(s.LastFetch) > 2*time.Minute {
			t.Errorf("later: %v, %+v", cons.Health(), s)
		}
		cancel()
		mustEnd(t, done)
		if err := cons.Health(); !errors.Is(err, errNotRunning) {
			t.Errorf("after Run: %v", err)
		}
		_ = c.Close()
	})
}

// Shutdown has the patience of its context, and then says what it left behind.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 5)
		cc := ConsumerConfig{SoftStop: time.Hour, HardStop: time.Hour}
		r := run(t, b, (&journal{}).config(), cc, func(ctx context.Context, _ *Delivery) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		err := r.client.Shutdown(ctx)
		if took := time.Since(begun); err != nil || took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("Shutdown = %v after %v", err, took)
		}
		mustEnd(t, r.done)
		if s := r.Stats(); s.Returned != 5 { // their contexts have ended, and they are given back
			t.Errorf("%+v", s)
		}
		if _, err := r.client.Queue("q").Stats(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Stats after Shutdown = %v", err)
		}
	})
}

// mustEnd waits for the end of Run, which may have left handlers behind.
func mustEnd(t testing.TB, done <-chan error) {
	t.Helper()
	if err, stop := <-done, (*StopError)(nil); err != nil && !errors.As(err, &stop) {
		t.Error(err)
	}
}

// A suspicious message begins as soon as the others are done, also where a settlement
// ends before its worker does.
func TestSuspectBeginsAtOnce(t *testing.T) {
	inProcess := counting
	inProcess.InProcess = true
	for name, tt := range map[string]struct {
		caps driver.Caps
		h    HandlerFunc
	}{
		"remote":          {counting, nil2},
		"in process":      {inProcess, nil2},
		"handler settles": {counting, func(ctx context.Context, d *Delivery) error { return d.Ack(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(tt.caps, 3)
				b.queues["q"][2].reads = 2
				begun, began := time.Now(), time.Duration(-1)
				r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(ctx context.Context, d *Delivery) error {
					if d.ID == "2" {
						began = time.Since(begun)
					}
					time.Sleep(10 * time.Millisecond)
					return tt.h(ctx, d)
				})
				time.Sleep(time.Minute)
				if s := r.stop(t); s.Acked != 3 || began < 0 || began > time.Second {
					t.Errorf("it began after %v, %+v", began, s)
				}
			})
		})
	}
}

// A retry at the visibility timeout is an answer.
func TestRetryAtTimeoutIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 20)
		begun := time.Now()
		var last atomic.Int64
		r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(context.Context, *Delivery) error {
			if time.Since(begun) < 5*time.Minute {
				return Retry(AtTimeout, errBad)
			}
			time.Sleep(time.Second)
			last.Store(int64(time.Since(begun)))
			return nil
		})
		time.Sleep(time.Hour)
		if s := r.stop(t); s.Acked != 20 || last.Load() > int64(6*time.Minute) {
			t.Errorf("done after %v, %+v", time.Duration(last.Load()), s)
		}
	})
}

// A dead letter that cannot be stored is an event.
func TestDeadLetterNotStoredIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 1)
		b.refuse = func(op, _ string) error {
			if strings.HasPrefix(op, "archive") {
				return errBad
			}
			return nil
		}
		var got []Event
		cc := ConsumerConfig{OnEvent: func(_ context.Context, e Event) { got = append(got, e) }}
		r := run(t, b, (&journal{}).config(), cc, failing(Reject(errBad)))
		time.Sleep(time.Second / 2)
		r.stop(t)
		if len(got) != 1 || got[0].Kind != EventNotSettled || !errors.Is(got[0].Cause, errBad) {
			t.Errorf("events %+v", got)
		}
	})
}

// An ack of the handler's that arrived, and whose answer was lost, counts as one.
func TestDoubtfulAckThatArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 1)
		b.fault = func(op string, n int) fault {
			if op == "settle" && n == 1 {
				return fault{err: ErrUnavailable, applied: true}
			}
			return fault{}
		}
		r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(ctx context.Context, d *Delivery) error { return d.Ack(ctx) })
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 1 || s.Lost+s.Retried+s.Failed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A Consumer that is paused after a failure is healthy.
func TestPausedIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(counting, 0)
		b.fault = answers(ErrUnavailable, "receive", 1, 1<<30)
		r := run(t, b, (&journal{}).config(), ConsumerConfig{}, nil2)
		time.Sleep(time.Second)
		if err := r.Health(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("while it fails: %v", err)
		}
		r.Pause()
		if err := r.Health(); err != nil {
			t.Errorf("while it is paused: %v", err)
		}
		r.stop(t)
	})
}

// A settlement that a handler leaves under way decides, once it has ended: it may fail,
// or hang.
func TestSettlementLeftUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(op string, n int) fault
		acked int64
		left  int
	}{
		"succeeds": {func(string, int) fault { return fault{late: time.Second} }, 1, 0},
		"fails": {func(_ string, n int) fault {
			return fault{late: time.Second, err: map[bool]error{true: errBad}[n == 1]}
		}, 1, 0},
		"hangs": {hangs("settle", 1, 1), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(counting, 1)
				b.fault = func(op string, n int) fault {
					if op != "settle" {
						return fault{}
					}
					return tt.fault(op, n)
				}
				r := run(t, b, (&journal{}).config(), ConsumerConfig{}, func(_ context.Context, d *Delivery) error {
					go func() { _ = d.Ack(context.Background()) }()
					time.Sleep(10 * time.Millisecond)
					return nil
				})
				time.Sleep(10 * time.Minute)
				s := r.stop(t)
				if _, left := b.state("q"); s.Acked != tt.acked || left != tt.left || s.Lost+s.Failed+s.Retried != 0 || s.Received != 1 {
					t.Errorf("%d messages are left, %+v", left, s)
				}
			})
		})
	}
}
