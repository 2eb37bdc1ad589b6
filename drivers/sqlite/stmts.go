package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// session is a connection for transactions. That of the provider's own pool is kept,
// and its statements are prepared when they are first used; those of a program's pool
// are borrowed for one transaction, and their statements are not.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // nil if it is borrowed
	open  bool                 // there is a transaction
	lazy  bool                 // commits do not wait for the disk
}

// begin begins a transaction, whose commit waits for the disk unless lazy.
func (s *session) begin(lazy bool) error {
	if lazy != s.lazy {
		mode := map[bool]Synchronous{false: Full, true: Normal}[lazy]
		if _, err := s.conn.ExecContext(context.Background(), "PRAGMA synchronous = "+string(mode)); err != nil {
			return err
		}
		s.lazy = lazy
	}
	if s.stmts == nil {
		return s.beginBorrowed()
	}
	_, err := s.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	s.open = err == nil
	return err
}

// beginBorrowed is begin on a connection of the program's. Its busy timeout does not
// apply: SQLite sleeps for up to 100 ms between its attempts, while others have the lock
// one after the other.
func (s *session) beginBorrowed() error {
	var timeout int64
	var found bool
	err := query(context.Background(), s.conn, into(&found, &timeout), "PRAGMA busy_timeout")
	for _, text := range []string{"PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE"} {
		if err == nil {
			_, err = s.conn.ExecContext(context.Background(), text)
		}
	}
	s.open = err == nil
	_, e := s.conn.ExecContext(context.Background(), fmt.Sprintf("PRAGMA busy_timeout = %d", timeout))
	return cmp.Or(err, e)
}

func (s *session) commit() error {
	_, err := s.ExecContext(context.Background(), "COMMIT")
	s.open = err != nil
	return err
}

func (s *session) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	stmt, err := s.prepared(ctx, text)
	if stmt == nil {
		if err != nil {
			return nil, err
		}
		return s.conn.ExecContext(ctx, text, args...)
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *session) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepared(ctx, text)
	if stmt == nil {
		if err != nil {
			return nil, err
		}
		return s.conn.QueryContext(ctx, text, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// prepared returns nil for what is not to be prepared: a borrowed connection's
// statements, and the triggers, which are several.
func (s *session) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if s.stmts == nil || text == triggersSQL {
		return nil, nil
	}
	if stmt := s.stmts[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, text)
	if err == nil {
		s.stmts[text] = stmt
	}
	return stmt, err
}

// end ends the transaction, if there is one, and gives a borrowed connection back.
func (s *session) end() {
	if s.open {
		_, _ = s.conn.ExecContext(context.Background(), "ROLLBACK") // SQLite may have done so
	}
	if s.stmts == nil {
		_ = s.conn.Close()
	}
}

func (s *session) close() {
	for _, stmt := range s.stmts {
		_ = stmt.Close()
	}
	_ = s.conn.Close()
}

// looks are the statements of a pool's readers, prepared when they are first used. No
// transaction of the provider's is open then, which may have the only connection.
type looks struct {
	db    *sql.DB
	stmts sync.Map // of *sql.Stmt, by text
}

func (l *looks) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	panic("sqlite: a look changes nothing")
}

func (l *looks) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if stmt, ok := l.stmts.Load(text); ok {
		return stmt.(*sql.Stmt).QueryContext(ctx, args...)
	}
	stmt, err := l.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if other, loaded := l.stmts.LoadOrStore(text, stmt); loaded {
		_ = stmt.Close()
		stmt = other.(*sql.Stmt)
	}
	return stmt.QueryContext(ctx, args...)
}

func (l *looks) close() {
	for _, stmt := range l.stmts.Range {
		_ = stmt.(*sql.Stmt).Close()
	}
}
