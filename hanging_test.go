package mq

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// hung is a function of the program that does not return before the test ends,
// whatever its context says: the first time that it is called, or each time.
type hung struct {
	always bool
	n      atomic.Int32
	leave  chan struct{}
}

func (h *hung) call() {
	if h.n.Add(1) == 1 || h.always {
		<-h.leave
	}
}

// around makes an interceptor hang before or after the calls of an operation.
func (h *hung) around(op string, before bool) []Interceptor {
	return []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
		if c.Op != op {
			return next(ctx)
		}
		if before {
			h.call()
			return next(ctx)
		}
		err := next(ctx)
		h.call()
		return err
	}}
}

// hangingLog hangs at every line that contains a text. It has no mutex, unlike the
// handlers of slog: a bubble's clock stands still while somebody waits for one.
type hangingLog struct {
	h    *hung
	text string
}

func (l *hangingLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.text) {
		l.h.call()
	}
	return nil
}

func (l *hangingLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *hangingLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *hangingLog) WithGroup(string) slog.Handler            { return l }

// Each function of the program hangs, and the Consumer goes on: the messages of
// others are handled, leases are kept, Run and Close end.
func TestHangingFunctions(t *testing.T) {
	type settings struct {
		cfg  *Config
		cc   *ConsumerConfig
		caps *driver.Caps
	}
	set := map[string]func(s settings, h *hung){
		"Backoff": func(s settings, h *hung) {
			s.cc.Backoff = func(int) time.Duration { h.call(); return time.Second }
		},
		"OnEvent": func(s settings, h *hung) { s.cc.OnEvent = func(context.Context, Event) { h.call() } },
		"Logger": func(s settings, h *hung) {
			s.cfg.Logger = slog.New(&hangingLog{h, "dead letter"})
		},
		"Logger of the guard": func(s settings, h *hung) {
			s.cfg.Logger = slog.New(&hangingLog{h, "does not return"})
			s.cc.Backoff = func(int) time.Duration { h.call(); return time.Second }
		},
	}
	for _, op := range []string{"receive", "extend", "ack", "nack", "archive", "stats", "move", "send"} {
		for where, before := range map[string]bool{"before ": true, "after ": false} {
			set["interceptor "+where+op] = func(s settings, h *hung) {
				s.cfg.Interceptors = h.around(op, before)
				s.cfg.AllowDuplicateMoves = true
				s.caps.AtomicMove = op == "move"
				if op == "move" || op == "send" {
					s.cc.DeadLetter = "dead"
				}
			}
		}
	}
	// With these not all messages can be settled, or not at the first delivery:
	// a nack is not extended, so its lease ends while its interceptor hangs.
	excused := func(name string, h *hung) bool {
		return h.always && strings.HasPrefix(name, "interceptor") || name == "interceptor before nack"
	}
	for name, set := range set {
		for how, always := range map[string]bool{"once": false, "always": true} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &hung{always: always, leave: make(chan struct{})}
					caps := capable
					b := newBackend(caps, 20)
					cfg := (&journal{}).config()
					cc := ConsumerConfig{Concurrency: 4, SoftStop: 10 * time.Second}
					set(settings{&cfg, &cc, &b.caps}, h)
					if cc.DeadLetter != "" {
						b.queues["dead"] = nil
					}
					var mu sync.Mutex
					handled := make(map[string]time.Duration)
					begun := time.Now()
					r := run(t, b, cfg, cc, func(ctx context.Context, d *Delivery) error {
						mu.Lock()
						if handled[d.ID] == 0 {
							handled[d.ID] = time.Since(begun) + 1
						}
						mu.Unlock()
						switch {
						case d.ID == "0":
							return Reject(errBad)
						case d.ID == "1" && d.ReadCount == 1:
							return errBad
						case d.ID == "2":
							return sleep(ctx, 2*time.Minute)
						}
						return nil
					})
					time.Sleep(20 * time.Minute)
					if h.n.Load() == 0 {
						t.Error("nothing has hung")
					}
					s := r.Stats()
					_, left := b.state("q")
					if !excused(name, h) && (left != 0 || s.Lost+s.Failed != 0 || s.Acked+s.DeadLettered != 20) {
						t.Errorf("%d messages left: %+v", left, s)
					}
					mu.Lock()
					if len(handled) != 20 && !(always && strings.HasSuffix(name, "before receive")) {
						t.Errorf("%d messages were handled", len(handled))
					}
					for id, after := range handled {
						if after > 40*time.Second && !always {
							t.Errorf("message %s was handled after %v", id, after)
						}
					}
					mu.Unlock()
					begun = time.Now()
					r.cancel()
					if err := <-r.done; err != nil || time.Since(begun) > 80*time.Second {
						t.Errorf("Run = %v after %v", err, time.Since(begun))
					}
					begun = time.Now()
					if err := r.client.Close(); err != nil || time.Since(begun) > 30*time.Second {
						t.Errorf("Close = %v after %v", err, time.Since(begun))
					}
					close(h.leave)
					time.Sleep(10 * time.Minute) // what is still waiting ends
				})
			})
		}
	}
}

