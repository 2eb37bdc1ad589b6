package pgmq

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

func TestMicros(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, 999: 1, time.Microsecond: 1, time.Microsecond + 1: 2, time.Second: 1_000_000, time.Hour - 1: 3_600_000_000,
		math.MaxInt64: 9_223_372_036_854_776, -1: 0, -time.Microsecond: -1, -time.Microsecond - 1: -1,
	} {
		if got := micros(d); got != want {
			t.Errorf("micros(%d) = %d, want %d", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		q := m.known("jobs", layout113)
		m.answers("one", values{"a", 1}, values{int64(3)})
		n, err := m.count(t.Context(), q, "one", "a", 1)
		if m.must(err); n != 3 {
			t.Errorf("count is %d", n)
		}
		m.answers("one", nil, values{secret})
		if _, err = m.count(t.Context(), q, "one"); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error is %v", err)
		}
		m.released()
	})
}

// TestReplan: on a pool of the caller's a statement that takes long gets
// another text, and so another plan; not more often than every 10 seconds, and
// with no end of texts.
func TestReplan(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		pop := func(plan int, took time.Duration) {
			t.Helper()
			text := jobs.pop
			if plan > 0 {
				text += " /* " + strconv.Itoa(plan) + " */"
			}
			m.answers(text, values{1}).WillDelayFor(took)
			_, err := m.Pop(t.Context(), "jobs", 1)
			m.must(err)
		}
		pop(0, slow) // the queue has just been looked up
		time.Sleep(replanEvery)
		pop(0, slow-1)
		pop(0, slow)
		m.shape("jobs", layout113)
		pop(1, slow)
		for i := 1; i < planTexts; i++ {
			time.Sleep(replanEvery)
			pop(i, slow)
			m.shape("jobs", layout113)
			pop((i+1)%planTexts, 0)
		}
	})
}

// TestReplanOwned: our own sessions have no such plans.
func TestReplanOwned(t *testing.T) {
	mocked(t, func(t *testing.T, m *mock) {
		m.known("jobs", layout113)
		time.Sleep(replanEvery)
		m.owned = true
		defer func() { m.owned = false }()
		for range 2 {
			m.answers(jobs.pop, values{1}).WillDelayFor(time.Second)
			_, err := m.Pop(t.Context(), "jobs", 1)
			m.must(err)
		}
	})
}

// prepared makes m prepare its statements, as with lib/pq.
func prepared(t *testing.T, f func(t *testing.T, m *mock, s *stmtPool)) {
	t.Helper()
	mocked(t, func(t *testing.T, m *mock) {
		s := newStmtPool(m.db)
		m.pool = s
		f(t, m, s)
	})
}

func run(ctx context.Context, at querier, text string, args ...any) error {
	return query(ctx, at, text, args, ignore)
}

func TestStmtPool(t *testing.T) {
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare("a").WillBeClosed()
		m.answers("a", values{"x"})
		m.answers("a", values{"y"})
		m.must(run(t.Context(), s, "a", "x"))
		m.must(run(t.Context(), s, "a", "y"))
		m.ExpectPrepare("b").WillBeClosed()
		m.answers("b", nil)
		m.must(run(t.Context(), s, "b"))
		m.must(m.Close())
		if len(s.stmts) != 0 {
			t.Error("statements are left after Close")
		}
	})
}

func TestStmtPoolErrors(t *testing.T) {
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare("a").WillReturnError(pqError("42P01", "ERROR", ""))
		checkIs(t, "Prepare", mapError(run(t.Context(), s, "a")), driver.ErrQueueNotFound)
		if len(s.stmts) != 0 {
			t.Error("what could not be prepared is kept")
		}
		m.released()
		// An error of a statement is none of its preparation.
		m.ExpectPrepare("a")
		m.fails("a", nil, pqError("40001", "ERROR", ""))
		checkIs(t, "Query", mapError(run(t.Context(), s, "a")), driver.ErrBadConn)
		m.answers("a", nil)
		m.must(run(t.Context(), s, "a"))
	})
}

// TestStmtPoolForgets: a statement that the server has no more, or that returns
// other columns than before, is prepared again.
func TestStmtPoolForgets(t *testing.T) {
	for _, code := range []string{"0A000", "26000"} {
		prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
			m.ExpectPrepare("a").WillBeClosed()
			m.fails("a", nil, pqError(code, "ERROR", "RevalidateCachedQuery"))
			checkIs(t, code, mapError(run(t.Context(), s, "a")), driver.ErrBadConn)
			m.ExpectPrepare("a")
			m.answers("a", nil)
			m.must(run(t.Context(), s, "a"))
		})
		prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
			m.ExpectPrepare("a").WillBeClosed()
			m.must(m.prepare(t.Context(), "a"))
			c := m.begin()
			m.fails("a", nil, pqError(code, "ERROR", "RevalidateCachedQuery"))
			checkIs(t, code, mapError(run(t.Context(), m.inside(c.tx), "a")), driver.ErrBadConn)
			c.rollsBack()
			if len(s.stmts) != 0 {
				t.Errorf("after %s in a transaction the statement is kept", code)
			}
		})
	}
}

