package pgmq

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestEnsureQueueInterval: the interval of the trigger is in milliseconds, and
// never 0, with which senders would wait for each other.
func TestEnsureQueueInterval(t *testing.T) {
	row := statement("make throttle row", nil)
	for _, tt := range []struct {
		has   values
		every time.Duration
		want  int64 // 0: there is no trigger
	}{
		{pgmqThere, 0, 250},
		{pgmqThere, 2 * time.Second, 2000},
		{pgmqThere, time.Microsecond, 1},
		{pgmqThere, -1, 0},
		{values{true, false, true, true}, 0, 0}, // before 1.8, or no right to make the trigger
		{pgmqMissing, 0, 250},
		{pgmqMissing, time.Second, 1000},
		{pgmqMissing, time.Microsecond, 1},
		{pgmqMissing, -1, 0},
	} {
		r := newRig(t, call{missing: true, answers: answers{statement("has pgmq", nil): {tt.has}}})
		if err := r.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{NotifyInterval: tt.every}); err != nil {
			t.Fatal(err)
		}
		var got int64
		for _, e := range r.ran {
			switch {
			case e.text == row:
				got = e.args[1].(int64)
			case strings.HasPrefix(e.text, "CREATE TRIGGER") && !strings.HasSuffix(e.text, fmt.Sprintf(`(E'jobs', '%d')`, tt.want)):
				t.Errorf("interval %v: %s", tt.every, e.text)
			}
		}
		if got != tt.want {
			t.Errorf("PGMQ is %v, interval %v: the trigger has %d ms, want %d", tt.has, tt.every, got, tt.want)
		}
	}
}

// TestEnsureQueueArchive: a queue that lacks only its archive gets that, keeps
// its trigger, and is looked up again.
func TestEnsureQueueArchive(t *testing.T) {
	alone := layout113
	alone.archive = ""
	r := newRig(t, call{answers: answers{sqlShape: {alone.row()}, statement("has pgmq", nil): {pgmqMissing}}})
	r.known("jobs")
	if err := r.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	texts := r.texts()
	if !slices.Contains(texts, statement("make archive", alone.names("jobs"))) || strings.Contains(strings.Join(texts, "\n"), "CREATE TRIGGER") {
		t.Errorf("it runs %q", texts)
	}
	if _, ok := r.queues.Load("jobs"); ok {
		t.Error("the queue is not looked up again")
	}
}

// TestEnsureQueueNames: a name that PGMQ does not take for a new queue may be
// that of an old one.
func TestEnsureQueueNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", maxNewName+1), "a$b", "a;b", "a'b", "a--b"} {
		r := newRig(t, call{missing: true})
		requireErr(t, r.EnsureQueue(t.Context(), name, driver.QueueOptions{}), driver.ErrInvalid)
		r.made = true
		if err := r.EnsureQueue(t.Context(), name, driver.QueueOptions{}); err != nil || len(r.ran) != 3 {
			t.Errorf("queue %q: it runs %q: %v", name, r.texts(), err)
		}
	}
}

// TestEnsureQueueGroupIndexes: what is there is left alone, and what is made is
// looked up.
func TestEnsureQueueGroupIndexes(t *testing.T) {
	group, lease := groupIndexes("jobs", driver.GroupBy{})
	for _, tt := range []struct{ there, made []string }{
		{nil, []string{group, lease}},
		{[]string{group}, []string{lease}},
		{[]string{lease}, []string{group}},
		{[]string{group, lease}, nil},
	} {
		l := layout113
		l.indexes = strings.Join(append(tt.there, l.indexes), ",")
		r := newRig(t, call{answers: answers{sqlShape: {l.row()}}})
		r.known("jobs")
		if err := r.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{GroupIndexes: []driver.GroupBy{{}}}); err != nil {
			t.Fatal(err)
		}
		var made []string
		for _, text := range r.texts() {
			if strings.HasPrefix(text, "CREATE INDEX") {
				made = append(made, strings.Split(text, `"`)[1])
			}
		}
		if _, known := r.queues.Load("jobs"); known || !slices.Equal(made, tt.made) {
			t.Errorf("with %q it makes %q, want %q; known: %v", tt.there, made, tt.made, known)
		}
	}
}
