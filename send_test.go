package mq

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// A lone message has an error of its own, inside of interceptors and without.
func TestSendAlone(t *testing.T) {
	refuse := func(context.Context, []driver.Message) ([]string, error) {
		return []string{""}, &BatchError{Errs: []error{ErrTooLarge}}
	}
	ignore := func(ctx context.Context, _ *Call, next func(context.Context) error) error { return next(ctx) }
	for name, cfg := range map[string]Config{"plain": {}, "intercepted": {Interceptors: []Interceptor{ignore}}} {
		q := New(&fake{send: refuse}, cfg).Queue("q")
		id, err := q.Send(t.Context(), new(Message))
		var batch *BatchError
		if id != "" || !errors.Is(err, ErrTooLarge) || errors.As(err, &batch) || strings.Contains(err.Error(), "1 of 1") {
			t.Errorf("%s: Send returned %q, %v", name, id, err)
		}
	}
}

func TestSendNil(t *testing.T) {
	q := New(new(fake), Config{}).Queue("q")
	if _, err := q.Send(t.Context(), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("Send of nil: %v", err)
	}
	if ids, err := q.SendAll(t.Context(), nil); len(ids) != 0 || err != nil {
		t.Errorf("SendAll of nothing: %q, %v", ids, err)
	}
}
