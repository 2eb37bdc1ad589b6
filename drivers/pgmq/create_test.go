package pgmq

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

func TestEnsureQueueThere(t *testing.T) {
	for name, l := range layouts {
		if l.archive == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.shape("jobs", l) // and nothing else: it needs no right to make anything
				m.must(m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{}))
			})
		})
	}
}

// TestEnsureQueueUpstream leaves it to PGMQ's functions.
func TestEnsureQueueUpstream(t *testing.T) {
	for _, tt := range []struct {
		name  string
		has   values
		every time.Duration
		ms    any // what the trigger is set to, nil if there is none
	}{
		{"default", pgmqThere, 0, 250},
		{"interval", pgmqThere, 2 * time.Second, 2000},
		{"never 0", pgmqThere, time.Microsecond, 1},
		{"no notifications", pgmqThere, -1, nil},
		{"before 1.7", values{true, false, true, true}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.noQueue("jobs")
				m.ExpectBegin()
				m.answers(statement("lock queue", nil), values{"jobs"}, values{""})
				m.noQueue("jobs")
				m.answers(statement("has pgmq", nil), nil, tt.has)
				m.answers(statement("pgmq create", nil), values{"jobs"}, values{})
				if tt.ms != nil {
					m.answers(statement("pgmq enable notify", nil), values{"jobs", tt.ms}, values{})
				}
				m.answers(statement("tune queue", layout113.names("jobs")), nil)
				m.ExpectCommit()
				m.must(m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{NotifyInterval: tt.every}))
			})
		})
	}
}

// own is what EnsureQueue runs where there is no PGMQ, up to the trigger: it
// looks again under the lock, and finds what there was, or nothing.
func own(m *mock, queue string, found *layout, there values) {
	m.ExpectBegin()
	m.answers(statement("lock queue", nil), values{queue}, values{""})
	if found == nil {
		m.noQueue(queue)
	} else {
		m.shape(queue, *found)
	}
	m.answers(statement("has pgmq", nil), nil, pgmqMissing)
	installs(m, there)
	n := layout113.names(queue)
	index := struct{ VTIndex, Q, ArchivedAtIndex, A string }{ident("q_" + queue + "_vt_idx"), n.Q, ident("archived_at_idx_" + queue), n.A}
	m.answers(statement("make queue", n), nil)
	m.answers(statement("make index", index), nil)
	m.answers(statement("make archive", n), nil)
	m.answers(statement("make archive index", index), nil)
	m.answers(statement("tune queue", n), nil)
	m.answers(statement("make meta row", nil), values{queue, n.Q})
}

func TestEnsureQueueOwn(t *testing.T) {
	noTrigger := layout113
	noTrigger.notifies = false
	for _, tt := range []struct {
		name, queue string
		found       *layout // before
		there       values
		made        layout // after
		every       time.Duration
		trigger     string
	}{
		{"everything", "jobs", nil, values{false, false, false, false}, noTrigger, 0, `pgmq.mq_notify_insert(E'jobs', '250')`},
		{"in a schema", "jobs", nil, values{true, true, true, true}, noTrigger, time.Second, `pgmq.mq_notify_insert(E'jobs', '1000')`},
		{"half of it", "jobs", nil, values{true, true, false, true}, noTrigger, 1, `pgmq.mq_notify_insert(E'jobs', '1')`},
		{"the archive", "jobs", &layoutAlone, values{true, true, true, true}, layout113, 0, ""},
		{"no notifications", "jobs", nil, values{true, true, true, true}, noTrigger, -1, ""},
		{"quotes", `a"b\c`, nil, values{true, true, true, true}, noTrigger, 0, `pgmq.mq_notify_insert(E'a"b\\c', '250')`},
		{"spaces", `ein name.π`, nil, values{true, true, true, true}, noTrigger, 0, `pgmq.mq_notify_insert(E'ein name.π', '250')`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				if tt.found == nil {
					m.noQueue(tt.queue)
				} else {
					m.shape(tt.queue, *tt.found)
				}
				own(m, tt.queue, tt.found, tt.there)
				if tt.every >= 0 {
					m.shape(tt.queue, tt.made)
				}
				if tt.trigger != "" {
					m.answers(`CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON `+table("q_", tt.queue)+` FOR EACH STATEMENT
						WHEN (current_setting('mq.notify', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION `+tt.trigger, nil)
					m.answers(statement("make throttle row", nil), values{tt.queue, max(1, cmpOr(tt.every, 250*time.Millisecond).Milliseconds())})
				}
				m.ExpectCommit()
				m.must(m.EnsureQueue(t.Context(), tt.queue, driver.QueueOptions{NotifyInterval: tt.every}))
			})
		})
	}
}

