package mq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&Error{Op: "send", Provider: "pgmq", Queue: "orders", Err: ErrQueueNotFound}, `mq: send "orders": pgmq: queue not found (create it with EnsureQueue)`},
		{&Error{Op: "list", Err: ErrClosed}, `mq: list: client is closed`},
		{&StopError{3}, `mq: consumer stopped with 3 handlers still running (do they watch ctx.Done?)`},
		{&PanicError{Value: "x"}, `handler panicked: x`},
		{&BatchError{Errs: []error{nil, errBad, errBad}}, `2 of 3 failed: bad item`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	for err, is := range map[error]error{
		ErrMessageNotFound:           ErrStaleReceipt,
		ErrTooLarge:                  ErrInvalid,
		ErrNotSupported:              errors.ErrUnsupported,
		&Error{Err: ErrStaleReceipt}: ErrStaleReceipt,
		&DecodeError{Err: errBad}:    errBad,
	} {
		if !errors.Is(err, is) {
			t.Errorf("%v is not %v", err, is)
		}
	}
	if errors.Is(ErrStaleReceipt, ErrMessageNotFound) {
		t.Error("every stale receipt counts as not found")
	}
}

func TestWrapNamesWhoFailed(t *testing.T) {
	f := &fake{send: func(context.Context, []driver.Message) ([]string, error) { return nil, ErrQueueNotFound }}
	c := New(f, Config{})
	_, err := c.Queue("q").Send(t.Context(), new(Message))
	if e := (*Error)(nil); !errors.As(err, &e) || e.Op != "send" || e.Provider != "fake" || e.Queue != "q" || e.Err != ErrQueueNotFound {
		t.Errorf("err = %#v", err)
	}
	_, err = c.Queue("q").Send(t.Context(), nil)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Provider != "" || !errors.Is(err, ErrInvalid) {
		t.Errorf("err = %#v, want one without provider", err)
	}
	f.send = func(_ context.Context, ms []driver.Message) ([]string, error) {
		return make([]string, len(ms)), &BatchError{Errs: []error{nil, errBad}}
	}
	_, err = c.Queue("q").SendAll(t.Context(), []*Message{new(Message), new(Message)})
	if want := `mq: send "q": fake: 1 of 2 failed: bad item`; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %v", err, want)
	}
}

