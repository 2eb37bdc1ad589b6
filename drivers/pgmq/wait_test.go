package pgmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

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
			c := pacing{q: &queue{hub: &hub{live: true}, throttle: 250 * ms}, live: tt.live}
			for i, l := range tt.looks {
				if pause, claims := c.next(l.visible, tt.group, l.due); pause != l.pause || claims != l.claims {
					t.Errorf("look %d: it sleeps %v and claims: %v; want %v, %v", i, pause, claims, l.pause, l.claims)
				}
			}
		})
	}
}

// waits receives with a wait of two seconds, or more.
func (m *mock) waits(wait time.Duration) ([]driver.Delivery, error) {
	r := oneMinute
	r.Wait = wait
	return m.Receive(m.t.Context(), "jobs", r)
}

// claims adds a claim of nothing, or of a message.
func (m *mock) claims(ids ...int64) {
	var rows []values
	for _, id := range ids {
		rows = append(rows, leased(id))
	}
	m.answers(jobs.claim, values{10, 60_000_000}, rows...)
}

// looks adds probes that find nothing, n times.
func (m *mock) looks(n int) {
	for range n {
		m.answers(jobs.probe, nil, values{false, nil})
	}
}

func (m *mock) dueIn(d time.Duration) { m.answers(jobs.probe, nil, values{false, d.Microseconds()}) }
func (m *mock) visible()              { m.answers(jobs.probe, nil, values{true, nil}) }

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
		script func(m *mock)
		finds  bool
		want   []string
	}{
		{"at once", time.Second, func(m *mock) { m.claims(1) }, true, []string{"0s shape", "0s claim"}},
		{"never", 2 * time.Second, func(m *mock) {
			m.claims()
			m.looks(6)
		}, false, slices.Concat([]string{"0s shape", "0s claim"}, at("probe", 0, 50*ms, 150*ms, 350*ms, 750*ms, 1550*ms))},
		{"due", time.Minute, func(m *mock) {
			m.claims()
			m.dueIn(30 * ms)
			m.claims(1)
		}, true, []string{"0s shape", "0s claim", "0s probe", "31ms claim"}},
		{"due later", time.Minute, func(m *mock) {
			m.claims()
			for _, d := range []time.Duration{1200 * ms, 1150 * ms, 1050 * ms, 850 * ms, 450 * ms} {
				m.dueIn(d)
			}
			m.claims(1)
		}, true, slices.Concat([]string{"0s shape", "0s claim"}, at("probe", 0, 50*ms, 150*ms, 350*ms, 750*ms), at("claim", 1201*ms))},
		{"due after the wait", 30 * ms, func(m *mock) {
			m.claims()
			m.dueIn(40 * ms)
			m.claims() // for what came in between
		}, false, []string{"0s shape", "0s claim", "0s probe", "30ms claim"}},
		{"far in the future", 30 * ms, func(m *mock) {
			m.claims()
			m.answers(jobs.probe, nil, values{false, int64(1<<63 - 1)})
		}, false, []string{"0s shape", "0s claim", "0s probe"}},
		{"locked", time.Minute, func(m *mock) {
			for range 3 {
				m.claims()
				m.visible()
			}
			m.claims(1)
		}, true, []string{"0s shape", "0s claim", "0s probe", "5ms claim", "5ms probe", "15ms claim", "15ms probe", "35ms claim"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.shape("jobs", layout113)
				tt.script(m)
				ds, err := m.waits(tt.wait)
				if m.must(err); (len(ds) > 0) != tt.finds {
					t.Errorf("it receives %v", ds)
				}
				m.timeline(tt.want...)
				if took := time.Since(m.start); !tt.finds && took != tt.wait {
					t.Errorf("it waits for %v, want %v", took, tt.wait)
				}
				if h := m.hub("jobs"); len(h.plain) > 0 {
					t.Error("it does not leave")
				}
			})
		})
	}
}

// TestReceiveFindsByPolling: a message that a look finds is claimed at once.
func TestReceiveFindsByPolling(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.claims()
		m.looks(1)
		m.visible()
		m.claims(1)
		_, err := m.waits(time.Minute)
		m.must(err)
		if took := time.Since(m.start); took > minPoll+lockedPoll {
			t.Errorf("it takes %v", took)
		}
	})
}

// TestReceiveHears checks a receiver that hears of inserts: it looks rarely,
// but for a while after a wake-up, since the trigger may have kept one back.
func TestReceiveHears(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		hears(m.Provider)
		m.shape("jobs", layout113)
		m.answers(sqlThrottle, values{"jobs"}, values{"jobs", int64(250)})
		m.claims()
		m.looks(3)
		m.claims()
		m.looks(5)
		m.claims(1)
		time.AfterFunc(15*time.Second, m.hub("jobs").wake)
		time.AfterFunc(24*time.Second, m.hub("jobs").wake)
		ds, err := m.waits(time.Minute)
		if m.must(err); len(ds) != 1 {
			t.Errorf("it receives %v", ds)
		}
		m.timeline(slices.Concat([]string{"0s shape", "0s throttle", "0s claim"}, at("probe", 0, 7*time.Second, 14*time.Second),
			at("claim", 15*time.Second), at("probe", 15*time.Second, 15250*ms, 15500*ms, 15750*ms, 22750*ms), at("claim", 24*time.Second))...)
	})
}

