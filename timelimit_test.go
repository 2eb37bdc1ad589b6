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
				r := run(t, b, log.config(), ConsumerConfig{SoftStop: -1}, func(ctx context.Context, _ *Delivery) error {
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
		f := &fake{caps: driver.Caps{MaxBatch: 10}, send: func(ctx context.Context, _ []Message) ([]string, error) {
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