func TestValidation(t *testing.T) {
	caps := driver.Caps{Delay: true, Headers: true, Groups: true, MaxBatch: 10, MaxBody: 100, MaxDelay: time.Hour, MaxVisibility: time.Minute, MaxHold: 2 * time.Minute}
	f := &fake{caps: caps}
	c := New(f, Config{})
	q := c.Queue("q")
	send := func(m *Message) func() error {
		return func() error { _, err := q.Send(t.Context(), m); return err }
	}
	receive := func(o ReceiveOptions) func() error {
		return func() error { _, err := q.Receive(t.Context(), o); return err }
	}
	settle := func(s Settlement) func() error {
		return func() error { return q.Settle(t.Context(), s) }
	}
	for _, tt := range []struct {
		name string
		call func() error
		is   error
		text string
	}{
		{"nil message", send(nil), ErrInvalid, "message is nil"},
		{"large body", send(&Message{Body: make([]byte, 101)}), ErrTooLarge, "body has 101 bytes, the limit is 100"},
		{"NUL in header", send(&Message{Headers: Headers{"a": "b\x00"}}), ErrInvalid, `header "a"`},
		{"bad UTF-8 in header", send(&Message{Headers: Headers{"a\xff": "b"}}), ErrInvalid, "header"},
		{"bad group", send(&Message{Group: "\xff"}), ErrInvalid, "group"},
		{"negative delay", send(&Message{Delay: -1}), ErrInvalid, "negative"},
		{"long delay", send(&Message{Delay: time.Hour + 1}), ErrInvalid, "above the limit of 1h0m0s"},
		{"negative max", receive(ReceiveOptions{Max: -1}), ErrInvalid, "Max -1 is negative"},
		{"large max", receive(ReceiveOptions{Max: 11}), ErrInvalid, "Max 11 is above the limit of 10"},
		{"negative visibility", receive(ReceiveOptions{Visibility: -1}), ErrInvalid, "not positive"},
		{"long visibility", receive(ReceiveOptions{Visibility: time.Minute + 1}), ErrInvalid, "above the limit of 1m0s"},
		{"negative wait", receive(ReceiveOptions{Wait: -1}), ErrInvalid, "Wait -1ns is negative"},
		{"no op", settle(Settlement{}), ErrInvalid, "no operation"},
		{"negative nack", settle(Settlement{Op: OpNack, Delay: -1}), ErrInvalid, "negative"},
		{"bad reason", settle(Settlement{Op: OpArchive, Reason: "\x00"}), ErrInvalid, "reason"},
		{"move", settle(Settlement{Op: OpMove, To: "x"}), ErrNotSupported, "AllowDuplicateMoves"},
		{"extend by nothing", func() error { return q.Extend(t.Context(), 0, "r") }, ErrInvalid, "not positive"},
		{"empty name", func() error { return c.Queue("").Settle(t.Context()) }, ErrInvalid, "name is empty"},
		{"long name", func() error { _, err := c.Queue(strings.Repeat("x", 256)).Stats(t.Context()); return err }, ErrInvalid, "256 bytes"},
		{"control character", func() error { _, err := c.Queue("a\nb").Purge(t.Context()); return err }, ErrInvalid, "control"},
		{"not portable", func() error { _, err := c.EnsureQueue(t.Context(), "a-b", QueueOptions{}); return err }, ErrInvalid, "AnyName"},
		{"options nil", func() error { return ensureWith(c, nil) }, ErrInvalid, "holds nil"},
		{"options twice", func() error { return ensureWith(c, toyOptions("a"), toyOptions("b"), toyOptions("a")) }, ErrInvalid, "for a twice"},
		{"delivery made by hand", func() error { return new(Delivery).Ack(t.Context()) }, ErrInvalid, "not received"},
		{"tx", func() error { _, err := q.Tx(nil).Send(t.Context(), new(Message)); return err }, ErrInvalid, "tx is nil"},
		{"negative limit", func() error { _, err := q.Redrive(t.Context(), RedriveOptions{}); return err }, ErrNotSupported, "not supported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			if !errors.Is(err, tt.is) || !strings.Contains(fmt.Sprint(err), tt.text) || !strings.HasPrefix(fmt.Sprint(err), "mq: ") {
				t.Errorf("err = %v, want %v with %q", err, tt.is, tt.text)
			}
		})
	}
	if len(f.calls) != 0 {
		t.Errorf("bad input reached the provider: %v", f.calls)
	}
	if _, err := c.EnsureQueue(t.Context(), "a-b", QueueOptions{AnyName: true}); err != nil {
		t.Error(err)
	}
}

// toyOptions are those of the driver of that name.
type toyOptions string

func (o toyOptions) DriverName() string { return string(o) }

func ensureWith(c *Client, all ...DriverOptions) error {
	_, err := c.EnsureQueue(context.Background(), "q", QueueOptions{Drivers: all})
	return err
}

