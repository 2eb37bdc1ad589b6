package pgmq

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// PGMQ as the statement "has pgmq" shows it: create, notify, drop, meta.
var (
	pgmqThere   = values{true, true, true, true}
	pgmqMissing = values{false, false, false, false}
)

func TestListQueues(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.answers(sqlList, nil, values{"a"}, values{"Mixed"}, values{"b c"}, values{"ключ"})
		names, err := m.ListQueues(t.Context())
		// A table with upper case is not one that PGMQ would find.
		if m.must(err); !slices.Equal(names, []string{"a", "b c", "ключ"}) {
			t.Errorf("queues are %q", names)
		}
		m.answers(sqlList, nil)
		names, err = m.ListQueues(t.Context())
		if m.must(err); names == nil || len(names) > 0 {
			t.Errorf("queues are %#v, want an empty slice", names)
		}
		m.answers(sqlList, nil, values{nil})
		if _, err := m.ListQueues(t.Context()); err == nil {
			t.Error("a name that is NULL is no error")
		}
	})
}

func TestPurgeQueue(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		plain, group := q.hub.join(false), q.hub.join(true)
		m.answers(jobs.purge, nil, values{int64(12)})
		n, err := m.PurgeQueue(t.Context(), "jobs")
		m.must(err)
		if n != 12 || len(group.ch) != 1 || len(plain.ch) != 0 {
			t.Errorf("it purges %d, and wakes %d receivers of groups and %d others", n, len(group.ch), len(plain.ch))
		}
	})
}

func TestDropQueue(t *testing.T) {
	lock, rows := statement("lock queue", nil), statement("drop meta rows", nil)
	spellings, upstream := statement("spellings", nil), statement("pgmq drop", nil)
	for _, tt := range []struct {
		name, queue, table string
		has                values
		spellings          []values
		meta               bool
	}{
		{"nothing of PGMQ", "jobs", "jobs", pgmqMissing, nil, false},
		{"made by us", "jobs", "jobs", values{false, false, false, true}, nil, true},
		{"functions without meta", "jobs", "jobs", values{true, true, true, false}, nil, false},
		{"PGMQ", "jobs", "jobs", pgmqThere, []values{{"Jobs"}, {"jobs"}}, true},
		{"not in meta", "jobs", "jobs", pgmqThere, nil, true},
		{"quotes", `a"b`, `a""b`, values{false, false, false, true}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				w := m.known(tt.queue, layout113).hub.join(false)
				m.ExpectBegin()
				m.answers(statement("has pgmq", nil), nil, tt.has)
				m.answers(lock, values{tt.queue}, values{""})
				if tt.has[2] == true && tt.meta {
					m.answers(spellings, values{tt.queue}, tt.spellings...)
				}
				for _, s := range tt.spellings {
					m.answers(upstream, s, values{})
				}
				m.answers(`DROP TABLE IF EXISTS "pgmq"."q_`+tt.table+`"`, nil)
				m.answers(`DROP TABLE IF EXISTS "pgmq"."a_`+tt.table+`"`, nil)
				if tt.meta {
					m.answers(rows, values{tt.queue})
				}
				m.notifies(tt.queue)
				m.ExpectCommit()
				m.must(m.DropQueue(t.Context(), tt.queue))
				if _, ok := m.queues.Load(tt.queue); ok || len(w.ch) != 1 {
					t.Error("it is not looked up again, or those who wait for it are not woken")
				}
			})
		})
	}
}

// TestDropQueueSpelling: one that cannot be dropped ends it all.
func TestDropQueueSpelling(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.ExpectBegin()
		m.answers(statement("has pgmq", nil), nil, pgmqThere)
		m.answers(statement("lock queue", nil), values{"jobs"}, values{""})
		m.answers(statement("spellings", nil), values{"jobs"}, values{"Jobs"}, values{"jobs"})
		m.fails(statement("pgmq drop", nil), values{"Jobs"}, pgxError("42501", "ERROR", ""))
		m.ExpectRollback()
		err := m.DropQueue(t.Context(), "jobs")
		if checkIs(t, "DropQueue", err, nil); err == nil || !strings.Contains(err.Error(), "docs/pgmq.md") {
			t.Errorf("error is %v", err)
		}
	})
}

// TestDDLErrors: who collides with another program that makes the same thing
// finds it made when trying again.
func TestDDLErrors(t *testing.T) {
	for code, want := range map[string]error{
		"23505": driver.ErrBadConn, "42P07": driver.ErrBadConn, "42710": driver.ErrBadConn, "42P06": driver.ErrBadConn, "XX000": driver.ErrBadConn,
		"40P01": driver.ErrBadConn, "57P01": driver.ErrBadConn, "42501": nil, "42601": nil, "57014": driver.ErrUnavailable,
	} {
		checkIs(t, code, ddlError(pgxError(code, "ERROR", "")), want)
		checkIs(t, code, ddlError(pqError(code, "ERROR", "")), want)
	}
	checkIs(t, "a lost connection", ddlError(errLost), driver.ErrBadConn)
	if ddlError(nil) != nil {
		t.Error("nil is mapped to an error")
	}
}
