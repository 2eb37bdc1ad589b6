package mq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// The error of a call that hangs names the limit that has ended it, and no other.
func TestErrorsNameTheirLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		call func(ctx context.Context, q *Queue, d *Delivery) error
		want string
	}{
		"send": {func(ctx context.Context, q *Queue, _ *Delivery) error {
			_, err := q.Send(ctx, new(Message))
			return err
		}, "CallTimeout (30s)"},
		"ack":   {func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Ack(ctx) }, "CallTimeout (30s)"},
		"move":  {func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Move(ctx, "other", "") }, "CallTimeout (30s)"},
		"stats": {func(ctx context.Context, q *Queue, _ *Delivery) error { _, err := q.Stats(ctx); return err }, "CallTimeout (30s)"},
		"ping":  {func(ctx context.Context, q *Queue, _ *Delivery) error { return q.client.Ping(ctx) }, "CallTimeout (30s)"},
		"receive": {func(ctx context.Context, q *Queue, _ *Delivery) error {
			_, err := q.Receive(ctx, ReceiveOptions{})
			return err
		}, "CallTimeout (30s)"},
		"receive that waits": {func(ctx context.Context, q *Queue, _ *Delivery) error {
			_, err := q.Receive(ctx, ReceiveOptions{Wait: 5 * time.Second})
			return err
		}, "the wait plus CallTimeout (35s)"},
		"extend": {func(ctx context.Context, _ *Queue, d *Delivery) error { return d.Extend(ctx, time.Minute) }, "the time for an extension (10s)"},
		"extend by receipt": {func(ctx context.Context, q *Queue, d *Delivery) error {
			return q.Extend(ctx, 12*time.Second, d.Receipt)
		}, "the time for an extension (5s)"},
		"merged sends": {func(ctx context.Context, q *Queue, _ *Delivery) error {
			errs := make([]error, 5)
			fleet(5, func(i int) { _, errs[i] = q.Send(ctx, new(Message)) }).Wait()
			return errors.Join(errs...)
		}, "CallTimeout (30s)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				c := New(b, Config{})
				defer c.Close()
				q := c.Queue("q")
				ds, _ := q.Receive(t.Context(), ReceiveOptions{Visibility: time.Minute})
				b.fault = func(string, int) fault { return fault{hang: true} }
				err := tt.call(t.Context(), q, ds[0])
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v", err)
				}
				if got := err.Error(); !strings.Contains(got, "no answer within "+tt.want) {
					t.Errorf("%s: want %s", got, tt.want)
				} else if e := (*Error)(nil); errors.As(err, &e) && strings.Count(e.Error(), "no answer within") != 1 {
					t.Errorf("named more than once: %v", e)
				}
			})
		})
	}
}

// What mq does on its own logs which limit has ended it.
func TestLogNamesTheLimit(t *testing.T) {
	for op, want := range map[string]string{
		"extend":  "heartbeat failed.*no answer within the time for a heartbeat (5s)",
		"receive": "receiving failed.*no answer within the wait plus CallTimeout (1m30s)",
		"settle":  "does not get through.*no answer within CallTimeout (30s)",
	} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 1)
				b.fault = hangs(op, 1, 1<<30)
				var log journal
				r := run(t, b, log.config(), ConsumerConfig{SoftStop: AtOnce}, func(ctx context.Context, _ *Delivery) error {
					return sleep(ctx, time.Minute)
				})
				time.Sleep(5 * time.Minute)
				r.cancel()
				if err := <-r.done; err != nil {
					t.Errorf("Run = %v", err)
				}
				_ = r.client.Close()
				line, limit, _ := strings.Cut(want, ".*")
				for l := range strings.Lines(log.String()) {
					if strings.Contains(l, line) && strings.Contains(l, limit) {
						return
					}
				}
				t.Errorf("logged %s", &log)
			})
		})
	}
}

// What the caller's own context ends is not blamed on a limit of mq's.
func TestCallersDeadlineIsTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: driver.Caps{MaxBatch: 10}, send: func(ctx context.Context, _ []driver.Message) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		q := New(f, Config{}).Queue("q")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.Send(ctx, new(Message)); err == nil || strings.Contains(err.Error(), "no answer within") {
			t.Errorf("Send = %v", err)
		}
	})
}

