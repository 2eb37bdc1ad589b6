package pgmq

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// What a publish to some queues of the newest layout runs.
var (
	sqlBound = statement("bound", nil)
	toJobs   = toQueues("jobs")
	toBoth   = toQueues("jobs", "other")
)

func toQueues(names ...string) string {
	var r route
	for _, name := range names {
		r.queues = append(r.queues, &queue{name: name, names: layout113.names(name)})
	}
	return r.statement()
}

// stored is a row of a message in a queue, others one of a queue that is bound instead.
func stored(place, id int64) values { return values{place, id, nil} }
func others(name string) values     { return values{int64(-1), nil, name} }

func published(queue string, ids ...string) driver.Published {
	return driver.Published{Queue: queue, IDs: ids}
}

// publish publishes two messages.
func (r *rig) publish(want ...driver.Published) {
	r.t.Helper()
	got, err := r.Publish(r.ctx, "a.b", []driver.Message{body("1"), body("2")})
	r.must(err)
	if !reflect.DeepEqual(got, want) {
		r.t.Errorf("published %v, want %v", got, want)
	}
}

// runs checks the statements since the last time, without looks at queues.
func (r *rig) runs(want ...string) {
	r.t.Helper()
	got := slices.DeleteFunc(r.texts(), func(text string) bool { return text == sqlShape || text == hasBindings })
	if r.ran = nil; !slices.Equal(got, want) {
		r.t.Errorf("it runs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// notifies checks the channels that were notified after calls.
func (r *rig) notifies(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.notified, want) {
		r.t.Errorf("later it notifies %q, want %q", r.notified, want)
	}
}

// TestPublish: the first publish to a topic looks which queues are bound, later ones
// are one statement, and one more if the bindings have changed.
func TestPublish(t *testing.T) {
	onRig(t, func(_ *testing.T, r *rig) {
		jobs, other := published("jobs", "1", "2"), published("other", "8", "9")
		both := []values{stored(0, 1), stored(0, 2), stored(1, 8), stored(1, 9)}
		r.answers(sqlBound, values{"other"}, values{"jobs"})
		r.answers(toBoth, both...)
		r.publish(jobs, other)
		r.runs(sqlBound, toBoth)

		r.answers(toBoth, both...)
		r.publish(jobs, other)
		r.runs(toBoth)

		r.answers(toBoth, others("jobs")) // other was unbound
		r.answers(toJobs, both[:2]...)
		r.publish(jobs)
		r.runs(toBoth, toJobs)

		r.answers(toJobs, others("other"), others("jobs"))
		r.answers(toBoth, both...)
		r.publish(jobs, other)
		r.runs(toJobs, toBoth)

		r.answers(toBoth) // nothing is bound
		r.publish()
		r.runs(toBoth)
	})
}

// TestPublishNothingBound: there is nothing to do, and nothing to remember.
func TestPublishNothingBound(t *testing.T) {
	r := newRig(t, call{answers: answers{sqlBound: nil}})
	for range 2 {
		r.publish()
		r.runs(sqlBound)
	}
}

// TestPublishRestless: bindings that change all the time do not keep a call for ever.
func TestPublishRestless(t *testing.T) {
	r := newRig(t, call{answers: answers{toJobs: {others("jobs"), others("other")}, toBoth: {others("jobs")}}})
	requireErr(t, publishes(body("1"))(r), driver.ErrBadConn)
	if n := len(r.texts()); n > 2*publishTries {
		t.Errorf("it runs %d statements", n)
	}
}

// TestPublishDropped: queues that are dropped between two publishes are no matter.
func TestPublishDropped(t *testing.T) {
	onRig(t, func(_ *testing.T, r *rig) {
		r.answers(sqlBound, values{"jobs"}, values{"other"})
		r.answers(toBoth, stored(0, 1), stored(1, 1))
		r.must(publishes(body("1"))(r))
		r.add(toBoth, queued{err: pgxError("42P01", "ERROR", "")})
		r.answers(sqlBound, values{"jobs"})
		r.answers(toJobs, stored(0, 2))
		r.ran = nil
		r.must(publishes(body("1"))(r))
		r.runs(toBoth, sqlBound, toJobs)
	})
}

// TestPublishTxDropped: a transaction cannot go on after that. When it is repeated it
// finds other queues.
func TestPublishTxDropped(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.call.tx = true
		r.add(toJobs, queued{err: pgxError("42P01", "ERROR", "")})
		err := txPublishes(body("1"))(r)
		if requireErr(t, err, driver.ErrBadConn); !r.aborted || !strings.Contains(err.Error(), "has been dropped") {
			t.Errorf("error is %v, the transaction is aborted: %v", err, r.aborted)
		}
		r.answers(sqlBound)
		r.must(txPublishes(body("1"))(r))
	})
}