func cmpOr(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

// TestEnsureQueueSecond: another program has made the queue in between.
func TestEnsureQueueSecond(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.noQueue("jobs")
		m.ExpectBegin()
		m.answers(statement("lock queue", nil), values{"jobs"}, values{""})
		m.shape("jobs", layout113)
		m.ExpectCommit()
		m.must(m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{}))
	})
}

// TestEnsureQueueNames: a name that PGMQ does not take for a new queue may be
// that of an old one.
func TestEnsureQueueNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", maxNewName+1), "a$b", "a;b", "a'b", "a--b"} {
		mocked(t, func(t *testing.T, m *mock) {
			m.noQueue(name)
			requireErr(t, m.EnsureQueue(t.Context(), name, driver.QueueOptions{}), driver.ErrInvalid)
			m.shape(name, layout113)
			m.must(m.EnsureQueue(t.Context(), name, driver.QueueOptions{}))
		})
	}
}

// TestEnsureQueueForgets: what is known of a queue without an archive is wrong
// once that is made.
func TestEnsureQueueForgets(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layoutAlone)
		m.shape("jobs", layoutAlone)
		own(m, "jobs", &layoutAlone, values{true, true, true, true})
		m.shape("jobs", layout113)
		m.ExpectCommit()
		m.must(m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{}))
		if _, ok := m.queues.Load("jobs"); ok {
			t.Error("the queue is not looked up again")
		}
	})
}

// makesIndex is what is run for one index of a grouping.
func makesIndex(m *mock, l layout, by driver.GroupBy, lease bool) (drop, create *sqlmock.ExpectedQuery) {
	n := l.names("jobs")
	n.Key = groupKey(by)
	name, other := groupIndexes("jobs", n.Key)
	create1 := fmt.Sprintf(`CREATE INDEX CONCURRENTLY IF NOT EXISTS "%s" ON "pgmq"."q_jobs" ((%s), msg_id) WHERE (%[2]s) IS NOT NULL`, name, n.Key)
	if lease {
		name = other
		create1 = fmt.Sprintf(`CREATE INDEX CONCURRENTLY IF NOT EXISTS "%s" ON "pgmq"."q_jobs" ((%s), vt) WHERE read_ct > 0 OR (%[2]s) IS NULL`, name, n.Key)
	}
	return m.answers(`DROP INDEX CONCURRENTLY IF EXISTS pgmq."`+name+`"`, nil), m.answers(create1, nil)
}