// A merged call that Close cuts off is not blamed on its caller's context, however
// the provider wraps the end of its own.
func TestCloseIsNotTheCallersCancellation(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(n int, err error) error
		want   error
	}{
		"bare":            {func(_ int, err error) error { return err }, ErrUnavailable},
		"wrapped":         {func(_ int, err error) error { return fmt.Errorf("cut off: %w", err) }, ErrUnavailable},
		"in doubt":        {func(_ int, err error) error { return fmt.Errorf("cut off: %w (%w)", err, ErrUnavailable) }, ErrUnavailable},
		"in doubt, alone": {func(int, error) error { return ErrUnavailable }, ErrUnavailable},
		"not applied":     {func(_ int, err error) error { return fmt.Errorf("cannot connect: %w (%w)", err, ErrBadConn) }, ErrBadConn},
		"item by item": {func(n int, err error) error {
			errs := make([]error, n)
			for i := range errs {
				errs[i] = fmt.Errorf("cut off: %w (%w)", err, ErrUnavailable)
			}
			return driver.Batch(errs)
		}, ErrUnavailable},
	} {
		for op, call := range map[string]func(ctx context.Context, q *Queue) error{
			"send":   func(ctx context.Context, q *Queue) error { _, err := q.Send(ctx, new(Message)); return err },
			"ack":    func(ctx context.Context, q *Queue) error { return q.Settle(ctx, Settlement{Receipt: "r", Op: OpAck}) },
			"extend": func(ctx context.Context, q *Queue) error { return q.Extend(ctx, time.Hour, "r") },
		} {
			t.Run(name+" "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := 0
					hang := func(ctx context.Context, items int) error {
						switch n++; n {
						case 1: // meanwhile the others wait
							return sleep(ctx, time.Second)
						case 2: // begins before Close, which lets it and the next one go on
							return sleep(ctx, 4*time.Second)
						}
						<-ctx.Done()
						return tt.answer(items, ctx.Err())
					}
					f := &fake{caps: driver.Caps{MaxBatch: 2, Flights: 1}}
					f.send = func(ctx context.Context, msgs []driver.Message) ([]string, error) {
						return make([]string, len(msgs)), hang(ctx, len(msgs))
					}
					f.settle = func(ctx context.Context, s []Settlement) error { return hang(ctx, len(s)) }
					f.extend = func(ctx context.Context, rs []Receipt, _ time.Duration) error { return hang(ctx, len(rs)) }
					c := New(f, Config{CallTimeout: 5 * time.Second})
					errs := make([]error, 5)
					called := fleet(5, func(i int) { errs[i] = call(t.Context(), c.Queue("q")) })
					time.Sleep(3 * time.Second)
					if err := c.Close(); err == nil || !strings.Contains(err.Error(), "calls under way") {
						t.Errorf("Close = %v", err)
					}
					called.Wait()
					if err := errors.Join(errs[:3]...); err != nil {
						t.Errorf("calls that ended in time: %v", err)
					}
					for _, err := range errs[3:] {
						if !errors.Is(err, tt.want) || !errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), errCutByClose.Error()) {
							t.Errorf("%v", err)
						}
					}
				})
			})
		}
	}
}

// Each error of a batch that a limit has cut off names the limit.
func TestItemsNameTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{caps: driver.Caps{MaxBatch: 10}, settle: func(ctx context.Context, s []Settlement) error {
			<-ctx.Done()
			return driver.Batch([]error{nil, ctx.Err(), fmt.Errorf("cut off: %w (%w)", ctx.Err(), ErrUnavailable), ErrStaleReceipt}[:len(s)])
		}}
		s := Settlement{Receipt: "r", Op: OpAck}
		err := New(f, Config{}).Queue("q").Settle(t.Context(), s, s, s, s)
		batch := (*BatchError)(nil)
		if !errors.As(err, &batch) || len(batch.Errs) != 4 {
			t.Fatalf("Settle = %v", err)
		}
		for i, err := range batch.Errs {
			named := err != nil && strings.Contains(err.Error(), "no answer within CallTimeout (30s)") && errors.Is(err, ErrUnavailable)
			if named != (i == 1 || i == 2) {
				t.Errorf("item %d: %v", i, err)
			}
		}
	})
}

// transacting has transactions that get no answer.
type transacting struct{ *fake }

func (p transacting) Tx(driver.SQLTx) (driver.TxProvider, error) { return p, nil }

func (transacting) Send(ctx context.Context, _ string, _ []driver.Message) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (transacting) Settle(ctx context.Context, _ string, _ []Settlement) error {
	<-ctx.Done()
	return ctx.Err()
}

// A call inside a transaction that a limit has cut off leaves nothing in doubt.
func TestNothingInDoubtInATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(transacting{&fake{caps: capable}}, Config{}).Queue("q")
		d := newDelivery(driver.Delivery{Receipt: "r"}, q)
		d.lease.begins(now(), time.Hour, 0)
		_, err := q.Tx(new(sql.Tx)).Send(t.Context(), new(Message))
		for _, err := range []error{err, d.AckTx(t.Context(), new(sql.Tx))} {
			if !errors.Is(err, ErrBadConn) || errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) ||
				!strings.Contains(err.Error(), "CallTimeout (30s)") || !strings.Contains(err.Error(), "roll the transaction back") {
				t.Errorf("%v", err)
			}
		}
	})
}

// The tries of a call that is repeated have one limit together.
func TestTriesShareALimit(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, q *Queue) error{
		"stats": func(ctx context.Context, q *Queue) error { _, err := q.Stats(ctx); return err },
		"send":  func(ctx context.Context, q *Queue) error { _, err := q.Send(ctx, new(Message)); return err },
		"receive": func(ctx context.Context, q *Queue) error {
			_, err := q.Receive(ctx, ReceiveOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(capable, 0)
				b.fault = func(string, int) fault { return fault{delay: 20 * time.Second, err: ErrBadConn} }
				c := New(b, (&journal{}).config())
				begun := time.Now()
				err := call(t.Context(), c.Queue("q"))
				if took := time.Since(begun); took != 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if err == nil || !strings.Contains(err.Error(), "CallTimeout (30s)") {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}