// TestReceiveHearsNoMore: when the connection is lost receivers poll.
func TestReceiveHearsNoMore(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		hears(m.Provider)
		m.shape("jobs", layout113)
		m.answers(sqlThrottle, values{"jobs"}, values{"jobs", int64(250)})
		m.claims()
		m.looks(1)
		m.claims()
		m.looks(3)
		time.AfterFunc(time.Second, m.listener.deaf)
		_, err := m.waits(1300 * ms)
		m.must(err)
		m.timeline(slices.Concat([]string{"0s shape", "0s throttle", "0s claim", "0s probe"}, at("claim", time.Second), at("probe", time.Second, 1050*ms, 1150*ms))...)
		if _, ok := m.queues.Load("jobs"); ok {
			t.Error("the triggers are not looked up again")
		}
	})
}

// TestReceiveWoken: a send of the same process wakes who waits, at once.
func TestReceiveWoken(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.claims()
		m.looks(1)
		m.answers(jobs.insertOneNotifying, values{0, "1", nil, jobsChannel}, values{int64(1)})
		m.claims(1)
		time.AfterFunc(10*ms, func() {
			_, err := m.Send(t.Context(), "jobs", []driver.Message{body("1")})
			m.must(err)
		})
		_, err := m.waits(time.Minute)
		m.must(err)
		m.timeline("0s shape", "0s claim", "0s probe", "10ms insert notifying", "10ms claim")
	})
}

// TestReceiveGroupsWait: the groups may be free when a message has been settled,
// and a look that finds a message says nothing of its group.
func TestReceiveGroupsWait(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		g := groupingOf(layout113, driver.GroupBy{})
		claims := func(rows ...values) {
			m.ExpectBegin()
			m.answers(g.choose, values{10}, values{"[]", ""})
			m.answers(g.claim, values{10, 60_000_000}, rows...)
			m.ExpectCommit()
		}
		claims()
		m.visible()
		claims()
		m.visible()
		claims(leased(1, "g"))
		time.AfterFunc(70*ms, q.hub.wakeGroups)
		r := driver.GroupRequest{ReceiveRequest: oneMinute}
		r.Wait = time.Minute
		ds, err := m.ReceiveGroups(t.Context(), "jobs", r)
		if m.must(err); len(ds) != 1 || time.Since(m.start) != 70*ms {
			t.Errorf("it receives %v after %v", ds, time.Since(m.start))
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
		script func(m *mock, cancel func())
		want   error
		after  time.Duration
	}{
		{"ctx", func(m *mock, cancel func()) {
			m.claims()
			m.looks(2)
			time.AfterFunc(70*ms, cancel)
		}, context.Canceled, 70 * ms},
		{"Close", func(m *mock, _ func()) {
			m.claims()
			m.looks(2)
			time.AfterFunc(70*ms, func() { _ = m.Close() })
		}, driver.ErrClosed, 70 * ms},
		{"a claim that fails", func(m *mock, _ func()) {
			m.claims()
			m.visible()
			m.fails(jobs.claim, values{10, 60_000_000}, pgxError("40P01", "ERROR", ""))
		}, driver.ErrBadConn, 5 * ms},
		{"a look that fails", func(m *mock, _ func()) {
			m.claims()
			m.looks(1)
			m.fails(jobs.probe, nil, errLost)
		}, driver.ErrBadConn, 50 * ms},
		{"a queue that is dropped", func(m *mock, _ func()) {
			m.claims()
			m.fails(jobs.probe, nil, pqError("42P01", "ERROR", ""))
		}, driver.ErrQueueNotFound, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				q := m.known("jobs", layout113)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tt.script(m, cancel)
				other := q.hub.join(false)
				r := oneMinute
				r.Wait = time.Minute
				ds, err := m.Receive(ctx, "jobs", r)
				requireErr(t, err, tt.want)
				if took := time.Since(m.start); ds != nil || took != tt.after {
					t.Errorf("it returns %v after %v, want %v", ds, took, tt.after)
				}
				if len(q.hub.plain) != 1 || !woke(other) {
					t.Error("it does not leave, or does not wake the next")
				}
				if _, ok := m.queues.Load("jobs"); ok && tt.want == driver.ErrQueueNotFound {
					t.Error("the queue is not looked up again")
				}
				m.released()
			})
		})
	}
}