func TestEnsureQueueGroupIndexes(t *testing.T) {
	byPath := driver.GroupBy{Path: []string{`a'b`, `c"\`}}
	for _, tt := range []struct {
		name         string
		l            layout
		by           driver.GroupBy
		group, lease bool // whether the index is there
	}{
		{"both there", layout113, driver.GroupBy{}, true, true},
		{"one there", layout113, driver.GroupBy{}, true, false},
		{"the other", layout113, driver.GroupBy{}, false, true},
		{"none", layout113, driver.GroupBy{}, false, false},
		{"by path, 1.4", layout14, byPath, false, false},
		{"whole body", layout14, driver.GroupBy{Path: []string{}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.MatchExpectationsInOrder(false) // the two have none
				group, lease := groupIndexes("jobs", groupKey(tt.by))
				l := tt.l
				if tt.group {
					l.indexes += "," + group
				}
				if tt.lease {
					l.indexes += "," + lease
				}
				m.shape("jobs", l)
				m.shape("jobs", l)
				if !tt.group || !tt.lease {
					m.shape("jobs", l) // the other program's turn may have just ended
				}
				if !tt.group {
					makesIndex(m, l, tt.by, false)
				}
				if !tt.lease {
					makesIndex(m, l, tt.by, true)
				}
				m.must(m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{GroupIndexes: []driver.GroupBy{tt.by}}))
				if _, ok := m.queues.Load("jobs"); ok {
					t.Error("the indexes are not looked up")
				}
			})
		})
	}
}

func TestEnsureQueueGroupIndexErrors(t *testing.T) {
	ensure := func(t *testing.T, m *mock, by driver.GroupBy) error {
		return m.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{GroupIndexes: []driver.GroupBy{by}})
	}
	mocked(t, func(t *testing.T, m *mock) {
		m.shape("jobs", layout14)
		m.shape("jobs", layout14)
		requireErr(t, ensure(t, m, driver.GroupBy{}), driver.ErrNotSupported)
		m.shape("jobs", layout14)
		requireErr(t, ensure(t, m, driver.GroupBy{Path: []string{"\x00"}}), driver.ErrInvalid)
	})
	mockedWith(t, Config{ExactBodies: true}, func(t *testing.T, m *mock) {
		m.shape("jobs", layout113)
		requireErr(t, ensure(t, m, driver.GroupBy{Path: []string{"a"}}), driver.ErrNotSupported)
	})
	mocked(t, func(t *testing.T, m *mock) {
		m.shape("jobs", layout113)
		m.noQueue("jobs") // dropped in between
		requireErr(t, ensure(t, m, driver.GroupBy{}), driver.ErrQueueNotFound)
	})
	for what, fail := range map[string]func(m *mock, l layout){
		"drop": func(m *mock, l layout) {
			_, lease := groupIndexes("jobs", groupKey(driver.GroupBy{}))
			m.fails(`DROP INDEX CONCURRENTLY IF EXISTS pgmq."`+lease+`"`, nil, pqError("XX000", "ERROR", ""))
		},
		"create": func(m *mock, l layout) {
			_, create := makesIndex(m, l, driver.GroupBy{}, true)
			create.WillReturnError(pgxError("40P01", "ERROR", ""))
		},
	} {
		t.Run(what, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				l := layout113
				group, _ := groupIndexes("jobs", groupKey(driver.GroupBy{}))
				l.indexes += "," + group
				m.shape("jobs", l)
				m.shape("jobs", l)
				m.shape("jobs", l)
				fail(m, l)
				err := ensure(t, m, driver.GroupBy{})
				requireErr(t, err, driver.ErrBadConn)
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error is %v", err)
				}
				m.released()
			})
		})
	}
}

// catalog is a queue whose indexes take a while to make.
type catalog struct {
	mu      sync.Mutex
	locked  bool
	indexes []string
	made    int
}

func (c *catalog) answer(_ context.Context, text string, _ values) ([]values, error) {
	if strings.HasPrefix(text, "CREATE INDEX") {
		time.Sleep(time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := ""
	if parts := strings.Split(text, `"`); len(parts) > 1 {
		name = parts[1]
	}
	switch {
	case text == sqlShape:
		l := layout113
		l.indexes = strings.Join(append(c.indexes, l.indexes), ",")
		return []values{l.row()}, nil
	case strings.Contains(text, "pg_try_advisory_xact_lock"):
		was := c.locked
		c.locked = true
		return []values{{!was}}, nil
	case strings.HasPrefix(text, "DROP INDEX"):
		c.indexes = slices.DeleteFunc(c.indexes, func(s string) bool { return s == name })
	case strings.HasPrefix(text, "CREATE INDEX"):
		c.indexes, c.made = append(c.indexes, name), c.made+1
	}
	return nil, nil
}

// unlock ends the transaction that has got the lock, which is the only one that
// commits while it is held.
func (c *catalog) unlock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == 2 {
		c.locked = false
	}
}

// TestEnsureQueueAtOnce: programs that start at the same time make the indexes
// once. PostgreSQL ends those that wait for each other's with a deadlock, and
// one that came later would drop what has just been made.
func TestEnsureQueueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(catalog)
		var programs sync.WaitGroup
		for range 4 {
			p := (&fake{answer: c.answer, ended: c.unlock}).open(t)
			programs.Go(func() {
				if err := p.EnsureQueue(t.Context(), "jobs", driver.QueueOptions{GroupIndexes: []driver.GroupBy{{}}}); err != nil {
					t.Error(err)
				}
			})
		}
		if programs.Wait(); c.made != 2 || len(c.indexes) != 2 || c.locked {
			t.Errorf("%d indexes are made, and %d are there, want 2", c.made, len(c.indexes))
		}
	})
}
