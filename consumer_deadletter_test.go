package mq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	copying = driver.Caps{Delay: true, Headers: true, MaxBatch: 100}
	allowed = Config{AllowDuplicateMoves: true}
)

func rejecting(context.Context, *Delivery) error { return Reject(errBad) }

// A move in two steps goes on where it failed.
func TestMoveInTwoStepsMakesOneCopy(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  func(op string, n int) fault
		copies int // in the dead-letter queue
		dead   int64
		failed int64
	}{
		"ack in doubt":                {answers(ErrUnavailable, "settle", 1, 3), 1, 1, 0},
		"ack without connection":      {answers(ErrBadConn, "settle", 1, 3), 1, 1, 0},
		"ack hangs":                   {hangs("settle", 1, 2), 1, 1, 0},
		"ack arrived":                 {func(op string, n int) fault { return fault{hang: op == "settle" && n == 1, applied: true} }, 1, 1, 0},
		"copy without connection":     {answers(ErrBadConn, "send", 1, 4), 1, 1, 0},
		"copy in doubt":               {answers(ErrUnavailable, "send", 1, 1), 0, 0, 1},
		"copy in doubt, and arrived":  {func(op string, n int) fault { return fault{hang: op == "send" && n == 1, applied: true} }, 1, 0, 1},
		"copy refused and then taken": {answers(ErrQueueNotFound, "send", 1, 1), 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(copying, 1)
				b.fault = tt.fault
				cfg := allowed
				cfg.CallTimeout = 5 * time.Second
				wait := 4 * time.Minute
				if tt.dead == 0 {
					wait = time.Minute - time.Second // one delivery: the next one may make another copy
				}
				backoff := func(int) time.Duration { return time.Minute }
				r := run(t, b, cfg, ConsumerConfig{DeadLetter: "dead", Backoff: backoff, SoftStop: time.Hour}, rejecting)
				time.Sleep(wait)
				s := r.stop(t)
				_, copies := b.state("dead")
				if copies != tt.copies || s.DeadLettered != tt.dead || s.Failed != tt.failed || s.Lost != 0 {
					t.Errorf("%d copies, want %d, %+v", copies, tt.copies, s)
				}
				if _, left := b.state("q"); left != 1-int(tt.dead) {
					t.Errorf("%d messages left", left)
				}
			})
		})
	}
}

// Delivery.Move by hand, repeated as the documentation allows.
func TestRepeatedMoveMakesOneCopy(t *testing.T) {
	for _, op := range []string{"settle", "send"} {
		t.Run(op+" in doubt", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(copying, 1)
				b.fault = func(o string, n int) fault {
					if o == op && n == 1 {
						return fault{err: ErrUnavailable, applied: op == "send"}
					}
					return fault{}
				}
				c := New(b, allowed)
				defer c.Close()
				ds, _ := c.Queue("q").Receive(t.Context(), ReceiveOptions{})
				if err := ds[0].Move(t.Context(), "dead", ""); !errors.Is(err, ErrUnavailable) {
					t.Errorf("first Move = %v", err)
				}
				err := ds[0].Move(t.Context(), "dead", "")
				switch {
				case op == "settle" && err != nil:
					t.Errorf("second Move = %v", err)
				case op == "send" && (!errors.Is(err, errCopyInDoubt) || !errors.Is(err, ErrUnavailable)):
					t.Errorf("second Move = %v, want that it is in doubt", err)
				case op == "send":
					if err := ds[0].Ack(t.Context()); err != nil { // the caller has looked
						t.Error(err)
					}
				}
				if _, copies := b.state("dead"); copies != 1 {
					t.Errorf("%d copies", copies)
				}
			})
		})
	}
}

