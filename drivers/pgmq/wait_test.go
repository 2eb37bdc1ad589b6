package pgmq

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// TestPacing checks how long a receiver sleeps, and whether it claims then or
// looks only.
func TestPacing(t *testing.T) {
	const ms = time.Millisecond
	type look struct {
		visible bool
		due     time.Duration
		pause   time.Duration
		claims  bool
	}
	idle := func(pauses ...time.Duration) (ls []look) {
		for _, p := range pauses {
			ls = append(ls, look{false, -1, p, false})
		}
		return ls
	}
	locked := func(pauses ...time.Duration) (ls []look) {
		for _, p := range pauses {
			ls = append(ls, look{true, -1, p, true})
		}
		return ls
	}
	for _, tt := range []struct {
		name        string
		live, group bool
		looks       []look
	}{
		{"polling", false, false, idle(50*ms, 100*ms, 200*ms, 400*ms, 800*ms, time.Second, time.Second)},
		{"hearing", true, false, idle(backstop, backstop)},
		{"locked", true, false, locked(5*ms, 10*ms, 20*ms, 40*ms, 80*ms, 160*ms, 320*ms, 640*ms, time.Second, time.Second)},
		{"groups that are not free", true, true, locked(50*ms, 100*ms, 200*ms, 400*ms, 800*ms, time.Second, time.Second)},
		{"locked, then not", false, false, slices.Concat(locked(5*ms, 10*ms), idle(50*ms, 100*ms), locked(5*ms), idle(200*ms))},
		{"due soon", true, false, []look{{false, 0, ms, true}, {false, 30 * ms, 31 * ms, true}, {false, backstop - 1, backstop - 1 + ms, true}, {false, backstop, backstop, false}}},
		{"due, polling", false, false, []look{{false, 49 * ms, 50 * ms, true}, {false, 100 * ms, 100 * ms, false}, {false, time.Hour, 200 * ms, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := pacing{q: &queue{throttle: 250 * ms}, hub: &hub{live: true}, live: tt.live}
			for i, l := range tt.looks {
				if pause, claims := c.next(l.visible, tt.group, l.due); pause != l.pause || claims != l.claims {
					t.Errorf("look %d: it sleeps %v and claims: %v; want %v, %v", i, pause, claims, l.pause, l.claims)
				}
			}
		})
	}
}

// waits receives with a wait of two seconds, or more.
func (r *rig) waits(wait time.Duration) ([]driver.Delivery, error) {
	req := oneMinute
	req.Wait = wait
	return r.Receive(r.t.Context(), "jobs", req)
}

// claims adds a claim of nothing, or of a message.
func (r *rig) claims(ids ...int64) {
	var rows []values
	for _, id := range ids {
		rows = append(rows, leased(id))
	}
	r.answers(jobs.claim, rows...)
}

// looks adds probes that find nothing, n times.
func (r *rig) looks(n int) {
	for range n {
		r.answers(jobs.probe, values{false, nil})
	}
}

func (r *rig) dueIn(d time.Duration) { r.answers(jobs.probe, values{false, d.Microseconds()}) }
func (r *rig) visible()              { r.answers(jobs.probe, values{true, nil}) }

func at(what string, times ...time.Duration) (lines []string) {
	for _, d := range times {
		lines = append(lines, fmt.Sprintf("%v %s", d, what))
	}
	return lines
}

const ms = time.Millisecond

// TestReceiveWaits checks what a receiver that waits runs, and when.
func TestReceiveWaits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wait   time.Duration
		script func(r *rig)
		finds  bool
		want   []string
	}{
		{"at once", time.Second, func(r *rig) { r.claims(1) }, true, []string{"0s shape", "0s claim"}},
		{"never", 2 * time.Second, func(r *rig) {
			r.claims()
			r.looks(6)
		}, false, slices.Concat([]string{"0s shape", "0s claim"}, at("probe", 0, 50*ms, 150*ms, 350*ms, 750*ms, 1550*ms))},
		{"due", time.Minute, func(r *rig) {
			r.claims()
			r.dueIn(30 * ms)
			r.claims(1)
		}, true, []string{"0s shape", "0s claim", "0s probe", "31ms claim"}},
		{"due after the wait", 30 * ms, func(r *rig) {
			r.claims()
			r.dueIn(40 * ms)
			r.claims() // for what came in between
		}, false, []string{"0s shape", "0s claim", "0s probe", "30ms claim"}},
		{"far in the future", 30 * ms, func(r *rig) {
			r.claims()
			r.answers(jobs.probe, values{false, int64(1<<63 - 1)})
		}, false, []string{"0s shape", "0s claim", "0s probe"}},
		{"locked", time.Minute, func(r *rig) {
			for range 3 {
				r.claims()
				r.visible()
			}
			r.claims(1)
		}, true, []string{"0s shape", "0s claim", "0s probe", "5ms claim", "5ms probe", "15ms claim", "15ms probe", "35ms claim"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				tt.script(r)
				ds, err := r.waits(tt.wait)
				if r.must(err); (len(ds) > 0) != tt.finds {
					t.Errorf("it receives %v", ds)
				}
				r.follows(tt.want...)
				if took := time.Since(r.start); !tt.finds && took != tt.wait {
					t.Errorf("it waits for %v, want %v", took, tt.wait)
				}
				if h := r.hub("jobs"); len(h.plain) > 0 {
					t.Error("it does not leave")
				}
			})
		})
	}
}

