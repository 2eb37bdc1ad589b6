package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/jackc/pgx/v5/pgproto3"

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
	err := mapError(query(p.t.Context(), at, text, nil, ignore))
	if p.discarded != nil {
		<-p.discarded // sqlmock is for one goroutine at a time
	}
	return err
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
		_, err := p.ReceiveHeads(t.Context(), "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
		if _, known := p.queues.Load("jobs"); known != (fails == nil) {
			t.Errorf("the queue is known: %v", known)
		}
		checkIs(t, "ReceiveHeads", err, map[bool]error{false: driver.ErrBadConn}[fails == nil])
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

// silent is a database that does not answer when a statement is to be closed.
type silent struct{ closing, end chan struct{} }

func (s silent) Connect(context.Context) (sqldriver.Conn, error) { return s, nil }
func (silent) Driver() sqldriver.Driver                          { return nil }
func (s silent) Prepare(string) (sqldriver.Stmt, error)          { return silentStmt{s}, nil }
func (silent) Close() error                                      { return nil }
func (silent) Begin() (sqldriver.Tx, error)                      { return nil, errors.New("begun") }

type silentStmt struct{ silent }

func (silentStmt) NumInput() int { return -1 }
func (silentStmt) Exec([]sqldriver.Value) (sqldriver.Result, error) {
	return nil, errors.New("executed")
}

func (silentStmt) Query([]sqldriver.Value) (sqldriver.Rows, error) { return nil, errors.New("queried") }

func (s silentStmt) Close() error {
	s.closing <- struct{}{}
	<-s.end
	return nil
}

// TestStmtPoolSilent: a statement that cannot be closed keeps neither the caller
// that forgets it, nor those that run others, nor Close.
func TestStmtPoolSilent(t *testing.T) {
	db := silent{make(chan struct{}, 10), make(chan struct{})}
	pool := sql.OpenDB(db)
	s := newStmtPool(pool)
	t.Cleanup(func() { _ = pool.Close() })
	t.Cleanup(func() { close(db.end) })
	for _, text := range []string{"a", "b"} {
		if _, err := s.prepared(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.forget("a", pgxError("26000", "ERROR", ""))
		<-db.closing
		if _, err := s.prepared(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		s.close()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it waits")
	}
}

// TestPQStmtClose: a pool of ours does not ask the server to close a statement,
// since database/sql would hold up the pool until it answers. A session that has
// too many of those ends.
func TestPQStmtClose(t *testing.T) {
	noEnvironment(t)
	sessions, asked := make(chan struct{}, 10), make(chan struct{}, 1000)
	addr := serve(t, func(_ map[string]string, b *pgproto3.Backend) {
		sessions <- struct{}{}
		welcome(b)
		for m := follow(b); m != nil; m, _ = b.Receive() {
			switch m.(type) {
			case *pgproto3.Parse:
				send(b, &pgproto3.ParseComplete{})
			case *pgproto3.Describe:
				send(b, &pgproto3.ParameterDescription{}, &pgproto3.NoData{})
			case *pgproto3.Bind:
				send(b, &pgproto3.BindComplete{})
			case *pgproto3.Execute:
				send(b, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
			case *pgproto3.Sync:
				send(b, ready)
			case *pgproto3.Close:
				asked <- struct{}{}
				return
			}
		}
	})
	opened, err := pgmqDriver{}.Open("pgmq://app@"+addr+"?sslmode=disable&driver=pq&pool_max_conns=1", driver.Env{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p := opened.(*Provider)
	s := p.pool.(*stmtPool)
	for range maxUnused + 1 {
		if err := query(t.Context(), s, "a", nil, ignore); err != nil {
			t.Fatal(err)
		}
		s.forget("a", pgxError("26000", "ERROR", ""))
		<-s.discarded
	}
	if n := len(sessions); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
	if err := p.Close(); err != nil || len(asked) > 0 {
		t.Errorf("%d statements were to be closed: %v", len(asked), err)
	}
}