func TestUndeclaredIsRefused(t *testing.T) {
	f := new(fake)
	q := New(f, Config{}).Queue("q")
	for name, m := range map[string]*Message{
		"delay":   {Delay: 1},
		"headers": {Headers: Headers{"a": "b"}},
		"group":   {Group: "g"},
	} {
		if _, err := q.Send(t.Context(), m); !errors.Is(err, ErrNotSupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"pop":           func() error { _, err := q.Pop(ctx, 1); return err },
		"peek":          func() error { _, err := q.Peek(ctx, BrowseOptions{}); return err },
		"archived":      func() error { _, err := q.Archived(ctx, BrowseOptions{}); return err },
		"purge":         func() error { _, err := q.Purge(ctx); return err },
		"redrive":       func() error { _, err := q.Redrive(ctx, RedriveOptions{}); return err },
		"purge archive": func() error { _, err := q.PurgeArchive(ctx, AnyAge); return err },
		"receive heads": func() error { _, err := q.ReceiveHeads(ctx, ByGroup(), ReceiveOptions{}); return err },
		"receive group": func() error { _, err := q.ReceiveGroup(ctx, ByGroup(), "g", GroupOptions{}); return err },
		"drop":          func() error { return q.client.DropQueue(ctx, "q") },
		"list":          func() error { _, err := q.client.Queues(ctx); return err },
		"nack delay":    func() error { return q.Settle(ctx, Settlement{Op: OpNack, Delay: 1}) },
	} {
		if err := call(); !errors.Is(err, ErrNotSupported) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("calls reached the provider: %v", f.calls)
	}
}

func TestCancelledContext(t *testing.T) {
	f := new(fake)
	q := New(f, Config{}).Queue("q")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Send(ctx, new(Message)); !errors.Is(err, context.Canceled) || len(f.calls) > 0 {
		t.Errorf("Send = %v, calls %v", err, f.calls)
	}
}

func TestContextErrorIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := New(new(fake), Config{}).Queue("q").Receive(ctx, ReceiveOptions{Wait: Forever})
		if want := `mq: receive "q": context deadline exceeded`; err == nil || err.Error() != want {
			t.Errorf("err = %v, want %v", err, want)
		}
	})
}

func TestInvalidMessageIsNamed(t *testing.T) {
	_, err := New(new(fake), Config{}).Queue("q").SendAll(t.Context(), []*Message{new(Message), {Delay: -1}})
	if err == nil || !strings.Contains(err.Error(), "message 1: ") {
		t.Errorf("err = %v", err)
	}
}

// A lone item is not numbered.
func TestLoneItemIsNotNumbered(t *testing.T) {
	ctx, q := t.Context(), New(new(fake), Config{}).Queue("q")
	one := func(_ string, err error) error { return err }
	several := func(_ []string, err error) error { return err }
	other := newDelivery(driver.Delivery{}, New(new(fake), Config{}).Queue("other"))
	tx := &TxQueue{queue: q}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"Send":       {one(q.Send(ctx, nil)), `mq: send "q": invalid argument: the message is nil`},
		"SendAll":    {several(q.SendAll(ctx, []*Message{nil})), `mq: send "q": invalid argument: the message is nil`},
		"Tx.Send":    {one(tx.Send(ctx, nil)), `mq: send "q": invalid argument: the message is nil`},
		"AckAll":     {tx.AckAll(ctx, []*Delivery{other}), `mq: ack "q": invalid argument: the Delivery is of queue "other"`},
		"AckAll two": {tx.AckAll(ctx, []*Delivery{other, other}), `mq: ack "q": delivery 0: invalid argument: the Delivery is of queue "other"`},
		"AckAll nil": {tx.AckAll(ctx, []*Delivery{nil}), `mq: settle: invalid argument: the Delivery is nil`},
		"Ack nil":    {(*Delivery)(nil).Ack(ctx), `mq: settle: invalid argument: the Delivery is nil`},
	} {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%s = %v, want %s", name, tt.err, tt.want)
		}
	}
}

func TestBadConnIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		f.send = func(_ context.Context, ms []driver.Message) ([]string, error) {
			if f.called("send") < 3 {
				return nil, fmt.Errorf("dial: %w", ErrBadConn)
			}
			return make([]string, len(ms)), nil
		}
		q := New(f, Config{}).Queue("q")
		if _, err := q.Send(t.Context(), new(Message)); err != nil {
			t.Error(err)
		}
		f.send = func(context.Context, []driver.Message) ([]string, error) { return nil, ErrBadConn }
		if _, err := q.Send(t.Context(), new(Message)); !errors.Is(err, ErrBadConn) || f.called("send") != 6 {
			t.Errorf("err = %v after %d calls", err, f.called("send"))
		}
		f.send = func(_ context.Context, ms []driver.Message) ([]string, error) {
			return make([]string, 2), &BatchError{Errs: []error{nil, ErrBadConn}}
		}
		if _, err := q.SendAll(t.Context(), []*Message{new(Message), new(Message)}); err == nil || errors.Is(err, ErrBadConn) || f.called("send") != 7 {
			t.Errorf("err = %v after %d calls: a batch that was applied in part was sent again", err, f.called("send"))
		}
	})
}

