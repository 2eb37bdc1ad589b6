package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portmq/mq"
)

// lookTime is how long one look may take. PostgreSQL itself ends statements
// earlier, see the statement "limits"; this is for a server that does not answer.
const lookTime = 15 * time.Second

// look is something that the doctor looks at.
type look struct {
	where, what string
	tables      []string // of PGMQ's schema; all if none is named
}

// unseen reports a check that failed as a problem, since it may have hidden one.
// It returns an error if the other checks would fail as well, because ctx has
// ended or the backend has fallen silent.
func (d *doctor) unseen(ctx context.Context, l look, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	d.problem(l.where, "%s could not be checked: %s%s", l.what, whyUnseen(err), d.inTheWay(ctx, l, err))
	for _, silent := range []error{context.DeadlineExceeded, mq.ErrUnavailable, mq.ErrBadConn} {
		if errors.Is(err, silent) {
			return again(ctx, func() error { return d.client.Ping(ctx) }) // one connection may hang, or all
		}
	}
	return nil
}

// The SQLSTATEs of looks that failed.
const (
	lockTimeout = "55P03"
	cutOff      = "57014"
	denied      = "42501"
)

func sqlState(err error) string {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func whyUnseen(err error) string {
	switch code := sqlState(err); {
	case code == lockTimeout:
		return "no lock within 2s"
	case code == cutOff:
		return "it took longer than 10s"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer in %v", lookTime)
	}
	return oneLine(err)
}

// inTheWay names the session that a look waited for, if it can be found.
func (d *doctor) inTheWay(ctx context.Context, l look, err error) string {
	if sqlState(err) != lockTimeout || d.db == nil {
		return ""
	}
	bs, _ := rowsOf(ctx, d.db, "in the way", blockerColumns, strings.Join(l.tables, "\n"))
	if len(bs) == 0 {
		return ""
	}
	return fmt.Sprintf("; blocked by %v", bs[0])
}

// readOnly runs f in a transaction that can change nothing, and whose statements
// have limits.
func readOnly(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, doctorStatement("limits")); err != nil {
		return err
	}
	return f(ctx, tx)
}
