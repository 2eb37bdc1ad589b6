package pgmq

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	hasTable  = statement("has table", nil)
	pauses    = statement("pause", nil)
	resumes   = statement("resume", nil)
	pausedAre = statement("paused", nil)
)

func (r *rig) setPaused(paused bool) error { return r.SetPaused(r.ctx, "jobs", paused, "me") }

// TestPausedMade: only a pause makes the table, and once it is there nobody looks for it.
func TestPausedMade(t *testing.T) {
	makes := statement("make paused", nil)
	r := newRig(t, call{answers: answers{
		hasTable: {{false}}, pauses: {{true, int64(1)}}, statement("has schema", nil): {{true, true, true, true, true, true, false, true}},
	}})
	all, err := r.Paused(r.ctx)
	if r.must(err); len(all) > 0 {
		t.Errorf("paused are %v", all)
	}
	r.must(r.setPaused(false))
	if slices.Contains(r.texts(), makes) {
		t.Errorf("it makes the table, by %q", r.texts())
	}
	r.must(r.setPaused(true))
	if !slices.Contains(r.texts(), makes) {
		t.Errorf("it does not make the table, by %q", r.texts())
	}
	r.ran = nil
	r.must(r.setPaused(true))
	if got := r.texts(); !slices.Equal(got, []string{pauses}) || !reflect.DeepEqual(r.ran[0].args, values{"jobs", pauseChannel, "me"}) {
		t.Errorf("it runs %q with %v", got, r.ran[0].args)
	}
}

// TestPausedMissing: a queue that is not there, whether anything was ever paused or not.
func TestPausedMissing(t *testing.T) {
	for _, there := range []bool{true, false} {
		r := newRig(t, call{answers: answers{hasTable: {{there}}, sqlShape: nil, pauses: {{false, int64(0)}}, resumes: {{false, int64(1)}}}})
		requireErr(t, r.setPaused(false), driver.ErrQueueNotFound)
		if there {
			requireErr(t, r.setPaused(true), driver.ErrQueueNotFound)
		}
	}
}

// TestPausedErrors: what a role may not do, and a table that is gone.
func TestPausedErrors(t *testing.T) {
	denied, gone, cut := pgxError("42501", "ERROR", ""), pgxError("42P01", "ERROR", ""), errLost
	for _, tt := range []struct {
		text string
		err  error
		run  func(*rig) error
		want error
		says string
	}{
		{statement("make paused", nil), denied, func(r *rig) error { return r.setPaused(true) }, driver.ErrNotSupported, "pgmq.Install"},
		{pauses, denied, func(r *rig) error { return r.setPaused(true) }, driver.ErrNotSupported, "GRANT SELECT, INSERT, DELETE"},
		{resumes, gone, func(r *rig) error { return r.setPaused(false) }, driver.ErrBadConn, "dropped"},
		{pausedAre, denied, func(r *rig) error { return second(r.Paused(r.ctx)) }, driver.ErrNotSupported, "GRANT"},
		{pausedAre, gone, func(r *rig) error { return second(r.Paused(r.ctx)) }, nil, ""},
		{pausedAre, cut, func(r *rig) error { return second(r.Paused(r.ctx)) }, driver.ErrBadConn, "lost"},
		{hasTable, cut, func(r *rig) error { return second(r.Paused(r.ctx)) }, driver.ErrBadConn, "lost"},
		{hasTable, cut, func(r *rig) error { return r.setPaused(false) }, driver.ErrBadConn, "lost"},
	} {
		there := !strings.HasPrefix(tt.text, "CREATE")
		r := newRig(t, call{answers: answers{hasTable: {{there}}, statement("has schema", nil): {{true, true, true, true, true, true, false, true}}}})
		r.add(tt.text, queued{err: tt.err})
		err := tt.run(r)
		if requireErr(t, err, tt.want); (err == nil) != (tt.want == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error is %v", tt.text, err)
		}
		if tt.err == gone && r.paused.there.Load() {
			t.Error("the table is not looked for again")
		}
	}
}

// TestPausedHangs: the calls end by themselves.
func TestPausedHangs(t *testing.T) {
	for _, text := range []string{hasTable, pausedAre} {
		onRig(t, func(t *testing.T, r *rig) {
			if text != hasTable {
				r.answers(hasTable, values{true})
			}
			r.add(text, queued{took: time.Hour})
			_, err := r.Paused(r.ctx)
			requireErr(t, err, driver.ErrBadConn)
			if took := time.Since(r.start); took > probeLimit+time.Second {
				t.Errorf("it takes %v", took)
			}
		})
	}
}

// awaits returns how AwaitPause ends, and after how long.
func (r *rig) awaits(ctx context.Context, d time.Duration) (time.Duration, error) {
	start := time.Now()
	err := r.AwaitPause(ctx, d)
	return time.Since(start), err
}

// TestAwaitPause: it ends with a notification, a new connection, its ctx, Close or in time.
func TestAwaitPause(t *testing.T) {
	for _, tt := range []struct {
		name   string
		happen func(r *rig, l *listener, cancel func())
		after  time.Duration
		want   error
	}{
		{"nothing", func(*rig, *listener, func()) {}, time.Minute, nil},
		{"another channel", func(_ *rig, l *listener, _ func()) { l.notify(jobsChannel) }, time.Minute, nil},
		{"the connection is lost", func(_ *rig, l *listener, _ func()) { l.lost() }, time.Minute, nil},
		{"notified", func(_ *rig, l *listener, _ func()) { l.notify(pauseChannel) }, time.Second, nil},
		{"connected again", func(_ *rig, l *listener, _ func()) { _ = l.setProven() }, time.Second, nil},
		{"paused here", func(r *rig, _ *listener, _ func()) { _ = r.setPaused(true) }, time.Second, nil},
		{"its ctx ends", func(_ *rig, _ *listener, cancel func()) { cancel() }, time.Second, context.Canceled},
		{"closed", func(r *rig, _ *listener, _ func()) { _ = r.Close() }, time.Second, driver.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				r.call.answers = answers{hasTable: {{true}}, pauses: {{true, int64(1)}}}
				hears(r.Provider)
				l := r.listener
				l.addPauses()
				l.caughtUp([]string{pauseChannel, jobsChannel}, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Second, func() { tt.happen(r, l, cancel) })
				took, err := r.awaits(ctx, time.Minute)
				requireErr(t, err, tt.want)
				if took != tt.after {
					t.Errorf("it takes %v, want %v", took, tt.after)
				}
				l.notify(pauseChannel) // nobody waits
				if took, _ := r.awaits(t.Context(), time.Minute); took > 0 {
					t.Errorf("what came between two calls ends the second one after %v", took)
				}
			})
		})
	}
}

// TestAwaitPausePolling: without a connection that listens it waits.
func TestAwaitPausePolling(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		if took, err := r.awaits(t.Context(), time.Minute); err != nil || took != time.Minute {
			t.Errorf("it ends after %v: %v", took, err)
		}
		_, err := r.awaits(canceled(), time.Minute)
		requireErr(t, err, context.Canceled)
		r.must(r.Close())
		_, err = r.awaits(t.Context(), time.Minute)
		requireErr(t, err, driver.ErrClosed)
	})
}
