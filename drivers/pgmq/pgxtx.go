package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
)

// Tx lets mq work in a transaction of pgx, where it otherwise takes one of
// database/sql:
//
//	d.AckTx(ctx, pgmq.Tx(tx))
//
// The transaction must be in the database of the queues, on any pool or connection;
// this is not checked. Nested transactions (savepoints) work as well. Close the rows
// of a query before you send or settle, or the call is ErrInvalid. Like tx itself
// the result is for one goroutine at a time, and it needs no closing. The provider
// runs its statements with tx.Query, at no cost beyond that.
func Tx(tx pgx.Tx) driver.SQLTx { return pgxTx{tx} }

// pgxTx is recognized by query, which runs statements directly. Its methods serve
// types that wrap it.
type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) query(ctx context.Context, text string, args []any, scan func(row) error) error {
	rows, err := t.tx.Query(ctx, text, native(args, t.guesses())...)
	if err != nil && err.Error() == "conn busy" {
		return &dbError{text: "the transaction is busy with another statement (close the rows of its queries first)", is: driver.ErrInvalid, cause: err}
	}
	if err != nil {
		return err
	}
	return readRows(rows, scan)
}

// guesses reports whether pgx does not ask the server for the types of arguments,
// or may not.
func (t pgxTx) guesses() bool {
	c := t.tx.Conn() // nil if it is a mock
	return c == nil || guesses(c)
}

// QueryContext implements [driver.SQLTx].
func (t pgxTx) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	db := sql.OpenDB(txConnector(t))
	defer func() { _ = db.Close() }() // which leaves the rows to their reader
	return db.QueryContext(ctx, text, args...)
}

// ExecContext implements [driver.SQLTx].
func (t pgxTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	db := sql.OpenDB(txConnector(t))
	defer func() { _ = db.Close() }()
	return db.ExecContext(ctx, text, args...)
}

// txConnector makes database/sql run statements in a transaction of pgx: only it
// can make a *sql.Rows.
type txConnector pgxTx

func (c txConnector) Connect(context.Context) (sqldriver.Conn, error) { return txConn(c), nil }
func (c txConnector) Driver() sqldriver.Driver                        { return nil }

type txConn pgxTx

var (
	_ sqldriver.QueryerContext = txConn{}
	_ sqldriver.ExecerContext  = txConn{}
)

var errTxConn = errors.New("pgmq: only statements run in a transaction of pgx")

func (txConn) Prepare(string) (sqldriver.Stmt, error) { return nil, errTxConn }
func (txConn) Begin() (sqldriver.Tx, error)           { return nil, errTxConn }
func (txConn) Close() error                           { return nil }

func (c txConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := c.tx.Query(ctx, text, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, unnamed(args)...)...)
	if err != nil {
		return nil, err
	}
	more := rows.Next() // else an error of the statement, and the columns, would not be known yet
	if err := rows.Err(); err != nil {
		rows.Close()
		return nil, err
	}
	return &txRows{rows: rows, more: more}, nil
}

func (c txConn) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	done, err := c.tx.Exec(ctx, text, unnamed(args)...)
	return sqldriver.RowsAffected(done.RowsAffected()), err
}

func unnamed(args []sqldriver.NamedValue) []any {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a.Value
	}
	return values
}

// txRows has all values as texts.
type txRows struct {
	rows pgx.Rows
	more bool // the current row is still to be read
}

func (r *txRows) Columns() (names []string) {
	for _, f := range r.rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	return names
}

func (r *txRows) Close() error {
	r.rows.Close()
	return r.rows.Err()
}

func (r *txRows) Next(dest []sqldriver.Value) error {
	if !r.more && !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	r.more = false
	for i, raw := range r.rows.RawValues() {
		if dest[i] = nil; raw != nil {
			dest[i] = string(raw)
		}
	}
	return nil
}