// A Backoff is not asked in the goroutine that carries the settlements of others.
func TestHangingBackoffHoldsUpNoSettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{always: true, leave: make(chan struct{})}
		b := newBackend(capable, 20)
		b.refuse = func(op, _ string) error {
			if strings.HasPrefix(op, "archive") {
				return errBad
			}
			return nil
		}
		cc := ConsumerConfig{Backoff: func(int) time.Duration { h.call(); return time.Second }}
		r := run(t, b, (&journal{}).config(), cc, func(_ context.Context, d *Delivery) error {
			if d.ID < "1" || d.ID == "1" || d.ID == "2" || d.ID == "3" {
				return Reject(errBad)
			}
			return nil
		})
		time.Sleep(time.Second)
		if s := r.Stats(); s.Acked != 16 || h.n.Load() != 4 {
			t.Errorf("%d calls of Backoff hang, %+v", h.n.Load(), s)
		}
		r.stop(t)
		close(h.leave)
		time.Sleep(time.Minute)
	})
}

// A function that hangs is logged once, and is no longer called when too many of
// its calls hang.
func TestHangingCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{always: true, leave: make(chan struct{})}
		b := newBackend(capable, 100)
		var log journal
		cc := ConsumerConfig{Concurrency: 100, OnEvent: func(context.Context, Event) { h.call() }}
		r := run(t, b, log.config(), cc, func(_ context.Context, d *Delivery) error {
			time.Sleep(time.Duration(len(d.ID)) * 40 * time.Second) // ten first, then the others
			return Reject(errBad)
		})
		time.Sleep(10 * time.Minute)
		if s := r.Stats(); s.DeadLettered != 100 || s.Settling != 0 || h.n.Load() != 10 {
			t.Errorf("%d calls, %+v", h.n.Load(), s)
		}
		for text, want := range map[string]int{"does not return, going on": 1, "no longer called": 1, "dead letter": 100} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%q is logged %d times, want %d", text, n, want)
			}
		}
		close(h.leave)
		synctest.Wait()
		b.mu.Lock()
		b.add("q", Message{})
		b.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if h.n.Load() != 11 {
			t.Errorf("%d calls after the others have returned, want 11", h.n.Load())
		}
		r.stop(t)
	})
}

// An interceptor that was left behind can begin nothing.
func TestInterceptorThatWasLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(driver.Caps{Delay: true, MaxBatch: 100}, 1)
		b.queues["dead"] = nil
		late := make(chan error, 1)
		var n atomic.Int32
		cfg := Config{AllowDuplicateMoves: true, Interceptors: []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
			if c.Op == "send" && n.Add(1) == 1 {
				<-ctx.Done()
				time.Sleep(time.Minute)
				err := next(context.WithoutCancel(ctx))
				late <- err
				return err
			}
			return next(ctx)
		}}}
		r := run(t, b, cfg, ConsumerConfig{DeadLetter: "dead"}, func(context.Context, *Delivery) error { return Reject(errBad) })
		time.Sleep(10 * time.Minute)
		if s := r.stop(t); s.DeadLettered != 1 || b.called("send") != 1 {
			t.Errorf("%d copies, %+v", b.called("send"), s)
		}
		if err := <-late; err == nil {
			t.Error("a call that was given up has begun")
		}
	})
}

