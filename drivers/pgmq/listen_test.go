package pgmq

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

func TestReadTrigger(t *testing.T) {
	silent := layout113
	silent.notifies = false
	for _, tt := range []struct {
		name     string
		l        layout
		rows     []values
		fails    error
		throttle time.Duration
		channels []string
		log      string
	}{
		{"no trigger", silent, nil, nil, 0, []string{jobsChannel}, ""},
		{"no row", layout113, nil, nil, 0, []string{jobsChannel}, ""},
		{"250 ms", layout113, []values{{"jobs", int64(250)}}, nil, 250 * ms, []string{jobsChannel}, ""},
		{"no throttle", layout113, []values{{"jobs", int64(0)}}, nil, ms, []string{jobsChannel}, ""},
		{"two spellings", layout113, []values{{"Jobs", int64(100)}, {"jobs", int64(50)}}, nil, 100 * ms, []string{jobsChannel, "pgmq.q_Jobs.INSERT"}, ""},
		{"no right to", layout113, nil, pgxError("42501", "ERROR", ""), 0, []string{jobsChannel}, "receivers poll"},
		{"not a number", layout113, []values{{"jobs", secret}}, nil, 0, []string{jobsChannel}, "receivers poll"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				r.answers(sqlShape, tt.l.row())
				q := r.known("jobs")
				if tt.l.notifies {
					r.add(sqlThrottle, queued{rows: tt.rows, err: tt.fails})
				}
				hears(r.Provider)
				for range 2 { // it is read once
					if live := r.listen(t.Context(), q); live != (tt.throttle > 0) {
						t.Errorf("inserts are heard of: %v", live)
					}
				}
				if q.throttle != tt.throttle || !slices.Equal(q.channels, tt.channels) {
					t.Errorf("throttle %v, channels %q; want %v, %q", q.throttle, q.channels, tt.throttle, tt.channels)
				}
				unheard, _ := r.listener.changes()
				slices.Sort(unheard)
				slices.Sort(tt.channels)
				if !slices.Equal(unheard, tt.channels) {
					t.Errorf("it listens on %q", unheard)
				}
				if log := r.log.take(); (log == "") != (tt.log == "") || !strings.Contains(log, tt.log) || strings.Contains(log, "not a number: "+secret) {
					t.Errorf("it logs %q", log)
				}
				r.released()
			})
		})
	}
}

// TestReadTriggerEnded: a ctx that ends says nothing of the trigger.
func TestReadTriggerEnded(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		q := r.known("jobs")
		hears(r.Provider)
		if r.listen(canceled(), q) || q.known {
			t.Error("the trigger is believed to be known")
		}
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		if !r.listen(t.Context(), q) {
			t.Error("the trigger is not read again")
		}
	})
}

// TestReadTriggerHangs: a receiver whose ctx ends does not wait for another
// one's look at the trigger.
func TestReadTriggerHangs(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	p := (&fake{answer: func(_ context.Context, text string, _ values) ([]values, error) {
		if text == sqlShape {
			return []values{layout113.row()}, nil
		}
		close(asked)
		<-release
		return nil, nil
	}}).open(t)
	hears(p)
	q, err := p.attach(t.Context(), p.db, "jobs")
	if err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	first.Go(func() { p.listen(t.Context(), q) })
	<-asked
	done := make(chan struct{})
	go func() { p.listen(canceled(), q); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it waits")
	}
	close(release)
	<-done
	first.Wait()
}

func TestListenNot(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		q := r.known("jobs")
		if r.listen(t.Context(), q) {
			t.Error("without a DSN inserts are heard of")
		}
		r.listenConfig = fixedConfig(func() *pgx.ConnConfig { panic("it connects") })
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		r.must(r.Close())
		if r.listen(t.Context(), q) || r.listener != nil {
			t.Error("after Close it listens")
		}
	})
}

// TestListenerNotify: a notification wakes the receivers of its queue, and
// keeps those awake that come within the throttle.
func TestListenerNotify(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		l, h := newListener(r.Provider), r.hub("jobs")
		other := r.hub("other").join(false)
		h.setThrottle(time.Second)
		l.add("jobs", []string{jobsChannel, "pgmq.q_Jobs.INSERT"})
		l.add("other", []string{"pgmq.q_other.INSERT"})
		for _, ch := range []string{jobsChannel, "pgmq.q_Jobs.INSERT"} {
			w := h.join(false)
			if l.notify(ch); !woke(w) || woke(other) {
				t.Errorf("%s: the wrong receivers are woken", ch)
			}
			h.leave(w)
		}
		l.notify("unknown")
		if got := h.awakeUntil().Sub(r.start); got != 2*time.Second+minPoll {
			t.Errorf("receivers are awake for %v", got)
		}
	})
}

// TestListenerRedials: a server that is down is tried again, at first soon. Its
// errors go to the log, without the password.
func TestListenerRedials(t *testing.T) {
	noEnvironment(t)
	o := mustParse(t, "pgmq://app:hunter2@127.0.0.1/shop?sslmode=disable")
	onRig(t, func(t *testing.T, r *rig) {
		var dialed []time.Duration
		r.listenConfig = fixedConfig(func() *pgx.ConnConfig {
			cfg := o.conn.Copy()
			cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
			cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
				dialed = append(dialed, time.Since(r.start))
				return nil, errors.New("refused")
			}
			return cfg
		})
		q := r.known("jobs")
		r.answers(sqlThrottle, values{"jobs", int64(250)})
		if !r.listen(t.Context(), q) || q.hub.isLive() {
			t.Error("it does not listen, or believes that it hears of inserts")
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		r.must(r.Close())
		want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 12700 * ms, 22700 * ms, 32700 * ms}
		if !slices.Equal(dialed, want) {
			t.Errorf("it dials at %v, want %v", dialed, want)
		}
		log := r.log.take()
		if strings.Count(log, "receivers poll") != len(want) || strings.Contains(log, secret) || strings.Contains(log, "app") {
			t.Errorf("it logs %s", log)
		}
	})
}

// TestListenerHangs: Close does not wait for a server that does not answer.
func TestListenerHangs(t *testing.T) {
	noEnvironment(t)
	for name, begin := range map[string]func(*pgproto3.Backend){
		"connecting": func(*pgproto3.Backend) {},
		"LISTEN": func(b *pgproto3.Backend) {
			welcome(b)
			_, _ = b.Receive()
		},
	} {
		reached := make(chan struct{})
		addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
			begin(b)
			reached <- struct{}{}
			_, _ = b.Receive()
		})
		p := (&fake{answer: only(sqlShape, layoutAlone.row())}).open(t)
		p.listenConfig = fixedConfig(mustParse(t, "pgmq://app@"+addr+"/shop?sslmode=disable").conn.Copy)
		q, err := p.attach(t.Context(), p.db, "jobs")
		if err != nil {
			t.Fatal(err)
		}
		p.listen(t.Context(), q)
		<-reached
		closed := make(chan error)
		go func() { closed <- p.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: Close waits", name)
		}
	}
}
