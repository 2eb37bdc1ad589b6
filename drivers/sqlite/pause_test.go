package sqlite_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func (d desk) paused() (names []string) {
	d.Helper()
	all, err := d.Paused(d.Context())
	d.must(err)
	for _, p := range all {
		names = append(names, p.Queue)
	}
	return names
}

func TestPause(t *testing.T) {
	d := newDesk(t)
	d.must(d.EnsureQueue(t.Context(), "a", driver.QueueOptions{}))
	if names := d.paused(); len(names) != 0 {
		t.Errorf("paused at first: %v", names)
	}
	began := time.Now().Truncate(time.Microsecond)
	d.must(d.SetPaused(t.Context(), "q", true, "anna"))
	d.must(d.SetPaused(t.Context(), "a", true, ""))
	before, err := d.Paused(t.Context())
	if err != nil || len(before) != 2 || before[0].Queue != "a" || before[1].Queue != "q" || before[1].By != "anna" ||
		before[1].Since.Before(began) || before[1].Since.After(time.Now()) {
		t.Errorf("paused: %+v, %v", before, err)
	}
	d.must(d.SetPaused(t.Context(), "q", true, "bert")) // changes nothing
	if again, err := d.Paused(t.Context()); err != nil || !slices.Equal(again, before) {
		t.Errorf("paused again: %+v, %v, want %+v", again, err, before)
	}
	d.send(driver.Message{}) // and everything else works
	d.settle(driver.OpAck, "", d.lease(1, time.Hour)...)
	for range 2 {
		d.must(d.SetPaused(t.Context(), "a", false, "bert"))
	}
	if names := d.paused(); !slices.Equal(names, []string{"q"}) {
		t.Errorf("after one was resumed: %v", names)
	}
	d.must(d.DropQueue(t.Context(), "q"))
	d.must(d.EnsureQueue(t.Context(), "q", driver.QueueOptions{}))
	if names := d.paused(); len(names) != 0 {
		t.Errorf("a new queue is paused as the one before: %v", names)
	}
	for _, pause := range []bool{true, false} {
		if err := d.SetPaused(t.Context(), "missing", pause, ""); !errors.Is(err, driver.ErrQueueNotFound) {
			t.Errorf("pause %v of a missing queue: %v", pause, err)
		}
	}
}

// TestPauseElsewhere: what another process does is noticed by the reads between waits.
func TestPauseElsewhere(t *testing.T) {
	d := newDesk(t)
	db := openDB(t, d.path) // no provider of this process writes
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for want, text := range []string{"DELETE FROM mq_pause", "INSERT INTO mq_pause (queue, since, paused_by) VALUES (1, 1, 'other')"} {
		d.must(d.SetPaused(t.Context(), "q", want == 0, ""))
		run(t, db, text)
		for len(d.paused()) != want {
			d.must(d.AwaitPause(ctx, time.Hour))
		}
	}
}

// TestAwaitPauseEnds: it waits no longer than it is to, and than its ctx and the provider
// allow.
func TestAwaitPauseEnds(t *testing.T) {
	d := newDesk(t)
	d.must(d.AwaitPause(t.Context(), time.Hour))
	for _, wait := range []time.Duration{0, time.Millisecond} {
		d.must(d.AwaitPause(t.Context(), wait))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.AwaitPause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that has ended: %v", err)
	}
	d.must(d.Close())
	if err := d.AwaitPause(t.Context(), time.Hour); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("on a closed provider: %v", err)
	}
}
