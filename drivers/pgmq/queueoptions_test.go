package pgmq

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestQueueOptionsInvalid: before any I/O.
func TestQueueOptionsInvalid(t *testing.T) {
	for name, o := range map[string]driver.QueueOptions{
		"a negative interval": asks(QueueOptions{NotifyInterval: -2}),
		"an interval above":   asks(QueueOptions{NotifyInterval: 30 * 24 * time.Hour}),
		"both":                asks(QueueOptions{Unlogged: true, Partitioned: new(Partitioning)}),
		"a pointer":           {Drivers: []driver.DriverOptions{new(QueueOptions)}},
	} {
		r := newRig(t, call{missing: true})
		if err := r.EnsureQueue(t.Context(), "jobs", o); len(r.ran) > 0 {
			t.Errorf("%s: it runs %q", name, r.texts())
		} else {
			checkIs(t, name, err, driver.ErrInvalid)
		}
	}
}

// TestQueueOptionsImpossible: what a database cannot do is refused before anything
// is made.
func TestQueueOptionsImpossible(t *testing.T) {
	old := values{true, false, true, true, false, false}
	for _, tt := range []struct {
		name, remedy string
		has          values
		o            QueueOptions
	}{
		{"an interval before 1.8", "needs PGMQ 1.8", old, QueueOptions{NotifyInterval: time.Second}},
		{"unlogged without the function", "upgrade", old, QueueOptions{Unlogged: true}},
		{"partitions without PGMQ", "CREATE EXTENSION pg_partman", pgmqMissing, QueueOptions{Partitioned: new(Partitioning)}},
		{"partitions without pg_partman", "CREATE EXTENSION pg_partman", old, QueueOptions{Partitioned: new(Partitioning)}},
	} {
		r := newRig(t, call{missing: true, answers: answers{statement("has pgmq", nil): {tt.has}}})
		err := r.EnsureQueue(t.Context(), "jobs", asks(tt.o))
		if checkIs(t, tt.name, err, driver.ErrNotSupported); err == nil || !strings.Contains(err.Error(), tt.remedy) {
			t.Errorf("%s: the error does not help: %v", tt.name, err)
		}
		for _, text := range r.texts() {
			if strings.Contains(text, "CREATE TABLE") || strings.Contains(text, "pgmq.create") && !strings.Contains(text, "to_regprocedure") {
				t.Errorf("%s: it runs %s", tt.name, text)
			}
		}
	}
}

// TestQueueOptionsCreate: what makes a queue, and with which arguments.
func TestQueueOptionsCreate(t *testing.T) {
	unlogged := layout113.names("jobs")
	unlogged.Unlogged = true
	for _, tt := range []struct {
		has  values
		o    QueueOptions
		text string
		args values
	}{
		{pgmqThere, QueueOptions{}, statement("pgmq create", nil), values{"jobs"}},
		{pgmqThere, QueueOptions{Unlogged: true}, statement("pgmq create unlogged", nil), values{"jobs"}},
		{pgmqMissing, QueueOptions{Unlogged: true}, statement("make queue", unlogged), values{}},
		{pgmqThere, QueueOptions{Partitioned: new(Partitioning)}, statement("pgmq create partitioned", nil), values{"jobs", "10000", "100000"}},
		{pgmqThere, QueueOptions{Partitioned: &Partitioning{"1 day", "7 days"}}, statement("pgmq create partitioned", nil), values{"jobs", "1 day", "7 days"}},
	} {
		r := newRig(t, call{missing: true, answers: answers{statement("has pgmq", nil): {tt.has}}})
		r.must(r.EnsureQueue(t.Context(), "jobs", asks(tt.o)))
		i := slices.Index(r.texts(), tt.text)
		if i < 0 || !slices.Equal(r.ran[i].args, tt.args) {
			t.Errorf("%+v: it does not run %s with %v, but %q", tt.o, tt.text, tt.args, r.texts())
		}
		tuned := slices.Contains(r.texts(), statement("tune queue", layout113.names("jobs")))
		if tuned == (tt.o.Partitioned != nil) { // a partitioned table has no such settings
			t.Errorf("%+v: tuned: %v", tt.o, tuned)
		}
	}
}

// TestNotifyInterval: an existing queue's trigger is left alone if it has the
// interval, and is else made again.
func TestNotifyInterval(t *testing.T) {
	silent := layout113
	silent.notifies = false
	for _, tt := range []struct {
		name  string
		l     layout
		every int64 // of our trigger, 0 if it is none
		row   int64 // of the throttle
		asks  time.Duration
		want  string // the interval that is set, or what else
	}{
		{"not asked for", layout113, 250, 250, 0, "nothing"},
		{"the same", layout113, 250, 250, 250 * time.Millisecond, "nothing"},
		{"another", layout113, 250, 250, time.Second, "'1000'"},
		{"another row", layout113, 250, 100, 250 * time.Millisecond, "'250'"},
		{"PGMQ's trigger", layout113, 0, 250, 250 * time.Millisecond, "'250'"},
		{"no trigger", silent, 0, 0, time.Second, "'1000'"},
		{"no trigger wanted", silent, 0, 0, NoNotify, "nothing"},
		{"a trigger not wanted", layout113, 250, 250, NoNotify, "drop"},
	} {
		r := newRig(t, call{answers: answers{
			sqlShape: {tt.l.row()}, sqlThrottle: {{"jobs", tt.row}}, statement("condition", nil): {{false, false, true, false, tt.every}},
			statement("spelling", nil): {{"Jobs"}},
		}})
		r.must(r.EnsureQueue(t.Context(), "jobs", asks(QueueOptions{NotifyInterval: tt.asks})))
		all := strings.Join(r.texts(), "\n")
		dropped, made := strings.Contains(all, "DROP TRIGGER"), strings.Contains(all, "CREATE TRIGGER")
		if dropped != (tt.want != "nothing") || made != strings.HasPrefix(tt.want, "'") || made && !strings.Contains(all, "(E'Jobs', "+tt.want+")") {
			t.Errorf("%s: want %s, it runs %s", tt.name, tt.want, all)
		}
	}
}