// A copy has what was received, whatever the handler made of it.
func TestMoveInTwoStepsCopiesTheOriginal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(copying, 0)
		b.add("q", Message{Body: []byte("secret"), Headers: Headers{"k": "v"}})
		r := run(t, b, allowed, ConsumerConfig{DeadLetter: "dead"}, func(_ context.Context, d *Delivery) error {
			copy(d.Body, "PLAIN!") // decrypted in place
			d.Headers["k"] = "changed"
			return Reject(errBad)
		})
		time.Sleep(time.Second)
		r.stop(t)
		rows := b.queues["dead"]
		if len(rows) != 1 || string(rows[0].msg.Body) != "secret" || rows[0].msg.Headers["k"] != "v" || rows[0].msg.Headers[driver.HeaderReason] != "bad item" {
			t.Errorf("copied %+v", rows)
		}
	})
}

func TestDeadLetterQueueIsCheckedAtTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		dead  string
		fault func(op string, n int) fault
		want  error
		log   string
	}{
		"the queue itself":   {"q", nil, ErrInvalid, ""},
		"a missing queue":    {"typo", answers(ErrQueueNotFound, "stats", 1, 1), ErrQueueNotFound, ""},
		"unavailable":        {"dead", answers(ErrUnavailable, "stats", 1, 1), nil, ""},
		"no connection":      {"dead", answers(ErrBadConn, "stats", 1, 3), nil, ""},
		"hangs":              {"dead", hangs("stats", 1, 1), nil, ""},
		"cannot be told":     {"dead", answers(ErrNotSupported, "stats", 1, 1), nil, ""},
		"may not be seen":    {"dead", answers(errBad, "stats", 1, 1), nil, "bad item"},
		"there, and is seen": {"dead", nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				if tt.fault != nil {
					b.fault = tt.fault
				}
				var log journal
				c := New(b, log.config())
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				handled := false
				err := c.Queue("q").Consume(ctx, func(context.Context, *Delivery) error {
					handled = true
					return nil
				}, ConsumerConfig{DeadLetter: tt.dead})
				if !errors.Is(err, tt.want) || tt.want == nil && err != nil || handled != (tt.want == nil) {
					t.Errorf("Consume = %v, handled %v, want %v", err, handled, tt.want)
				}
				if tt.want == ErrQueueNotFound && !strings.Contains(err.Error(), tt.dead) {
					t.Errorf("the error does not name the queue: %v", err)
				}
				if strings.Contains(log.String(), "dead letters may have nowhere to go") != (tt.log != "") {
					t.Errorf("logged %s", &log)
				}
			})
		})
	}
}

// A queue without an archive says so before the first dead letter, and works.
func TestMissingArchiveIsLoggedAtTheStart(t *testing.T) {
	for name, fault := range map[string]func(op string, n int) fault{
		"missing": answers(ErrQueueNotFound, "stats", 1, 1), "hangs": hangs("stats", 1, 1), "there": answers(nil, "", 0, 0), "not to be seen": answers(nil, "", 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 3)
				b.fault = fault
				if name == "not to be seen" {
					b.figures.Archived = -1
				}
				var log journal
				looks := 1
				if name == "hangs" {
					looks = 2
				}
				r := run(t, b, log.config(), ConsumerConfig{}, nil2)
				time.Sleep(time.Minute)
				if s := r.stop(t); s.Acked != 3 || b.called("stats") != looks {
					t.Errorf("%+v, %d looks", s, b.called("stats"))
				}
				if strings.Count(log.String(), "dead letters may have nowhere to go") != map[string]int{"missing": 1, "not to be seen": 1}[name] {
					t.Errorf("logged %s", &log)
				}
			})
		})
	}
}