// TestPublishWithoutTable: a queue that is bound and has no table is named.
func TestPublishWithoutTable(t *testing.T) {
	r := newRig(t, call{answers: answers{sqlShape: nil}})
	err := publishes(body("1"))(r)
	if requireErr(t, err, driver.ErrQueueNotFound); !strings.Contains(err.Error(), `"jobs"`) {
		t.Errorf("error is %v", err)
	}
}

// TestPublishHeaders: a queue without headers refuses for all, before anything is stored,
// unless it is bound no longer.
func TestPublishHeaders(t *testing.T) {
	old := (&route{queues: []*queue{{name: "jobs", names: layout14.names("jobs")}}}).statement()
	onRig(t, func(t *testing.T, r *rig) {
		r.call.answers = answers{sqlShape: {layout14.row()}, old: {stored(0, 1)}}
		r.must(publishes(body("1"))(r))
		r.ran = nil
		grouped := driver.Message{Group: secret}
		err := publishes(grouped)(r)
		if requireErr(t, err, driver.ErrNotSupported); !strings.Contains(err.Error(), `"jobs"`) {
			t.Errorf("error is %v", err)
		}
		r.runs(sqlBound)
		r.answers(sqlBound)
		r.must(publishes(grouped)(r))
	})
}

// TestPublishNotifies: each queue is notified as by a send, in the statement or soon.
func TestPublishNotifies(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.call.answers = answers{sqlBound: {{"jobs"}, {"other"}}, toBoth: {stored(0, 1), stored(1, 1)}}
		r.hub("other").takeNotify() // by a send just now
		r.must(publishes(body("1"))(r))
		channels := func() any { return r.ran[len(r.ran)-1].args[4] }
		if got := channels(); got != `{"pgmq.q_jobs.INSERT"}` {
			t.Errorf("it notifies %v", got)
		}
		time.Sleep(time.Second)
		r.notifies("pgmq.q_other.INSERT")
		r.must(publishes(body("1"))(r))
		if got := channels(); got != `{"pgmq.q_jobs.INSERT","pgmq.q_other.INSERT"}` {
			t.Errorf("it notifies %v", got)
		}
	})
}

// TestPublishTxCarries: see TestTxSendCarries.
func TestPublishTxCarries(t *testing.T) {
	onRig(t, func(t *testing.T, r *rig) {
		r.hub("jobs").takeNotify() // by another send
		r.must(txPublishes(body("1"))(r))
		i := slices.Index(r.texts(), toJobs)
		if got := r.ran[i].args[4]; got != `{"pgmq.q_jobs.INSERT"}` {
			t.Errorf("it notifies %v", got)
		}
	})
}

// TestPublishFailedNotifies: what was to be notified still is.
func TestPublishFailedNotifies(t *testing.T) {
	onRig(t, func(_ *testing.T, r *rig) {
		r.add(toJobs, queued{err: pgxError("40001", "ERROR", "")})
		requireErr(t, publishes(body("1"))(r), driver.ErrBadConn)
		time.Sleep(time.Second)
		r.notifies(jobsChannel)
	})
}

// TestPublishWakes: the receivers of this process.
func TestPublishWakes(t *testing.T) {
	r := newRig(t, call{})
	w := r.hub("jobs").join(false)
	r.must(publishes(body("1"))(r))
	select {
	case <-w.ch:
	default:
		t.Error("the receiver is not woken")
	}
}

// TestRoutesBounded: topics may be as many as users.
func TestRoutesBounded(t *testing.T) {
	var rs routes
	r := &route{names: []string{"jobs"}, queues: []*queue{{name: "jobs", names: layout113.names("jobs")}}}
	for i := range 3 * maxRoutes {
		if rs.use(fmt.Sprintf("user.%d", i), r); len(rs.byTopic) > maxRoutes {
			t.Fatalf("%d routes are kept", len(rs.byTopic))
		}
	}
	if rs.names("user.767") == nil {
		t.Error("the last one is not kept")
	}
}