// An interceptor that was left behind has slices of its own: what it does to them
// changes neither a result nor the arguments, which others use meanwhile.
func TestInterceptorThatWasLeftBehindSharesNoSlices(t *testing.T) {
	for op, call := range map[string]func(ctx context.Context, q *Queue, d *Delivery) (got, want any){
		"receive": func(ctx context.Context, q *Queue, _ *Delivery) (got, want any) {
			ds, _ := q.Receive(ctx, ReceiveOptions{Max: 2})
			return ds, slices.Clone(ds)
		},
		"settle": func(ctx context.Context, q *Queue, d *Delivery) (got, want any) {
			ss := []Settlement{{Receipt: d.Receipt, Op: OpAck}}
			_ = q.Settle(ctx, ss...)
			return ss, slices.Clone(ss)
		},
		"extend": func(ctx context.Context, q *Queue, d *Delivery) (got, want any) {
			rs := []Receipt{d.Receipt}
			_ = q.Extend(ctx, time.Hour, rs...)
			return rs, slices.Clone(rs)
		},
		"send": func(ctx context.Context, q *Queue, _ *Delivery) (got, want any) {
			ids, _ := q.SendAll(ctx, []*Message{new(Message)})
			return ids, slices.Clone(ids)
		},
	} {
		for where, before := range map[string]bool{"before ": true, "after ": false} {
			t.Run(where+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &hung{leave: make(chan struct{})}
					woken := make(chan bool)
					around := func(ctx context.Context, c *Call, next func(context.Context) error) error {
						if c.Op != op || ctx.Value(unattendedKey{}) == nil {
							return next(ctx)
						}
						defer close(woken)
						defer func() {
							clear(c.Messages)
							clear(c.Settlements)
							clear(c.Receipts)
							clear(c.Deliveries)
							clear(c.IDs)
						}()
						return h.around(op, before)[0](ctx, c, next)
					}
					c := New(newBackend(capable, 5), Config{Interceptors: []Interceptor{around}})
					q := c.Queue("q")
					ds, err := q.Receive(t.Context(), ReceiveOptions{})
					if err != nil {
						t.Fatal(err)
					}
					got, want := call(unattended(t.Context(), c.limits()), q, ds[0])
					close(h.leave)
					<-woken
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%v has become %v", want, got)
					}
					_ = c.Close()
				})
			})
		}
	}
}

// A handler that does not return occupies its worker, and nobody else.
func TestHangingHandler(t *testing.T) {
	for _, in := range []string{"handler", "middleware"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hung{leave: make(chan struct{})}
				b := newBackend(capable, 20)
				cc := ConsumerConfig{Concurrency: 2, SoftStop: time.Second, HardStop: time.Second}
				handler := func(context.Context, *Delivery) error { return nil }
				if in == "middleware" {
					cc.Middleware = []Middleware{func(inner Handler) Handler {
						return HandlerFunc(func(ctx context.Context, d *Delivery) error { h.call(); return inner.Handle(ctx, d) })
					}}
				} else {
					handler = func(context.Context, *Delivery) error { h.call(); return nil }
				}
				r := run(t, b, (&journal{}).config(), cc, handler)
				time.Sleep(10 * time.Minute)
				if s := r.Stats(); s.Acked != 19 || s.Lost != 0 || s.Running != 1 {
					t.Errorf("%+v", s)
				}
				begun := time.Now()
				if err := r.client.Close(); err != nil || time.Since(begun) > 3*time.Second {
					t.Errorf("Close = %v after %v", err, time.Since(begun))
				}
				if err := <-r.done; err == nil {
					t.Error("Run has no *StopError")
				}
				close(h.leave)
				time.Sleep(time.Minute)
			})
		})
	}
}

