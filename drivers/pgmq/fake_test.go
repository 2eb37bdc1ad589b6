package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
)

// fake is a database that answers each statement, and BEGIN, COMMIT and ROLLBACK,
// by a function: concurrent callers cannot follow a script.
type fake struct {
	answer  reply
	unended atomic.Int32 // rows and transactions
}

// reply returns the rows of a statement. An error beside rows that are not nil
// comes after them; errHangs never comes.
type reply func(ctx context.Context, text string, args values) ([]values, error)

// errHangs stands for a server that stops between two rows.
var errHangs = errors.New("the server hangs")

// only answers one statement and fails all others.
func only(text string, rows ...values) reply {
	return func(_ context.Context, got string, _ values) ([]values, error) {
		if got != text {
			return nil, errors.New("unexpected: " + got)
		}
		return rows, nil
	}
}

// open returns a provider on the fake.
func (f *fake) open(t testing.TB) *Provider {
	t.Helper()
	p := newProvider(sql.OpenDB(f), Config{Logger: slog.New(slog.DiscardHandler)})
	p.owned = true
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (f *fake) ask(ctx context.Context, text string, args values) ([]values, error) {
	if f.answer == nil {
		return nil, nil
	}
	return f.answer(ctx, text, args)
}

func (f *fake) Connect(context.Context) (sqldriver.Conn, error) { return fakeConn{f}, nil }
func (f *fake) Driver() sqldriver.Driver                        { return nil }

type fakeConn struct{ *fake }

func (fakeConn) Prepare(string) (sqldriver.Stmt, error) { return nil, errors.New("prepared") }
func (fakeConn) Close() error                           { return nil }
func (fakeConn) Begin() (sqldriver.Tx, error)           { return nil, errors.New("begun without options") }

func (c fakeConn) BeginTx(ctx context.Context, o sqldriver.TxOptions) (sqldriver.Tx, error) {
	if _, err := c.ask(ctx, "BEGIN "+sql.IsolationLevel(o.Isolation).String(), nil); err != nil {
		return nil, err
	}
	c.unended.Add(1)
	return fakeTx{c.fake, ctx}, nil
}

// fakeTx commits with the ctx that it was begun with, as pgx and lib/pq do.
type fakeTx struct {
	*fake
	ctx context.Context
}

func (x fakeTx) Commit() error {
	x.unended.Add(-1)
	_, err := x.ask(x.ctx, "COMMIT", nil)
	return err
}

func (x fakeTx) Rollback() error {
	x.unended.Add(-1)
	_, err := x.ask(context.WithoutCancel(x.ctx), "ROLLBACK", nil)
	return err
}

func (c fakeConn) QueryContext(ctx context.Context, text string, named []sqldriver.NamedValue) (sqldriver.Rows, error) {
	var args values
	for _, n := range named {
		args = append(args, n.Value)
	}
	rows, err := c.ask(ctx, text, args)
	if rows == nil && err != nil {
		return nil, err
	}
	c.unended.Add(1)
	width := 0
	if len(rows) > 0 {
		width = len(rows[0])
	}
	return &fakeRows{c.fake, ctx, make([]string, width), rows, err}, nil
}

type fakeRows struct {
	*fake
	ctx     context.Context
	columns []string
	left    []values
	end     error
}

func (r *fakeRows) Columns() []string { return r.columns }

func (r *fakeRows) Close() error {
	r.unended.Add(-1)
	return nil
}

func (r *fakeRows) Next(dest []sqldriver.Value) error {
	switch {
	case len(r.left) > 0:
		copy(dest, r.left[0])
		r.left = r.left[1:]
		return nil
	case r.end == errHangs:
		<-r.ctx.Done()
		return r.ctx.Err()
	case r.end != nil:
		return r.end
	}
	return io.EOF
}
