package mq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ends are the ways in which a function of the program's does not return.
var ends = map[string]func(){
	"panic":  func() { panic("mine") },
	"goexit": runtime.Goexit,
}

// A callback that does not return ends neither the process nor a lane.
func TestCallbacksThatDoNotReturn(t *testing.T) {
	callbacks := map[string]func(end func(), cfg *Config, cc *ConsumerConfig){
		"OnEvent": func(end func(), _ *Config, cc *ConsumerConfig) { cc.OnEvent = func(context.Context, Event) { end() } },
		"Backoff": func(end func(), _ *Config, cc *ConsumerConfig) {
			cc.Backoff = func(int) time.Duration { end(); return 0 }
		},
		"Middleware": func(end func(), _ *Config, cc *ConsumerConfig) {
			cc.Middleware = []Middleware{func(h Handler) Handler {
				return HandlerFunc(func(ctx context.Context, d *Delivery) error {
					if d.ReadCount == 1 && len(d.Body) == len("body 0") && d.Body[5] < '4' {
						end()
					}
					return h.Handle(ctx, d)
				})
			}}
		},
		"Interceptor of settlements": func(end func(), cfg *Config, _ *ConsumerConfig) {
			var n atomic.Int32
			cfg.Interceptors = []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
				if c.Op == "nack" || c.Op == "archive" {
					if n.Add(1) <= 4 {
						end()
					}
				}
				return next(ctx)
			}}
		},
	}
	for what, set := range callbacks {
		for how, end := range ends {
			t.Run(what+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBackend(capable, 20)
					cfg := (&journal{}).config()
					cc := ConsumerConfig{Concurrency: 3, SoftStop: time.Hour}
					set(end, &cfg, &cc)
					r := run(t, b, cfg, cc, func(_ context.Context, d *Delivery) error {
						switch {
						case d.ReadCount > 1:
							return nil
						case d.ID == "0" || d.ID == "1":
							return Reject(errBad)
						case d.ID == "2" || d.ID == "3":
							return errBad
						}
						return nil
					})
					time.Sleep(10 * time.Minute)
					start := time.Now()
					s := r.stop(t)
					if took := time.Since(start); took > time.Second {
						t.Errorf("stopping took %v", took)
					}
					if _, left := b.state("q"); left != 0 || s.Running != 0 || s.Acked+s.DeadLettered != 20 {
						t.Errorf("%d messages left, %+v", left, s)
					}
				})
			})
		}
	}
}

// The log says in which function of the program a panic was.
func TestPanicsAreLogged(t *testing.T) {
	for name, cc := range map[string]ConsumerConfig{
		"Backoff": {Backoff: func(int) time.Duration { panic("mine") }},
		"OnEvent": {OnEvent: func(context.Context, Event) { panic("mine") }},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log journal
			r := run(t, newBackend(capable, 1), log.config(), cc, func(context.Context, *Delivery) error { return errBad })
			time.Sleep(time.Second)
			r.stop(t)
			if got := log.String(); !strings.Contains(got, "mq: "+name+" panicked") || strings.Contains(got, "does not return") {
				t.Errorf("%s: logged %s", name, got)
			}
		})
	}
}

// An OnEvent that hangs holds up neither settlements nor, for longer than
// CallTimeout, the end of Run.
func TestOnEventThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 20)
		leave := make(chan bool)
		r := run(t, b, Config{CallTimeout: 5 * time.Second}, ConsumerConfig{OnEvent: func(context.Context, Event) { <-leave }}, func(_ context.Context, d *Delivery) error {
			if d.ID < "3" {
				return Reject(errBad)
			}
			return nil
		})
		time.Sleep(time.Second)
		if _, left := b.state("q"); left != 0 {
			t.Errorf("%d messages are not settled", left)
		}
		start := time.Now()
		r.cancel()
		if err := <-r.done; err != nil || time.Since(start) != 4*time.Second { // it has hung for one already
			t.Errorf("Run = %v after %v", err, time.Since(start))
		}
		close(leave)
		_ = r.client.Close()
	})
}

// An interceptor that panics around a fetch or a look is an error of that call.
func TestPanicInAFetchsInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 2)
		var log journal
		cfg := log.config()
		n := 0
		cfg.Interceptors = []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
			if c.Op == "receive" || c.Op == "stats" {
				if n++; n <= 3 {
					panic("mine")
				}
			}
			return next(ctx)
		}}
		r := run(t, b, cfg, ConsumerConfig{DeadLetter: "dead"}, nil2)
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 2 {
			t.Errorf("%+v: %s", s, &log)
		}
		if !strings.Contains(log.String(), `interceptor of receive \"q\" panicked: mine`) {
			t.Errorf("logged %s", &log)
		}
	})
}

// odd is an error whose methods panic.
type odd struct{ p *string }

func (o *odd) Error() string { return *o.p }

func TestErrorThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 4)
		r := run(t, b, Config{}, ConsumerConfig{MaxAttempts: 2, Concurrency: 1}, func(_ context.Context, d *Delivery) error {
			switch d.ID {
			case "0":
				return Reject(&odd{})
			case "1":
				return &odd{}
			case "2":
				return fmt.Errorf("at last: %w", Retry(0, &odd{}))
			}
			return nil
		})
		time.Sleep(time.Hour)
		if s := r.stop(t); s.Acked != 1 || s.Running != 0 || s.Retried < 3 {
			t.Errorf("%+v", s)
		}
	})
}

// A worker whose handler ends the goroutine inside a settlement is replaced.
func TestGoexitBesideASettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 10)
		r := run(t, b, Config{}, ConsumerConfig{Concurrency: 1}, func(ctx context.Context, d *Delivery) error {
			if err := d.Ack(ctx); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
		time.Sleep(time.Minute)
		if s := r.stop(t); s.Acked != 10 || s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestNilHandlersAreRefused(t *testing.T) {
	var typedNil *typedNilHandler
	nothing := func(h Handler) Handler { return h }
	c := New(new(fake), Config{})
	q := c.Queue("q")
	for name, consume := range map[string]func(ctx context.Context) error{
		"nil":       func(ctx context.Context) error { return q.Consume(ctx, nil, ConsumerConfig{}) },
		"nil func":  func(ctx context.Context) error { return q.Consume(ctx, nil, ConsumerConfig{}) },
		"typed nil": func(ctx context.Context) error { _, err := NewConsumer(q, typedNil, ConsumerConfig{}); return err },
		"nil with middleware": func(ctx context.Context) error {
			return q.Consume(ctx, nil, ConsumerConfig{Middleware: []Middleware{nothing}})
		},
		"nil middleware": func(ctx context.Context) error {
			return q.Consume(ctx, nil2, ConsumerConfig{Middleware: []Middleware{nil}})
		},
		"middleware makes a nil": func(ctx context.Context) error {
			return q.Consume(ctx, nil2, ConsumerConfig{Middleware: []Middleware{func(Handler) Handler { return nil }}})
		},
		"typed queue": func(ctx context.Context) error { return Of[int](q).Consume(ctx, nil, ConsumerConfig{}) },
		"typed queue and middleware": func(ctx context.Context) error {
			return Of[int](q).Consume(ctx, nil, ConsumerConfig{Middleware: []Middleware{nothing}})
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := consume(ctx); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: Consume = %v", name, err)
		}
	}
}

type typedNilHandler struct{}

func (*typedNilHandler) Handle(context.Context, *Delivery) error { return nil }