// The body of a loop hangs: what the loop has not seen goes to others when its
// context ends, and Close ends.
func TestHangingLoop(t *testing.T) {
	for name, end := range map[string]func(c *Client, cancel func()){
		"cancel": func(_ *Client, cancel func()) { cancel() },
		"close":  func(c *Client, _ func()) { go c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hung{leave: make(chan struct{})}
				b := newBackend(capable, 3)
				var log journal
				c := New(b, log.config())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan string, 1)
				go func() {
					ids, _ := loop(ctx, c.Queue("q"), ReceiveOptions{Max: 3, Wait: Forever}, func(*Delivery) { h.call() })
					done <- ids
				}()
				time.Sleep(10 * time.Minute)
				if visible, _ := b.state("q"); visible != 0 {
					t.Errorf("%d messages are visible while the loop has them", visible)
				}
				end(c, cancel)
				synctest.Wait()
				if visible, _ := b.state("q"); visible != 2 {
					t.Errorf("%d messages are visible, want the 2 that the loop has not seen", visible)
				}
				begun := time.Now()
				err := c.Close()
				if name == "cancel" && !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 30*time.Second {
					t.Errorf("Close = %v after %v", err, time.Since(begun))
				}
				if !strings.Contains(log.String(), "bodies of loops") {
					t.Errorf("logged %s", &log)
				}
				close(h.leave)
				if ids := <-done; ids != "[0]" {
					t.Errorf("the loop went on with %s", ids)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// Flights that hang one after the other do not keep Close waiting, and who waits
// for them gets an answer.
func TestCloseEndsCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 0)
		b.fault = hangs("send", 1, 1<<30)
		c := New(b, Config{CallTimeout: time.Minute})
		q := c.Queue("q")
		const callers = 12
		errs := make(chan error, callers)
		for range callers {
			go func() {
				_, err := q.Send(context.Background(), &Message{Body: make([]byte, maxFlightBytes)})
				errs <- err
			}()
		}
		time.Sleep(70 * time.Second) // two have failed, and two more are under way
		begun := time.Now()
		if err := c.Close(); err == nil || !strings.Contains(err.Error(), "calls under way did not end in time: no answer within CallTimeout (1m0s)") || time.Since(begun) > time.Minute {
			t.Errorf("Close = %v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		if len(errs) != callers {
			t.Errorf("%d of %d callers have an answer", len(errs), callers)
		}
		for range callers {
			if err := <-errs; !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrClosed) {
				t.Errorf("Send = %v", err)
			}
		}
		time.Sleep(time.Hour)
	})
}

// A handler of the logger that hangs or panics costs lines, and says how many.
func TestLogLinesThatAreMissingAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{always: true, leave: make(chan struct{})}
		var log journal
		inner := slog.NewTextHandler(&log, nil)
		var mode atomic.Value
		mode.Store("hang")
		l := GuardLogger(slog.New(handlerFunc(func(ctx context.Context, r slog.Record) error {
			switch mode.Load() {
			case "hang":
				h.call()
			case "panic":
				panic("mine")
			}
			return inner.Handle(ctx, r)
		})))
		begun := time.Now()
		for range 100 {
			l.With("a", 1).WithGroup("g").Info("lost")
		}
		if took := time.Since(begun); took != maxOverdue*logLimit {
			t.Errorf("100 lines took %v", took)
		}
		mode.Store("panic")
		close(h.leave)
		synctest.Wait()
		l.Info("lost, too")
		mode.Store("")
		l.Info("written")
		if got := log.String(); !strings.Contains(got, "lines=101") || !strings.Contains(got, "written") {
			t.Errorf("logged %s", got)
		}
		if GuardLogger(l) != l {
			t.Error("a guarded logger is guarded again")
		}
	})
}

// What a handler says to Enabled is asked for within the limit, too, and heeded.
func TestLoggerEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{leave: make(chan struct{})}
		var log journal
		var mode atomic.Value
		l := GuardLogger(slog.New(pickyHandler{slog.NewTextHandler(&log, nil), func() {
			switch mode.Load() {
			case "hang":
				h.call()
			case "panic":
				panic("mine")
			}
		}}))
		for _, m := range []string{"hang", "panic", ""} {
			begun := time.Now()
			mode.Store(m)
			l.Info("line", "mode", m)
			l.With("a", 1).Debug("not enabled")
			if took := time.Since(begun); took > logLimit {
				t.Errorf("%q: two lines took %v", m, took)
			}
		}
		close(h.leave)
		synctest.Wait()
		if got := log.String(); !strings.Contains(got, "lines=") || !strings.Contains(got, `mode=""`) || strings.Contains(got, "not enabled") {
			t.Errorf("logged %s", got)
		}
	})
}

// pickyHandler does something before it says whether it is enabled.
type pickyHandler struct {
	slog.Handler
	before func()
}

func (h pickyHandler) Enabled(ctx context.Context, level slog.Level) bool {
	h.before()
	return h.Handler.Enabled(ctx, level)
}

func (h pickyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return pickyHandler{h.Handler.WithAttrs(attrs), h.before}
}

// handlerFunc is a slog.Handler made of a function.
type handlerFunc func(context.Context, slog.Record) error

func (f handlerFunc) Enabled(context.Context, slog.Level) bool        { return true }
func (f handlerFunc) Handle(ctx context.Context, r slog.Record) error { return f(ctx, r) }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler              { return f }
func (f handlerFunc) WithGroup(string) slog.Handler                   { return f }
