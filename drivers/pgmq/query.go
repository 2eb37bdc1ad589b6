package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// row is a row of *sql.Rows or pgx.Rows.
type row interface{ Scan(dest ...any) error }

// ignore scans nothing.
func ignore(row) error { return nil }

// query runs a statement and scans its rows.
func query(ctx context.Context, at querier, text string, args []any, scan func(row) error) error {
	if tx, ok := at.(pgxTx); ok {
		return tx.query(ctx, text, args, scan)
	}
	if direct, ok := directly(at); ok {
		if err := direct.query(ctx, text, args, scan); err != errWrapped {
			return err
		}
	}
	if db := unprepared(at); db != nil {
		conn, err := db.Conn(ctx)
		if err != nil {
			return &connectError{noneFree(ctx, err, db)}
		}
		defer func() { _ = conn.Close() }()
		at = conn
	}
	rows, err := at.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// unprepared returns the pool of which a statement needs a connection first: else the error
// of a ctx would not say whether there was one. lib/pq returns none that is bare.
func unprepared(at querier) *sql.DB {
	switch at := at.(type) {
	case *sql.DB:
		return at
	case pgxPool:
		return at.DB
	}
	return nil
}

// within is query on the pool, which ends after limit, and soon after Close.
func (p *Provider) within(ctx context.Context, limit time.Duration, text string, args []any, scan func(row) error) error {
	return p.withinAt(ctx, p.pool, limit, nil, text, args, scan)
}

// withinAt is within at another place, for a statement on the tables of queues.
func (p *Provider) withinAt(ctx context.Context, at querier, limit time.Duration, queues []string, text string, args []any, scan func(row) error) error {
	return p.rightNode(p.limited(ctx, at, limit, queues, text, args, scan))
}

// limited is withinAt for a statement that may be refused by a node that can only be read.
func (p *Provider) limited(ctx context.Context, at querier, limit time.Duration, queues []string, text string, args []any, scan func(row) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(p.calls, cancel)()
	start := time.Now()
	err := p.blocked(ctx, queues, start, query(ctx, at, text, args, scan))
	p.links.checkSilence(ctx, start, err)
	return err
}

// rightNode returns err, unless it says that a connection of ours is to a node
// that can only be read, as after a failover that has left its sessions open.
// Nothing was applied, and the pool turns to new connections, which
// target_session_attrs leads to the right node.
func (p *Provider) rightNode(err error) error {
	if !p.owned || sqlState(err) != "25006" {
		return err
	}
	p.links.renew()
	p.mu.Lock()
	l := p.listener
	p.mu.Unlock()
	if l != nil {
		l.restart()
	}
	return notApplied(err)
}

// run is query on the pool, for a statement that is a transaction of its own.
// Its errors are those of package driver.
func (p *Provider) run(ctx context.Context, q *queue, text string, args []any, scan func(row) error) error {
	return p.runAt(ctx, p.pool, callLimit, q, text, args, scan)
}

// runAt is run at another place. other is a second queue whose tables it needs.
func (p *Provider) runAt(ctx context.Context, at querier, limit time.Duration, q *queue, text string, args []any, scan func(row) error, other ...string) error {
	answered := false
	start := time.Now()
	err := p.withinAt(ctx, at, limit, append(other, q.name), text, args, func(rows row) error {
		answered = true
		return scan(rows)
	})
	if err == nil {
		if !p.owned || p.unset.Load() {
			p.replan(q, time.Since(start))
		}
		return nil
	}
	p.detach(q.name, err)
	if cutOff(err) && !answered {
		return notApplied(err)
	}
	return mapError(err)
}

// A session keeps a plan that it made while a queue was empty, for as long as
// nobody analyses the table: then each statement reads the whole queue. Our
// own sessions cannot; on a borrowed one a new text makes a new plan.
const (
	slow        = 20 * time.Millisecond
	replanEvery = 10 * time.Second
	planTexts   = 8 // then they come again, or sessions would collect them
)

// lookAtSettings finds out, now and then, whether the settings of our sessions
// are in effect. A pooler may ignore them, and then our sessions are treated as
// those of a caller's pool.
func (p *Provider) lookAtSettings(ctx context.Context) {
	p.mu.Lock()
	due := p.settings && time.Since(p.looked) >= shapeAge
	if due {
		p.looked = time.Now()
	}
	p.mu.Unlock()
	if !due {
		return
	}
	var set bool
	err := p.within(ctx, probeLimit, sqlSettings, nil, func(rows row) error { return rows.Scan(&set) })
	if err != nil {
		p.log.Debug("pgmq: cannot read the settings of a session", "error", readError(err))
		return
	}
	if !p.unset.Swap(!set) && !set {
		p.log.Info("pgmq: the settings of our sessions are not in effect, as behind a pooler that ignores them: statements that become slow get new plans")
	}
}

// replan gives the queue's statements another text if one took long.
func (p *Provider) replan(q *queue, took time.Duration) {
	if took < slow || time.Since(q.readAt) < replanEvery {
		return
	}
	q.hub.mu.Lock()
	q.hub.plan = (q.hub.plan + 1) % planTexts
	q.hub.mu.Unlock()
	p.queues.CompareAndDelete(q.name, q)
}

// read is run for a statement that changes nothing. To end after limit is the
// same as to lose the connection.
func (p *Provider) read(ctx context.Context, q *queue, text string, args []any, scan func(row) error) error {
	return p.readWithin(ctx, callLimit, q.name, text, args, scan)
}

func (p *Provider) readWithin(ctx context.Context, limit time.Duration, queue, text string, args []any, scan func(row) error) error {
	err := p.withinAt(ctx, p.pool, limit, []string{queue}, text, args, scan)
	p.detach(queue, err)
	return readErrorOf(ctx, err)
}

// readErrorOf is readError for a call whose ctx was the caller's: the end of a
// limit of ours makes it worth another try.
func readErrorOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && ended(err) != nil {
		return notApplied(err)
	}
	return readError(err)
}