// TestReceiveHoldsNothing: a receiver that waits holds no connection.
func TestReceiveHoldsNothing(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.claims()
		m.looks(1)
		m.answers(sqlPing, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.waits(40 * ms)
		}()
		synctest.Wait()
		m.released()
		m.must(m.Ping(t.Context()))
		<-done
	})
}

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
			mocked(t, func(t *testing.T, m *mock) {
				q := m.known("jobs", tt.l)
				switch {
				case tt.fails != nil:
					m.fails(sqlThrottle, values{"jobs"}, tt.fails)
				case tt.l.notifies:
					m.answers(sqlThrottle, values{"jobs"}, tt.rows...)
				}
				hears(m.Provider)
				for range 2 { // it is read once
					if live := m.listen(t.Context(), q); live != (tt.throttle > 0) {
						t.Errorf("inserts are heard of: %v", live)
					}
				}
				if q.throttle != tt.throttle || !slices.Equal(q.channels, tt.channels) {
					t.Errorf("throttle %v, channels %q; want %v, %q", q.throttle, q.channels, tt.throttle, tt.channels)
				}
				unheard := m.listener.unheard()
				slices.Sort(unheard)
				slices.Sort(tt.channels)
				if !slices.Equal(unheard, tt.channels) {
					t.Errorf("it listens on %q", unheard)
				}
				if log := m.log.take(); (log == "") != (tt.log == "") || !strings.Contains(log, tt.log) || strings.Contains(log, "not a number: "+secret) {
					t.Errorf("it logs %q", log)
				}
				m.released()
			})
		})
	}
}

// TestReadTriggerEnded: a ctx that ends says nothing of the trigger.
func TestReadTriggerEnded(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		hears(m.Provider)
		if m.listen(canceled(), q) || q.known {
			t.Error("the trigger is believed to be known")
		}
		m.answers(sqlThrottle, values{"jobs"}, values{"jobs", int64(250)})
		if !m.listen(t.Context(), q) {
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
	case <-time.After(5 * time.Second):
		t.Error("it waits")
	}
	close(release)
	<-done
	first.Wait()
}

func TestListenNot(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		if m.listen(t.Context(), q) {
			t.Error("without a DSN inserts are heard of")
		}
		m.listenConfig = func() *pgx.ConnConfig { panic("it connects") }
		m.answers(sqlThrottle, values{"jobs"}, values{"jobs", int64(250)})
		m.must(m.Close())
		if m.listen(t.Context(), q) || m.listener != nil {
			t.Error("after Close it listens")
		}
	})
}

// TestListenerNotify: a notification wakes the receivers of its queue, and
// keeps those awake that come within the throttle.
func TestListenerNotify(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		l, h := newListener(m.Provider), m.hub("jobs")
		other := m.hub("other").join(false)
		h.setThrottle(time.Second)
		l.add([]string{jobsChannel, "pgmq.q_Jobs.INSERT"}, h)
		l.add([]string{"pgmq.q_other.INSERT"}, m.hub("other"))
		for _, ch := range []string{jobsChannel, "pgmq.q_Jobs.INSERT"} {
			w := h.join(false)
			if l.notify(ch); !woke(w) || woke(other) {
				t.Errorf("%s: the wrong receivers are woken", ch)
			}
			h.leave(w)
		}
		l.notify("unknown")
		if got := h.awakeUntil().Sub(m.start); got != 2*time.Second+minPoll {
			t.Errorf("receivers are awake for %v", got)
		}
	})
}

// TestListenerRedials: a server that is down is tried again, at first soon. Its
// errors go to the log, without the password.
func TestListenerRedials(t *testing.T) {
	noEnvironment(t)
	o := mustParse(t, "pgmq://app:hunter2@127.0.0.1/shop?sslmode=disable")
	mocked(t, func(t *testing.T, m *mock) {
		var dialed []time.Duration
		m.listenConfig = func() *pgx.ConnConfig {
			cfg := o.listenConfig()
			cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
			cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
				dialed = append(dialed, time.Since(m.start))
				return nil, errors.New("refused")
			}
			return cfg
		}
		q := m.known("jobs", layout113)
		m.answers(sqlThrottle, values{"jobs"}, values{"jobs", int64(250)})
		if !m.listen(t.Context(), q) || q.hub.isLive() {
			t.Error("it does not listen, or believes that it hears of inserts")
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		m.must(m.Close())
		want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 12700 * ms, 22700 * ms, 32700 * ms}
		if !slices.Equal(dialed, want) {
			t.Errorf("it dials at %v, want %v", dialed, want)
		}
		log := m.log.take()
		if strings.Count(log, "receivers poll") != len(want) || strings.Contains(log, secret) || strings.Contains(log, "app") {
			t.Errorf("it logs %s", log)
		}
	})
}
