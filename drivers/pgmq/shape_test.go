package pgmq

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func TestReadShape(t *testing.T) {
	all := []string{"msg_id", "read_ct", "enqueued_at", "last_read_at", "vt", "message", "headers"}
	old := []string{"msg_id", "read_ct", "enqueued_at", "vt", "message"}
	for name, tt := range map[string]struct {
		l        layout
		want     shape
		complete bool
	}{
		"1.4":           {layout14, shape{Kept: old}, true},
		"1.5":           {layout15, shape{Headers: true, ArchivedHeaders: true, Kept: append(slices.Clone(old), "headers")}, true},
		"1.10":          {layout113, shape{Headers: true, LastReadAt: true, ArchivedHeaders: true, Kept: all, notifies: true}, true},
		"1.10 upgraded": {layoutUpgraded, shape{Headers: true, LastReadAt: true, ArchivedHeaders: true, Kept: all}, true},
		"old archive":   {layoutHalf, shape{Headers: true, LastReadAt: true, Kept: old}, true},
		"pgmq-ts":       {layoutTS, shape{Kept: old}, true},
		"no archive":    {layoutAlone, shape{Headers: true, LastReadAt: true}, false},
		"more columns": {
			layout{queue: "tenant,message,vt,enqueued_at,read_ct,msg_id,x", archive: layout113.archive + ",tenant"},
			shape{ArchivedHeaders: true, Kept: old},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.shape("jobs", tt.l)
				s, complete, err := readShape(t.Context(), m.db, "jobs")
				m.must(err)
				if s.Headers != tt.want.Headers || s.LastReadAt != tt.want.LastReadAt || s.ArchivedHeaders != tt.want.ArchivedHeaders ||
					s.notifies != tt.want.notifies || !slices.Equal(s.Kept, tt.want.Kept) || complete != tt.complete {
					t.Errorf("shape is %+v, %v, want %+v, %v", s, complete, tt.want, tt.complete)
				}
				if tt.l.indexes != "" && !slices.Contains(s.indexes, "q_jobs_pkey") {
					t.Errorf("indexes are %q", s.indexes)
				}
			})
		})
	}
}

// TestReadShapeName: the catalog is asked for the names as they are.
func TestReadShapeName(t *testing.T) {
	for _, name := range nasty {
		mocked(t, func(t *testing.T, m *mock) {
			if q := m.known(name, layout113); q.names.Q != table("q_", name) || q.names.A != table("a_", name) || q.hub != m.hub(name) {
				t.Errorf("queue %q is %+v", name, q.names)
			}
		})
	}
}

func TestReadShapeErrors(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.answers(sqlShape, values{"q_jobs", "a_jobs"}, values{"msg_id", nil, nil, secret})
		_, err := m.attach(t.Context(), m.db, "jobs")
		if checkIs(t, "attach", err, nil); err == nil {
			t.Error("a row that cannot be read is no error")
		}
		m.noQueue("jobs")
		_, err = m.attach(t.Context(), m.db, "jobs")
		requireErr(t, err, driver.ErrQueueNotFound)
		m.released()
	})
}

// TestAttach: a queue is looked up once, and again after a while.
func TestAttach(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		first := m.known("jobs", layout14)
		attach := func() *queue {
			q, err := m.attach(t.Context(), m.db, "jobs")
			m.must(err)
			return q
		}
		time.Sleep(shapeAge - 1)
		if attach() != first {
			t.Error("the queue is looked up too early")
		}
		time.Sleep(time.Nanosecond)
		m.shape("jobs", layout113)
		second := attach()
		if second == first || !second.names.Headers || second.hub != first.hub {
			t.Error("what has come with an upgrade is not made use of, or the receivers are lost")
		}
		time.Sleep(shapeAge)
		m.noQueue("jobs")
		_, err := m.attach(t.Context(), m.db, "jobs")
		requireErr(t, err, driver.ErrQueueNotFound)
		if _, ok := m.queues.Load("jobs"); ok {
			t.Error("a queue that is gone is remembered")
		}
	})
}

// TestAttachNotFound: a queue that is not there is looked up each time.
func TestAttachNotFound(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		for range 3 {
			m.noQueue("jobs")
			_, err := m.Receive(t.Context(), "jobs", oneMinute)
			requireErr(t, err, driver.ErrQueueNotFound)
		}
		m.shape("jobs", layout113)
		m.answers(jobs.claim, values{10, 60_000_000})
		_, err := m.Receive(t.Context(), "jobs", oneMinute)
		m.must(err)
	})
}

func TestDetach(t *testing.T) {
	for code, forgets := range map[string]bool{"42P01": true, "42703": true, "3F000": true, "0A000": true, "40P01": false, "57P01": false, "": false} {
		for _, err := range []error{pgxError(code, "ERROR", ""), pqError(code, "ERROR", ""), mapError(pqError(code, "ERROR", ""))} {
			mocked(t, func(t *testing.T, m *mock) {
				m.known("jobs", layout113)
				m.detach("jobs", err)
				if _, ok := m.queues.Load("jobs"); ok == forgets {
					t.Errorf("after %v the queue is looked up again: %v, want %v", err, !ok, forgets)
				}
			})
		}
	}
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		m.detach("jobs", nil)
		m.detach("jobs", errors.New("x"))
		m.detach("other", pgxError("42P01", "ERROR", ""))
		if _, ok := m.queues.Load("jobs"); !ok {
			t.Error("a queue is forgotten without a reason")
		}
	})
}