// TestStmtPoolClosed: a call may hold a statement that another one forgets.
func TestStmtPoolClosed(t *testing.T) {
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.MatchExpectationsInOrder(false)
		m.ExpectPrepare("a")
		m.ExpectPrepare("a")
		m.ExpectQuery("a").WillReturnRows(rowsOf())
		stmt, err := s.prepared(t.Context(), "a")
		m.must(err)
		m.must(stmt.Close())
		if err := mapError(run(t.Context(), s, "a")); err != nil {
			requireErr(t, err, driver.ErrBadConn)
			m.must(run(t.Context(), s, "a"))
		}
	})
}

// TestStmtPoolKeep: of two that prepare the same text at once one is closed.
func TestStmtPoolKeep(t *testing.T) {
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare("a")
		m.ExpectPrepare("a").WillBeClosed()
		first, err := m.db.Prepare("a")
		m.must(err)
		second, err := m.db.Prepare("a")
		m.must(err)
		if s.keep("a", first) != first || s.keep("a", second) != first {
			t.Error("the second statement is used")
		}
	})
}

// TestStmtPoolFull: what is above the limit is not prepared.
func TestStmtPoolFull(t *testing.T) {
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare("a")
		m.must(m.prepare(t.Context(), "a"))
		for i := range maxStmts - 1 {
			s.stmts[strconv.Itoa(i)] = nil
		}
		m.answers("b", nil)
		m.must(run(t.Context(), s, "b"))
		m.answers("a", nil)
		m.must(run(t.Context(), s, "a"))
		c := m.begin()
		m.answers("b", nil)
		m.must(run(t.Context(), m.inside(c.tx), "b"))
		c.commits()
		for i := range maxStmts - 1 {
			delete(s.stmts, strconv.Itoa(i))
		}
	})
}

// TestStmtPoolGroups: the statements of a transaction are prepared before it
// takes the only connection.
func TestStmtPoolGroups(t *testing.T) {
	receive := func(t *testing.T, m *mock) error {
		_, err := m.ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
		return err
	}
	g := groupingOf(layout113, driver.GroupBy{})
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare(sqlShape)
		m.shape("jobs", layout113)
		m.ExpectPrepare(g.choose)
		m.ExpectPrepare(g.claim)
		m.ExpectBegin()
		m.answers(g.choose, values{10}, values{"[]", ""})
		m.answers(g.claim, values{10, 60_000_000})
		m.ExpectCommit()
		m.must(receive(t, m))
	})
	prepared(t, func(t *testing.T, m *mock, s *stmtPool) {
		m.ExpectPrepare(sqlShape)
		m.shape("jobs", layout113)
		m.ExpectPrepare(g.choose)
		m.ExpectPrepare(g.claim).WillReturnError(pqError("42703", "ERROR", ""))
		err := receive(t, m)
		requireErr(t, err, driver.ErrBadConn)
		if _, ok := m.queues.Load("jobs"); ok {
			t.Error("the queue is not looked up again")
		}
	})
}

// TestStmtPoolAtOnce: many calls prepare the same text.
func TestStmtPoolAtOnce(t *testing.T) {
	db, script, err := sqlmock.New(sqlmock.QueryMatcherOption(sqlmock.QueryMatcherEqual))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	script.MatchExpectationsInOrder(false)
	db.SetMaxOpenConns(1) // sqlmock is one connection
	for range 20 {
		script.ExpectPrepare("a")
		script.ExpectQuery("a").WillReturnRows(rowsOf())
	}
	s := newStmtPool(db)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := run(t.Context(), s, "a"); err != nil {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); len(s.stmts) != 1 {
		t.Errorf("%d statements are kept", len(s.stmts))
	}
	s.close()
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// TestQueryRows: whatever ends a statement closes its rows.
func TestQueryRows(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		rows *sqlmock.Rows
		scan func(row) error
		want error
	}{
		"all":          {rowsOf(values{1}, values{2}), ignore, nil},
		"a bad row":    {rowsOf(values{1}, values{2}), func(row) error { return broken }, broken},
		"error inside": {rowsOf(values{1}, values{2}).RowError(1, broken), ignore, broken},
		"closing":      {rowsOf().CloseError(broken), ignore, broken},
	} {
		t.Run(name, func(t *testing.T) {
			mocked(t, func(t *testing.T, m *mock) {
				m.ExpectQuery("a").WillReturnRows(tt.rows).RowsWillBeClosed()
				if err := query(t.Context(), m.db, "a", nil, tt.scan); err != tt.want {
					t.Errorf("error is %v, want %v", err, tt.want)
				}
				m.released()
			})
		})
	}
}
