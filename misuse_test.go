package mq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestVerificationSaysTheSameEachTime(t *testing.T) {
	names := []string{"e", "c", "a", "d", "b", "f"}
	c := New(&fake{stats: func() (Stats, error) { return Stats{}, ErrUnavailable }}, Config{})
	first := c.Verify(t.Context(), names...).Err().Error()
	for range 20 {
		slices.Reverse(names)
		if got := c.Verify(t.Context(), names...).Err().Error(); got != first {
			t.Fatalf("Err = %s, before %s", got, first)
		}
	}
}

func TestOpenReturnsAnError(t *testing.T) {
	register(t, "refusing-for-test", refuser{})
	for _, dsn := range []string{"nosuch://", "nothing", "refusing-for-test://x"} {
		_, err := Open(dsn)
		e := (*Error)(nil)
		if !errors.As(err, &e) || e.Op != "open" || e.Err == nil {
			t.Errorf("Open(%q) = %#v", dsn, err)
		}
		if strings.Count(err.Error(), "mq: ") != 1 {
			t.Errorf("Open(%q) = %v", dsn, err)
		}
	}
	if _, err := Open("refusing-for-test://x"); !errors.Is(err, errBad) {
		t.Errorf("Open = %v", err)
	}
}

type refuser struct{}

func (refuser) Open(string, driver.Env) (Provider, error) { return nil, errBad }

// An interceptor may say that a message is sent.
func TestInterceptorInsteadOfASend(t *testing.T) {
	swallow := func(context.Context, *Call, func(context.Context) error) error { return nil }
	f := new(fake)
	q := Of[int](New(f, Config{Interceptors: []Interceptor{swallow}}).Queue("q"))
	if id, err := q.Send(t.Context(), 1); id != "" || err != nil || f.called("send") != 0 {
		t.Errorf("Send = %q, %v", id, err)
	}
}

// What was configured does not change with the caller's slices.
func TestConfigurationIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := 0
		count := func(ctx context.Context, _ *Call, next func(context.Context) error) error {
			seen++
			return next(ctx)
		}
		cfg := Config{Interceptors: []Interceptor{count}}
		c := New(new(fake), cfg)
		cfg.Interceptors[0] = func(context.Context, *Call, func(context.Context) error) error { return errBad }
		if err := c.Ping(t.Context()); err != nil || seen != 1 {
			t.Errorf("Ping = %v, %d calls seen", err, seen)
		}

		by := &GroupBy{Path: []string{"a"}}
		cc := ConsumerConfig{Groups: by}.withDefaults(driver.Caps{})
		by.Path[0] = "b"
		if got := cc.Groups.Path; len(got) != 1 || got[0] != "a" {
			t.Errorf("Groups = %v", got)
		}
		if (ConsumerConfig{Groups: ByGroup()}).withDefaults(driver.Caps{}).Groups.Path != nil {
			t.Error("by Message.Group became by path")
		}
	})
}

type ctxKey struct{}

// AckTx shows interceptors the context of its caller.
func TestAckTxHasItsCallersContext(t *testing.T) {
	var ops []string
	c := New(new(fake), Config{Interceptors: []Interceptor{func(ctx context.Context, c *Call, next func(context.Context) error) error {
		if ctx.Value(ctxKey{}) != nil {
			ops = append(ops, c.Op)
		}
		return next(ctx)
	}}})
	d := &Delivery{queue: c.Queue("q")}
	d.lease.begins(now(), time.Minute, 0)
	if err := d.AckTx(context.WithValue(t.Context(), ctxKey{}, 1), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("AckTx = %v", err)
	}
	if !slices.Equal(ops, []string{"ack"}) {
		t.Errorf("interceptors saw %v", ops)
	}
}