func TestWrongIDCountIsADefect(t *testing.T) {
	f := &fake{send: func(context.Context, []driver.Message) ([]string, error) { return nil, nil }}
	if _, err := New(f, Config{}).Queue("q").Send(t.Context(), new(Message)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
}

// TestPolling has a provider that does not wait.
func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := &fake{receive: func(context.Context, driver.ReceiveRequest) ([]driver.Delivery, error) {
			if time.Since(start) >= 10*time.Second {
				return numbered(1), nil
			}
			return nil, nil
		}}
		q := New(f, Config{}).Queue("q")
		ds, err := q.Receive(t.Context(), ReceiveOptions{Wait: 5 * time.Second})
		if len(ds) != 0 || err != nil || time.Since(start) < 5*time.Second || time.Since(start) > 5100*time.Millisecond {
			t.Errorf("Receive = %v, %v after %v", ds, err, time.Since(start))
		}
		if n := f.called("receive"); n < 8 || n > 25 {
			t.Errorf("%d polls in 5s", n)
		}
		ds, err = q.Receive(t.Context(), ReceiveOptions{Wait: Forever})
		if len(ds) != 1 || err != nil || time.Since(start) > 11300*time.Millisecond {
			t.Errorf("Receive = %v, %v after %v", ds, err, time.Since(start))
		}
		start = start.Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if ds, err = q.Receive(ctx, ReceiveOptions{Wait: Forever}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive = %v, %v", ds, err)
		}
		if _, err = q.Receive(t.Context(), ReceiveOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestVerify(t *testing.T) {
	f := &fake{stats: func() (Stats, error) { return Stats{}, nil }}
	c := New(f, Config{})
	if v := c.Verify(t.Context(), "a", "b"); v.Err() != nil || len(v.Healthy) != 2 {
		t.Errorf("%+v", v)
	}
	f.stats = func() (Stats, error) { return Stats{}, ErrQueueNotFound }
	if v := c.Verify(t.Context(), "a"); fmt.Sprint(v.Missing) != "[a]" || !errors.Is(v.Err(), ErrQueueNotFound) {
		t.Errorf("%+v", v)
	}
	f.stats = func() (Stats, error) { return Stats{}, ErrUnavailable }
	if v := c.Verify(t.Context(), "a"); v.Failed["a"] == nil || !errors.Is(v.Err(), ErrUnavailable) {
		t.Errorf("%+v", v)
	}
	if err := c.Verify(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(ctx context.Context, ms []driver.Message) ([]string, error) {
			return make([]string, len(ms)), sleep(ctx, time.Second)
		}}
		c := New(f, Config{})
		q := c.Queue("q")
		errs := make([]error, 5)
		wg := fleet(5, func(i int) { _, errs[i] = q.Send(t.Context(), new(Message)) })
		go func() { time.Sleep(1500 * time.Millisecond); _ = c.Close() }()
		wg.Wait()
		synctest.Wait()
		if err := errors.Join(errs...); err != nil || f.called("send") != 3 || f.called("close") != 1 {
			t.Errorf("%v, %d flights, %d closes", err, f.called("send"), f.called("close"))
		}
		if err := c.Close(); err != nil || f.called("close") != 1 {
			t.Errorf("second Close = %v, provider closed %d times", err, f.called("close"))
		}
		if _, err := q.Send(t.Context(), new(Message)); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close = %v", err)
		}
	})
}

func TestNewPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"nil provider": func() { New(nil, Config{}) },
		"bad config":   func() { New(new(fake), Config{CallTimeout: -1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if _, err := OpenConfig("mem://", Config{CallTimeout: -1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("OpenConfig = %v", err)
	}
}

func TestLogValueHidesTheBody(t *testing.T) {
	var log bytes.Buffer
	d := &Delivery{ID: "42", Message: Message{Body: []byte("hunter2"), Headers: Headers{"k": "hunter2"}}}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "message", d)
	if s := log.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, `"id":"42"`) {
		t.Errorf("logged %s", s)
	}
}

func TestForeverDoesNotOverflow(t *testing.T) {
	if Forever != math.MaxInt64 || time.Now().Add(Forever).Before(time.Now()) {
		t.Error("Forever overflows")
	}
}

func TestCloseEndsPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{receive: func(context.Context, driver.ReceiveRequest) ([]driver.Delivery, error) { return nil, nil }}
		c := New(f, Config{})
		start := time.Now()
		go func() { time.Sleep(10500 * time.Millisecond); _ = c.Close() }()
		_, err := c.Queue("q").Receive(t.Context(), ReceiveOptions{Wait: Forever})
		if !errors.Is(err, ErrClosed) || time.Since(start) != 10500*time.Millisecond {
			t.Errorf("Receive = %v after %v", err, time.Since(start))
		}
	})
}

func TestProvidersWaitAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var longest time.Duration
		f := &fake{receive: func(ctx context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			longest = max(longest, r.Wait)
			return nil, sleep(ctx, r.Wait)
		}}
		start := time.Now()
		ds, err := New(f, Config{}).Queue("q").Receive(t.Context(), ReceiveOptions{Wait: 150 * time.Second})
		if len(ds) != 0 || err != nil || time.Since(start) != 150*time.Second || longest != time.Minute || f.called("receive") != 3 {
			t.Errorf("%v, %v after %v, %d calls of up to %v", ds, err, time.Since(start), f.called("receive"), longest)
		}
	})
}

func TestDefaultVisibilityObeysTheLimits(t *testing.T) {
	for _, tt := range []struct {
		caps driver.Caps
		want time.Duration
	}{
		{driver.Caps{}, 30 * time.Second},
		{driver.Caps{MaxVisibility: 10 * time.Second}, 10 * time.Second},
		{driver.Caps{MaxVisibility: time.Hour, MaxHold: 20 * time.Second}, 20 * time.Second},
	} {
		var got time.Duration
		f := &fake{caps: tt.caps, receive: func(_ context.Context, r driver.ReceiveRequest) ([]driver.Delivery, error) {
			got = r.Visibility
			return nil, nil
		}}
		q := New(f, Config{}).Queue("q")
		if _, err := q.Receive(t.Context(), ReceiveOptions{}); err != nil || got != tt.want {
			t.Errorf("%+v: visibility %v, %v, want %v", tt.caps, got, err, tt.want)
		}
		if got := newConsumer(t, q, HandlerFunc(nil2), ConsumerConfig{}).cfg.Visibility; got != tt.want {
			t.Errorf("%+v: the Consumer's visibility is %v", tt.caps, got)
		}
	}
}

// namer is a fake with names, or a wrapper of one without.
type namer struct {
	fake
	err error
}

func (n *namer) QueueName(name string) (string, error) { return strings.ToLower(name), n.err }

func TestNamer(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
		is   error
	}{
		{nil, "orders", nil},
		{ErrNotSupported, "Orders", nil},
		{ErrInvalid, "Orders", ErrInvalid},
	} {
		q := New(&namer{err: tt.err}, Config{}).Queue("Orders")
		if _, err := q.Stats(t.Context()); q.Name() != tt.want || !errors.Is(err, tt.is) {
			t.Errorf("QueueName error %v: name %q, Stats %v", tt.err, q.Name(), err)
		}
	}
}