// TestReceiveHears checks a receiver that hears of inserts: it looks rarely,
// but for a while after a wake-up, since the trigger may have kept one back.
func TestReceiveHears(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		hears(r.Provider)
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		r.claims()
		r.looks(3)
		r.claims()
		r.looks(5)
		r.claims(1)
		time.AfterFunc(15*time.Second, r.hub("jobs").wake)
		time.AfterFunc(24*time.Second, r.hub("jobs").wake)
		ds, err := r.waits(time.Minute)
		if r.must(err); len(ds) != 1 {
			t.Errorf("it receives %v", ds)
		}
		r.follows(slices.Concat([]string{"0s shape", "0s throttle", "0s claim"}, at("probe", 0, 7*time.Second, 14*time.Second),
			at("claim", 15*time.Second), at("probe", 15*time.Second, 15250*ms, 15500*ms, 15750*ms, 22750*ms), at("claim", 24*time.Second))...)
	})
}

// TestReceiveHearsNoMore: when the connection is lost receivers poll.
func TestReceiveHearsNoMore(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		hears(r.Provider)
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		r.claims()
		r.looks(1)
		r.claims()
		r.looks(3)
		time.AfterFunc(time.Second, r.listener.lost)
		_, err := r.waits(1300 * ms)
		r.must(err)
		r.follows(slices.Concat([]string{"0s shape", "0s throttle", "0s claim", "0s probe"}, at("claim", time.Second), at("probe", time.Second, 1050*ms, 1150*ms))...)
		if _, ok := r.queues.Load("jobs"); ok {
			t.Error("the triggers are not looked up again")
		}
	})
}

// TestReceiveWoken: a send of the same process wakes who waits, at once.
func TestReceiveWoken(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.claims()
		r.looks(1)
		r.answers(jobs.insertOneNotifying, values{int64(1)})
		r.claims(1)
		time.AfterFunc(10*ms, func() {
			_, err := r.Send(t.Context(), "jobs", []driver.Message{body("1")})
			r.must(err)
		})
		_, err := r.waits(time.Minute)
		r.must(err)
		r.follows("0s shape", "0s claim", "0s probe", "10ms insert notifying", "10ms claim")
	})
}

// TestReceiveHeadsWait: the groups may be free when a message has been settled,
// and a look that finds a message says nothing of its group.
func TestReceiveHeadsWait(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		q := r.known("jobs")
		g := groupingOf(layout113, driver.GroupBy{})
		claims := func(rows ...values) {
			r.answers(g.choose, values{int64(2), ""})
			r.answers(g.claim, rows...)
		}
		claims()
		r.visible()
		claims()
		r.visible()
		claims(leased(1, "g"))
		time.AfterFunc(70*ms, q.hub.wakeGroups)
		req := driver.GroupRequest{ReceiveRequest: oneMinute}
		req.Wait = time.Minute
		ds, err := r.ReceiveHeads(t.Context(), "jobs", req)
		if r.must(err); len(ds) != 1 || time.Since(r.start) != 70*ms {
			t.Errorf("it receives %v after %v", ds, time.Since(r.start))
		}
		if len(q.hub.groups) > 0 {
			t.Error("it does not leave")
		}
	})
}

// TestReceiveWaitEnds: by its ctx, by Close, and by an error.
func TestReceiveWaitEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(r *rig, cancel func())
		want   error
		after  time.Duration
	}{
		{"ctx", func(r *rig, cancel func()) {
			r.claims()
			r.looks(2)
			time.AfterFunc(70*ms, cancel)
		}, context.Canceled, 70 * ms},
		{"Close", func(r *rig, _ func()) {
			r.claims()
			r.looks(2)
			time.AfterFunc(70*ms, func() { _ = r.Close() })
		}, driver.ErrClosed, 70 * ms},
		{"a claim that fails", func(r *rig, _ func()) {
			r.claims()
			r.visible()
			r.add(jobs.claim, queued{err: pgxError("40P01", "ERROR", "")})
		}, driver.ErrBadConn, 5 * ms},
		{"a look that fails", func(r *rig, _ func()) {
			r.claims()
			r.looks(1)
			r.add(jobs.probe, queued{err: errLost})
		}, driver.ErrBadConn, 50 * ms},
		{"a queue that is dropped", func(r *rig, _ func()) {
			r.claims()
			r.add(jobs.probe, queued{err: pqError("42P01", "ERROR", "")})
		}, driver.ErrQueueNotFound, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				q := r.known("jobs")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tt.script(r, cancel)
				other := q.hub.join(false)
				req := oneMinute
				req.Wait = time.Minute
				ds, err := r.Receive(ctx, "jobs", req)
				requireErr(t, err, tt.want)
				if took := time.Since(r.start); ds != nil || took != tt.after {
					t.Errorf("it returns %v after %v, want %v", ds, took, tt.after)
				}
				if len(q.hub.plain) != 1 || !woke(other) {
					t.Error("it does not leave, or does not wake the next")
				}
				if _, ok := r.queues.Load("jobs"); ok && tt.want == driver.ErrQueueNotFound {
					t.Error("the queue is not looked up again")
				}
				r.released()
			})
		})
	}
}

// TestReceiveHoldsNothing: a receiver that waits holds no connection.
func TestReceiveHoldsNothing(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.known("jobs")
		r.claims()
		r.looks(1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = r.waits(40 * ms)
		}()
		synctest.Wait()
		r.released()
		r.must(r.Ping(t.Context()))
		<-done
	})
}
