package pgmq

import (
	"database/sql"
	"log/slog"
	"sync"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/portmq/mq/driver"
)

// prepared is a pool of prepared statements, as with lib/pq, on a database with
// one connection that goes by a script.
type prepared struct {
	sqlmock.Sqlmock
	*stmtPool
	t testing.TB
}

func prepares(t testing.TB) prepared {
	t.Helper()
	db, script, err := sqlmock.New(sqlmock.QueryMatcherOption(sqlmock.QueryMatcherEqual))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // one that is not given back shows at once
	p := prepared{script, newStmtPool(db), t}
	t.Cleanup(func() {
		p.close()
		if err := script.ExpectationsWereMet(); err != nil || db.Stats().InUse != 0 {
			t.Errorf("%d connections are in use: %v", db.Stats().InUse, err)
		}
		script.ExpectClose()
		_ = db.Close()
	})
	return p
}

// runs adds a statement to the script, and runs it, by way of tx if that is not
// nil. The error is err, mapped.
func (p prepared) runs(tx *sql.Tx, text string, err error) error {
	p.t.Helper()
	if e := p.ExpectQuery(text).WillReturnError(err); err == nil {
		e.WillReturnRows(sqlmock.NewRows(nil)).RowsWillBeClosed()
	}
	return p.run(tx, text)
}

func (p prepared) run(tx *sql.Tx, text string) error {
	at := querier(p.stmtPool)
	if tx != nil {
		at = (&Provider{pool: p.stmtPool}).inside(tx)
	}
	return mapError(query(p.t.Context(), at, text, nil, ignore))
}

func (p prepared) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%v: %s", err, chain(err))
	}
}

func (p prepared) begin() *sql.Tx {
	p.t.Helper()
	p.ExpectBegin()
	tx, err := p.db.Begin()
	p.ok(err)
	return tx
}

// TestStmtPool: a statement is prepared once, and closed at the end.
func TestStmtPool(t *testing.T) {
	p := prepares(t)
	for _, text := range []string{"a", "b"} {
		p.ExpectPrepare(text).WillBeClosed()
		p.ok(p.runs(nil, text, nil))
		p.ok(p.runs(nil, text, nil))
	}
	if p.close(); len(p.stmts) != 0 {
		t.Error("statements are left")
	}
}

// TestStmtPoolErrors: what could not be prepared is not kept, and an error of a
// statement is none of its preparation.
func TestStmtPoolErrors(t *testing.T) {
	p := prepares(t)
	p.ExpectPrepare("a").WillReturnError(pqError("42P01", "ERROR", ""))
	checkIs(t, "Prepare", p.run(nil, "a"), driver.ErrQueueNotFound)
	p.ExpectPrepare("a")
	checkIs(t, "Query", p.runs(nil, "a", pqError("40001", "ERROR", "")), driver.ErrBadConn)
	p.ok(p.runs(nil, "a", nil))
}

// TestStmtPoolForgets: a statement that the server has no more, or that returns
// other columns than before, is prepared again.
func TestStmtPoolForgets(t *testing.T) {
	for _, code := range []string{"0A000", "26000"} {
		stale := pqError(code, "ERROR", "RevalidateCachedQuery")
		p := prepares(t)
		p.ExpectPrepare("a").WillBeClosed()
		checkIs(t, code, p.runs(nil, "a", stale), driver.ErrBadConn)
		p.ExpectPrepare("a").WillBeClosed()
		p.ok(p.runs(nil, "a", nil))
		tx := p.begin()
		checkIs(t, code, p.runs(tx, "a", stale), driver.ErrBadConn)
		p.ExpectRollback()
		if p.ok(tx.Rollback()); len(p.stmts) != 0 {
			t.Errorf("after %s in a transaction the statement is kept", code)
		}
	}
}

// TestStmtPoolClosed: a call may hold a statement that another one forgets.
func TestStmtPoolClosed(t *testing.T) {
	p := prepares(t)
	p.ExpectPrepare("a")
	stmt, err := p.prepared(t.Context(), "a")
	p.ok(err)
	p.ok(stmt.Close())
	checkIs(t, "a closed statement", p.run(nil, "a"), driver.ErrBadConn)
	p.ExpectPrepare("a")
	p.ok(p.runs(nil, "a", nil))
}

// TestStmtPoolKeep: of two that prepare the same text at once one is closed.
func TestStmtPoolKeep(t *testing.T) {
	p := prepares(t)
	p.ExpectPrepare("a")
	p.ExpectPrepare("a").WillBeClosed()
	first, err := p.db.Prepare("a")
	p.ok(err)
	second, err := p.db.Prepare("a")
	p.ok(err)
	if p.keep("a", first) != first || p.keep("a", second) != first {
		t.Error("the second statement is used")
	}
}

// TestStmtPoolFull: the statements of a program with many queues do not become
// ever more. One that is needed goes for another.
func TestStmtPoolFull(t *testing.T) {
	p := prepares(t)
	p.most = 2
	for _, text := range []string{"a", "b", "c", "d"} {
		p.ExpectPrepare(text)
		p.ok(p.runs(nil, text, nil))
		if n := len(p.stmts); n > 2 || p.stmts[text] == nil {
			t.Errorf("after %s %d statements are kept", text, n)
		}
	}
	p.ok(p.runs(nil, "d", nil))
}

// TestStmtPoolGroups: the statements of a transaction are prepared before it
// takes the only connection.
func TestStmtPoolGroups(t *testing.T) {
	g := groupingOf(layout113, driver.GroupBy{})
	for _, fails := range []error{nil, pqError("42703", "ERROR", "")} {
		s := prepares(t)
		p := newProvider(s.db, Config{Logger: slog.New(slog.DiscardHandler)})
		p.pool = s.stmtPool
		s.ExpectPrepare(sqlShape)
		s.ExpectQuery(sqlShape).WillReturnRows(sqlmock.NewRows(make([]string, len(layout113.row()))).AddRow(layout113.row()...))
		s.ExpectPrepare(g.choose)
		s.ExpectPrepare(g.claim).WillReturnError(fails)
		if fails == nil {
			s.ExpectBegin()
			s.ExpectQuery(g.choose).WillReturnRows(sqlmock.NewRows(make([]string, 2)).AddRow(2, ""))
			s.ExpectQuery(g.claim).WillReturnRows(sqlmock.NewRows(nil))
			s.ExpectCommit()
		}
		_, err := p.ReceiveGroups(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
		if _, known := p.queues.Load("jobs"); known != (fails == nil) {
			t.Errorf("the queue is known: %v", known)
		}
		checkIs(t, "ReceiveGroups", err, map[bool]error{false: driver.ErrBadConn}[fails == nil])
	}
}

// TestStmtPoolAtOnce: of many calls that prepare the same text one wins.
func TestStmtPoolAtOnce(t *testing.T) {
	db, script, err := sqlmock.New(sqlmock.QueryMatcherOption(sqlmock.QueryMatcherEqual))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	script.MatchExpectationsInOrder(false)
	db.SetMaxOpenConns(1) // sqlmock is one connection
	const calls = 20
	for range calls {
		script.ExpectPrepare("a")
		script.ExpectQuery("a").WillReturnRows(sqlmock.NewRows(nil))
	}
	s := newStmtPool(db)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if err := query(t.Context(), s, "a", nil, ignore); err != nil {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); len(s.stmts) != 1 {
		t.Errorf("%d statements are kept", len(s.stmts))
	}
	if s.close(); db.Stats().InUse != 0 {
		t.Errorf("%d connections are in use", db.Stats().InUse)
	}
}
