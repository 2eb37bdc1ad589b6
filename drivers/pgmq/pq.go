package pgmq

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"time"

	"github.com/lib/pq"
)

func (o options) pqConnector() (sqldriver.Connector, error) {
	cfg := o.pq.Clone()
	if o.prepare {
		maps.Copy(cfg.Runtime, ownSettings)
	}
	cfg.BinaryParameters = !o.prepare
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil { // its text may quote a value
		return nil, errors.New("driver=pq cannot be configured")
	}
	c.Dialer(pqDialer{dialer{o.links}})
	return pqConnector{c, o.links}, nil
}

// pqConnector mends what lib/pq says of a connection that is lost while a
// statement runs: driver.ErrBadConn, upon which database/sql runs the
// statement again, though it may have been applied.
type pqConnector struct {
	sqldriver.Connector
	links *links
}

func (c pqConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	var s slot
	// Once it has dialled, lib/pq does not look at ctx any more.
	stop := context.AfterFunc(ctx, s.abandon)
	cn, err := c.Connector.Connect(context.WithValue(ctx, slotKey{}, &s))
	if !stop() && err == nil {
		_ = cn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, &connectError{err}
	}
	return &pqConn{pqConner: cn.(pqConner), used: time.Now(), link: s.link, links: c.links}, nil
}

// pqDialer gives a request to cancel a statement no more time than the statement
// itself has left, cancelGrace. lib/pq would wait for it as long as for a
// connection, and the caller with it.
type pqDialer struct{ dialer }

func (d pqDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx.Value(slotKey{}) != nil {
		return d.dialer.DialContext(ctx, network, address)
	}
	end := time.Now().Add(cancelGrace)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	c, err := d.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return brief{c}, c.SetDeadline(end)
}

// brief is a connection whose deadline lib/pq cannot move.
type brief struct{ net.Conn }

func (brief) SetDeadline(time.Time) error { return nil }

// pqConner is what a connection of lib/pq can do.
type pqConner interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.NamedValueChecker
	sqldriver.Pinger
	sqldriver.QueryerContext
	sqldriver.SessionResetter
	sqldriver.Validator
}

type pqConn struct {
	pqConner
	used   time.Time
	link   *link
	links  *links
	unused int // prepared statements that were closed here, but not at the server
}

// maxUnused is how many unused statements a session keeps before it is replaced.
const maxUnused = 256

// IsValid reports whether the pool may keep the connection.
func (c *pqConn) IsValid() bool { return c.unused < maxUnused && c.pqConner.IsValid() }

// ResetSession pings a connection that has been idle for a second, as that of
// pgx does: one that is dead is found before a statement is lost with it.
func (c *pqConn) ResetSession(ctx context.Context) error {
	if c.links.suspects(c.link) {
		c.link.abandon()
		return sqldriver.ErrBadConn
	}
	idle := time.Since(c.used)
	c.used = time.Now()
	if idle > time.Second {
		if err := c.Ping(ctx); err != nil {
			return sqldriver.ErrBadConn
		}
	}
	return c.pqConner.ResetSession(ctx)
}

// Ping gives up with its ctx, and after pingLimit.
func (c *pqConn) Ping(ctx context.Context) error {
	ctx, cancel := bounded(ctx, pingLimit)
	defer cancel()
	defer c.link.guard(ctx, 0)()
	start := time.Now()
	err := c.pqConner.Ping(ctx)
	c.links.checkSilence(ctx, start, err)
	return err
}

// Close sends a farewell, for which nobody waits.
func (c *pqConn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), pingLimit)
	defer cancel()
	defer c.link.guard(ctx, 0)()
	return c.pqConner.Close()
}

func (c *pqConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	defer c.link.guard(ctx, cancelGrace)()
	return pqRun(ctx, c, func() (sqldriver.Result, error) { return c.pqConner.ExecContext(ctx, query, args) })
}

func (c *pqConn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return pqQuery(ctx, c, func() (sqldriver.Rows, error) { return c.pqConner.QueryContext(ctx, query, args) })
}

func (c *pqConn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	defer c.link.guard(ctx, cancelGrace)()
	st, err := c.pqConner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return pqStmt{st.(pqStmter), c}, nil
}

func (c *pqConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	release := c.link.guard(ctx, cancelGrace)
	tx, err := c.pqConner.BeginTx(ctx, opts)
	if err != nil {
		release()
		return nil, err
	}
	return pqTx{tx, ctx, c, release}, nil
}

type pqStmter interface {
	sqldriver.Stmt
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
}

type pqStmt struct {
	pqStmter
	c *pqConn
}

// Close leaves the statement to the end of its session. lib/pq would wait for the
// server, and meanwhile database/sql holds the lock of the whole pool.
func (s pqStmt) Close() error {
	s.c.unused++
	return nil
}

func (s pqStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	defer s.c.link.guard(ctx, cancelGrace)()
	return pqRun(ctx, s.c, func() (sqldriver.Result, error) { return s.pqStmter.ExecContext(ctx, args) })
}

func (s pqStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return pqQuery(ctx, s.c, func() (sqldriver.Rows, error) { return s.pqStmter.QueryContext(ctx, args) })
}

type pqTx struct {
	sqldriver.Tx
	ctx     context.Context
	c       *pqConn
	release func() // the connection, from the guard of ctx
}

func (t pqTx) Commit() error {
	defer t.release()
	_, err := pqRun(t.ctx, t.c, func() (any, error) { return nil, t.Tx.Commit() })
	return err
}

// Rollback gives up after pingLimit.
func (t pqTx) Rollback() error {
	defer t.release()
	ctx, cancel := context.WithTimeout(context.Background(), pingLimit)
	defer cancel()
	defer t.c.link.guard(ctx, 0)()
	return t.Tx.Rollback()
}

type pqRows struct {
	sqldriver.Rows
	ctx     context.Context
	release func()
}

// Close reads what is left.
func (r pqRows) Close() error {
	defer r.release()
	return r.Rows.Close()
}

func (r pqRows) Next(dest []sqldriver.Value) error {
	err := r.Rows.Next(dest)
	if err == nil || err == io.EOF {
		return err
	}
	return interrupted(r.ctx, true, err)
}

func pqQuery(ctx context.Context, c *pqConn, query func() (sqldriver.Rows, error)) (sqldriver.Rows, error) {
	release := c.link.guard(ctx, cancelGrace) // until the rows are closed
	rows, err := pqRun(ctx, c, query)
	if err != nil {
		release()
		return nil, err
	}
	return pqRows{rows, ctx, release}, nil
}

// pqRun runs a statement.
func pqRun[T any](ctx context.Context, c *pqConn, statement func() (T, error)) (T, error) {
	valid := c.pqConner.IsValid()
	v, err := statement()
	if err != nil {
		err = interrupted(ctx, valid, err)
	}
	return v, err
}

var errLost = errors.New("lib/pq lost the connection while a statement ran")

// interrupted returns err as it is if the connection was not valid before, and
// else with what lib/pq does not say.
func interrupted(ctx context.Context, valid bool, err error) error {
	if valid && err == sqldriver.ErrBadConn {
		err = errLost
	}
	if valid && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