// A dead letter for which there is no place comes back later each time, is
// logged once, and stops nobody.
func TestDeadLetterWithoutAPlace(t *testing.T) {
	for name, cc := range map[string]ConsumerConfig{
		"archive": {},
		"queue":   {DeadLetter: "dead"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 20)
				b.refuse = func(op, id string) error {
					if !strings.HasPrefix(op, "ack") && !strings.HasPrefix(op, "nack") && id == "3" {
						return errBad
					}
					return nil
				}
				var log journal
				var at []time.Time
				var reads []int
				cc.MaxAttempts, cc.Concurrency = 3, 20
				r := run(t, b, log.config(), cc, func(_ context.Context, d *Delivery) error {
					if d.ID == "3" {
						at, reads = append(at, time.Now()), append(reads, d.ReadCount)
						return errBad
					}
					return nil
				})
				time.Sleep(time.Hour)
				s := r.stop(t)
				if s.Acked != 19 || s.DeadLettered != 0 || len(reads) != 3 {
					t.Errorf("%+v, the handler ran at reads %v", s, reads)
				}
				// Pauses of 1, 2, 4, ... seconds up to 5 minutes, and a fifth either way.
				if s.Received < 19+10 || s.Received > 19+30 {
					t.Errorf("%d deliveries in an hour", s.Received)
				}
				if n := strings.Count(log.String(), "could not be stored"); n != 1 {
					t.Errorf("logged %d times: %s", n, &log)
				}
				if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d errors logged: %s", n, &log)
				}
				if s.Failed != s.Received-19-2 {
					t.Errorf("%+v: want each failed archive counted", s)
				}
			})
		})
	}
}

// Where the backend does not count reads the pauses grow all the same.
func TestDeadLetterWithoutAPlaceOrAReadCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(capable, 1)
		b.fault = func(op string, _ int) fault { return fault{} }
		b.refuse = func(op, _ string) error {
			if strings.HasPrefix(op, "archive") {
				return errBad
			}
			return nil
		}
		calls := 0
		r := run(t, &uncounted{b}, Config{}, ConsumerConfig{}, func(context.Context, *Delivery) error {
			calls++
			return Reject(errBad)
		})
		time.Sleep(time.Hour)
		r.stop(t)
		if calls > 30 {
			t.Errorf("%d calls in an hour", calls)
		}
	})
}

// uncounted says of each delivery that it is the first.
type uncounted struct{ *backend }

func (u *uncounted) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := u.backend.Receive(ctx, queue, r)
	for i := range ds {
		ds[i].ReadCount = 1
	}
	return ds, err
}

// A reason that the backend cannot store is stored as far as it can.
func TestReasonThatCannotBeStored(t *testing.T) {
	for name, handle := range map[string]HandlerFunc{
		"consumer": func(context.Context, *Delivery) error { return Reject(errors.New("größer als 5 €\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				b.refuse = onlyASCII
				var told string
				r := run(t, b, Config{}, ConsumerConfig{OnEvent: func(_ context.Context, e Event) { told = e.Reason }}, handle)
				time.Sleep(time.Second)
				s := r.stop(t)
				if s.DeadLettered != 1 || s.Failed != 0 || b.noted("settle") != "[archive 0]" || told != "gr??er als 5 ??" {
					t.Errorf("%+v, settled %s, told %q", s, b.noted("settle"), told)
				}
			})
		})
	}
}

func onlyASCII(op, _ string) error {
	if plainText(op) != op {
		return errBad
	}
	return nil
}

// While a Consumer stops, what is interrupted is given back: by a Retry too.
func TestRetryWhileStoppingIsNoDeadLetter(t *testing.T) {
	for name, result := range map[string]func(ctx context.Context) error{
		"plain": func(ctx context.Context) error { return ctx.Err() },
		"retry": func(ctx context.Context) error { return Retry(time.Hour, ctx.Err()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				r := run(t, b, Config{}, ConsumerConfig{MaxAttempts: 1, SoftStop: AtOnce}, func(ctx context.Context, _ *Delivery) error {
					<-ctx.Done()
					return result(ctx)
				})
				time.Sleep(time.Second)
				if s := r.stop(t); s.Returned != 1 || s.DeadLettered != 0 {
					t.Errorf("%+v", s)
				}
				if visible, _ := b.state("q"); (visible == 1) != (name == "plain") {
					t.Errorf("%d visible", visible)
				}
			})
		})
	}
}