// count runs a statement whose answer is one number, and whose work grows with
// the queue.
func (p *Provider) count(ctx context.Context, q *queue, text string, args ...any) (n int64, err error) {
	err = p.runAt(ctx, p.pool, labourLimit, q, text, args, func(rows row) error { return rows.Scan(&n) })
	return n, err
}

// micros rounds up: nothing is visible before its time.
func micros(d time.Duration) int64 {
	us := d.Microseconds()
	if d > time.Duration(us)*time.Microsecond {
		us++
	}
	return us
}

// stmtPool keeps a prepared statement for each text. lib/pq would prepare a
// statement each time that it is run; pgx keeps its own.
type stmtPool struct {
	db    *sql.DB
	most  int
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt

	discarded chan struct{} // closed when all discarded statements are closed; nil before the first
}

// maxStmts bounds what a program with many queues makes the server keep.
const maxStmts = 2048

func newStmtPool(db *sql.DB) *stmtPool {
	return &stmtPool{db: db, most: maxStmts, stmts: make(map[string]*sql.Stmt)}
}

func (s *stmtPool) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	s.forget(text, err)
	return rows, closedMeanwhile(noneFree(ctx, err, s.db))
}

func isClosed(err error) bool { return err != nil && err.Error() == "sql: statement is closed" }

// closedMeanwhile mends the error of a statement that another call has just
// forgotten.
func closedMeanwhile(err error) error {
	if isClosed(err) {
		return fmt.Errorf("%w: %w", sqldriver.ErrBadConn, err)
	}
	return err
}

// forget drops a statement that the server no longer has, or that returns
// other columns by now.
func (s *stmtPool) forget(text string, err error) {
	if code := sqlState(err); code != "0A000" && code != "26000" && !isClosed(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt := s.stmts[text]; stmt != nil {
		s.discard(stmt)
		delete(s.stmts, text)
	}
}

// discard closes statements in the background, after those discarded before. lib/pq
// asks the server to close them and waits for the answer, on a pool of the caller's
// without a limit. s.mu is held.
func (s *stmtPool) discard(stmts ...*sql.Stmt) {
	before, done := s.discarded, make(chan struct{})
	s.discarded = done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		for _, stmt := range stmts {
			_ = stmt.Close()
		}
	}()
}

// prepared returns the statement for a text.
func (s *stmtPool) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt := s.stmts[text]
	s.mu.RUnlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, noneFree(ctx, err, s.db)
	}
	return s.keep(text, stmt), nil
}

// keep returns the statement to use: another call may have been faster. Where
// there are too many, any other goes.
func (s *stmtPool) keep(text string, stmt *sql.Stmt) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.stmts[text]; first != nil {
		s.discard(stmt)
		return first
	}
	for other, old := range s.stmts {
		if len(s.stmts) < s.most {
			break
		}
		s.discard(old)
		delete(s.stmts, other)
	}
	s.stmts[text] = stmt
	return stmt
}

// close closes all statements. It does not wait for a silent connection for longer
// than closeGrace.
func (s *stmtPool) close() {
	s.mu.Lock()
	s.discard(slices.Collect(maps.Values(s.stmts))...)
	clear(s.stmts)
	discarded := s.discarded
	s.mu.Unlock()
	select {
	case <-discarded:
	case <-time.After(closeGrace):
	}
}

// prepare prepares what will run in a transaction, which may hold the only
// connection there is. The errors are those of the client library.
func (p *Provider) prepare(ctx context.Context, texts ...string) error {
	s, ok := p.pool.(*stmtPool)
	for i := 0; ok && i < len(texts); i++ {
		if _, err := s.prepared(ctx, texts[i]); err != nil {
			return err
		}
	}
	return nil
}

// inside returns tx with the prepared statements of the pool.
func (p *Provider) inside(tx *sql.Tx) querier {
	if s, ok := p.pool.(*stmtPool); ok {
		return stmtTx{tx, s}
	}
	return tx
}

type stmtTx struct {
	tx   *sql.Tx
	pool *stmtPool
}

func (t stmtTx) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	t.pool.mu.RLock()
	stmt := t.pool.stmts[text]
	t.pool.mu.RUnlock()
	if stmt == nil {
		return t.tx.QueryContext(ctx, text, args...)
	}
	rows, err := t.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	t.pool.forget(text, err)
	return rows, closedMeanwhile(err)
}
