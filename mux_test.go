package mq

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestMux(t *testing.T) {
	answer := func(s string) Handler {
		return HandlerFunc(func(context.Context, *Delivery) error { return errors.New(s) })
	}
	types := map[string]Handler{"placed": answer("placed"), "paid": answer("paid")}
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name    string
		mux     Mux
		headers Headers
		want    string
		dead    bool
	}{
		{"known", Mux{Types: types}, Headers{"type": "paid"}, "paid", false},
		{"unknown", Mux{Types: types}, Headers{"type": "lost"}, `there is no handler for messages of type "lost"`, true},
		{"untyped", Mux{Types: types}, nil, `the message has no type, which header "type" would tell`, true},
		{"long", Mux{Types: types}, Headers{"type": long}, `there is no handler for messages of type "` + long[:100] + `"`, true},
		{"default", Mux{Types: types, Default: answer("other")}, Headers{"type": "lost"}, "other", false},
		{"default for the untyped", Mux{Types: types, Default: answer("other")}, nil, "other", false},
		{"a handler for the untyped", Mux{Types: map[string]Handler{"": answer("untyped")}}, nil, "untyped", false},
		{"another header", Mux{Types: types, Header: "kind"}, Headers{"type": "paid", "kind": "placed"}, "placed", false},
		{"the other header is missing", Mux{Types: types, Header: "kind"}, Headers{"type": "paid"}, `the message has no type, which header "kind" would tell`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.mux.Handle(t.Context(), &Delivery{Message: Message{Headers: tt.headers}})
			if reject := (*rejectError)(nil); err == nil || err.Error() != tt.want || errors.As(err, &reject) != tt.dead {
				t.Errorf("Handle = %v, want %s; a dead letter: %t", err, tt.want, tt.dead)
			}
		})
	}
}

func TestMuxMisuse(t *testing.T) {
	c := New(newBackend(capable, 0), Config{})
	defer c.Close()
	ok := HandlerFunc(func(context.Context, *Delivery) error { return nil })
	for name, m := range map[string]Mux{
		"Mux.Types is empty":      {Default: ok},
		`nil handler for type ""`: {Types: map[string]Handler{"": nil}},
		`nil handler for type "x"`: {Types: map[string]Handler{
			"x": HandlerFunc(nil),
			"y": ok,
		}},
		"Mux.Default": {Types: map[string]Handler{"y": ok}, Default: HandlerFunc(nil)},
	} {
		wrap := ConsumerConfig{Middleware: []Middleware{func(h Handler) Handler {
			return HandlerFunc(func(ctx context.Context, d *Delivery) error { return h.Handle(ctx, d) })
		}}}
		for _, h := range []Handler{m, &m} {
			if _, err := NewConsumer(c.Queue("q"), h, wrap); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("NewConsumer: %v, want %q", err, name)
			}
		}
	}
	if _, err := NewConsumer(c.Queue("q"), (*Mux)(nil), ConsumerConfig{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("NewConsumer with a nil Mux: %v", err)
	}
}
