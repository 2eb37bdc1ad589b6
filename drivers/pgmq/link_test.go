package pgmq

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuard: a connection that is waited for is abandoned some time after its
// ctx has ended, and not while it lasts, nor once it is released.
func TestGuard(t *testing.T) {
	for name, released := range map[string]bool{"waiting": false, "released": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer func() { _, _ = ours.Close(), theirs.Close() }()
				l := newLinks().join(ours)
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				release := l.guard(ctx, time.Second)
				defer release()
				time.AfterFunc(time.Hour, cancel)
				if released {
					time.AfterFunc(time.Hour+time.Second/2, release)
					time.AfterFunc(2*time.Hour, func() { _ = theirs.Close() })
				}
				_, err := l.Read(make([]byte, 1))
				took := time.Since(start)
				if released && (err != io.EOF || took != 2*time.Hour) || !released && (!errors.Is(err, os.ErrDeadlineExceeded) || took != time.Hour+time.Second) {
					t.Errorf("it reads %v after %v", err, took)
				}
			})
		})
	}
}

// TestJudge: a call without an answer casts doubt on connections that were
// silent for as long, if it waited for a while and gave up by itself.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name           string
		took           time.Duration
		fails, expires bool
		suspects       bool
	}{
		{"no answer", 5 * time.Second, true, true, true},
		{"no answer soon", silence / 2, true, true, false},
		{"given up by its caller", 5 * time.Second, true, false, false},
		{"an answer", 5 * time.Second, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLinks()
				old := s.join(nil)
				time.Sleep(time.Minute)
				ctx, cancel := context.WithCancel(t.Context())
				if tt.expires {
					ctx, cancel = context.WithTimeout(ctx, tt.took)
				}
				defer cancel()
				start := time.Now()
				time.Sleep(tt.took)
				synctest.Wait()
				fresh := s.join(nil)
				var err error
				if tt.fails {
					err = context.DeadlineExceeded
				}
				if s.checkSilence(ctx, start, err); s.suspects(old) != tt.suspects || s.suspects(fresh) {
					t.Errorf("it suspects the old one: %v, want %v; the fresh one: %v", s.suspects(old), tt.suspects, s.suspects(fresh))
				}
				s.checkSilence(ctx, start.Add(-time.Minute), err) // a call that began earlier
				if s.suspects(old) != tt.suspects {
					t.Error("an earlier call makes a difference")
				}
			})
		})
	}
}

// TestForget: what is kept for a queue is given up when it is dropped, or not
// there, and with it the channel; not while somebody waits for its messages.
func TestForget(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		hears(r.Provider)
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		r.listen(t.Context(), r.known("jobs"))
		if r.listener.wanted[jobsChannel] != "jobs" {
			t.Fatal("it does not listen")
		}
		_, w := r.join(r.known("jobs"), false)
		r.must(r.DropQueue(t.Context(), "jobs"))
		if r.hubs["jobs"] == nil || r.listener.wanted[jobsChannel] == "" {
			t.Error("a queue is forgotten that somebody waits for")
		}
		r.hubs["jobs"].leave(w)
		r.must(r.DropQueue(t.Context(), "jobs"))
		if _, known := r.queues.Load("jobs"); known || len(r.hubs) != 0 || len(r.listener.wanted) != 0 {
			t.Errorf("hubs %v and channels %v are left", r.hubs, r.listener.wanted)
		}
	})
}

// TestSweep: so it is when nobody has used the queue for long.
func TestSweep(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		time.Sleep(unusedFor)
		r.known("other")
		if _, known := r.queues.Load("jobs"); known || r.hubs["jobs"] != nil || r.hubs["other"] == nil {
			t.Errorf("hubs %v are left", r.hubs)
		}
	})
}

// TestHubNotifyCovers: a notification by a send is for what has been inserted
// before it, and not for what lands while the send is under way.
func TestHubNotifyCovers(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		h := r.hub("jobs")
		h.takeNotify()
		time.Sleep(notifyEvery)
		h.takeNotify()                // a send begins, and its statement takes the notification along
		h.inserted(r.Provider, false) // another one ends
		h.inserted(r.Provider, true)  // and then the first
		time.Sleep(2 * notifyEvery)
		synctest.Wait()
		if len(r.notified) != 1 {
			t.Errorf("%d notifications for what was inserted in between, want 1", len(r.notified))
		}
	})
}
