package pgmq

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

var hasBindings = statement("has bindings", nil)

// TestBindingsMade: the table of bindings is made where there is no PGMQ, by the first
// call that needs it, and never beside an older PGMQ.
func TestBindingsMade(t *testing.T) {
	bound := func(r *rig) error { return second(r.Bindings(r.ctx, "")) }
	makes := statement("make bindings", nil)
	for _, tt := range []struct {
		name             string
		there, functions bool
		run              func(*rig) error
		want             error
		made             bool
	}{
		{"there", true, true, bound, nil, false},
		{"ours", false, false, bound, nil, true},
		{"ours, to publish", false, false, publishes(body("1")), nil, true},
		{"ours, in a transaction", false, false, txPublishes(body("1")), nil, true},
		{"PGMQ 1.10", false, true, bound, driver.ErrNotSupported, false},
		{"PGMQ 1.10, to publish", false, true, publishes(body("1")), driver.ErrNotSupported, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call{answers: answers{hasBindings: {{tt.there, tt.functions}}}, conns: 2}
			r := newRig(t, c)
			err := tt.run(r)
			requireErr(t, err, tt.want)
			if err != nil && !strings.Contains(err.Error(), "ALTER EXTENSION pgmq UPDATE") {
				t.Errorf("error is %v", err)
			}
			if made := slices.Contains(r.texts(), makes); made != tt.made {
				t.Errorf("it runs %q", r.texts())
			}
			r.ran = nil
			if err = tt.run(r); err == nil && slices.Contains(r.texts(), hasBindings) {
				t.Error("it looks again")
			}
		})
	}
}

// TestBindingsRefused: a role that may not make the table gets a remedy.
func TestBindingsRefused(t *testing.T) {
	r := newRig(t, call{answers: answers{hasBindings: {{false, false}}}})
	r.add(statement("make bindings", nil), queued{err: pgxError("42501", "ERROR", "")})
	err := publishes(body("1"))(r)
	if requireErr(t, err, driver.ErrNotSupported); !strings.Contains(err.Error(), "pgmq.Install") {
		t.Errorf("error is %v", err)
	}
}

// TestBindingsForgotten: once the table is gone it is looked for again.
func TestBindingsForgotten(t *testing.T) {
	r := newRig(t, call{})
	r.must(publishes(body("1"))(r))
	r.add(statement("unbind", nil), queued{err: pgxError("42P01", "ERROR", "")})
	requireErr(t, r.Unbind(r.ctx, "jobs", "a.*"), driver.ErrQueueNotFound)
	r.ran = nil
	r.must(publishes(body("1"))(r))
	if !slices.Contains(r.texts(), hasBindings) {
		t.Errorf("it runs %q", r.texts())
	}
}

// TestBindRefused: a binding needs the queue's row in pgmq.meta.
func TestBindRefused(t *testing.T) {
	bind := statement("bind", nil)
	for _, tt := range []struct {
		name   string
		answer queued
		text   string
	}{
		{"no row", queued{}, "pgmq.Install"},
		{"dropped meanwhile", queued{err: pgxError("23503", "ERROR", "")}, driver.ErrQueueNotFound.Error()},
	} {
		r := newRig(t, call{})
		r.add(bind, tt.answer)
		err := r.Bind(r.ctx, "jobs", "a.*")
		if requireErr(t, err, driver.ErrQueueNotFound); !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error is %v", tt.name, err)
		}
	}
}

// TestBindingsSorted: byte by byte, which is not the order of every database.
func TestBindingsSorted(t *testing.T) {
	r := newRig(t, call{answers: answers{statement("bindings", nil): {{"b", "x"}, {"a", "b.#"}, {"a", "B"}, {"a-b", "x"}}}})
	got, err := r.Bindings(r.ctx, "")
	r.must(err)
	want := []driver.Binding{{Queue: "a", Pattern: "B"}, {Queue: "a", Pattern: "b.#"}, {Queue: "a-b", Pattern: "x"}, {Queue: "b", Pattern: "x"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
