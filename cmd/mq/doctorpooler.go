package main

import (
	"context"
	"database/sql"
	"net/url"
	"slices"
	"time"
)

// How many transactions are held at once to see whether a pooler gives them the
// session of another connection, and how long that may take.
const (
	pooledSessions = 4
	poolerWait     = 10 * time.Second
)

// pooler looks whether sessions are shared between connections: what a
// connection listens for is then lost. If it cannot find out, as with a pooler
// that has only one session, that is advice and not a problem.
func (d *doctor) pooler(ctx context.Context, dsn string) {
	if pollsOnly(dsn) {
		return
	}
	wait, cancel := context.WithTimeout(ctx, poolerWait)
	defer cancel()
	switch shared, err := sharesSessions(wait, d.db); {
	case ctx.Err() != nil:
	case wait.Err() != nil:
		d.advice("wake-ups", "whether a pooler shares sessions between connections could not be determined in %v", poolerWait)
	case err != nil:
		d.advice("wake-ups", "whether a pooler shares sessions between connections could not be determined: %s", oneLine(err))
	case shared:
		d.advice("wake-ups", "a pooler shares sessions between connections, as PgBouncer does in transaction mode: notifications are lost, and receivers poll (give a DSN around the pooler, or poll_only=true)")
	}
}

func pollsOnly(dsn string) bool {
	u, err := url.Parse(dsn)
	return err == nil && slices.Contains([]string{"true", "1", "yes", "on"}, u.Query().Get("poll_only"))
}

// sharesSessions holds transactions on other connections, so that one of them
// gets the session that the first connection has had, or that one another.
// Connections to the server itself keep theirs.
func sharesSessions(ctx context.Context, db *sql.DB) (bool, error) {
	first, err := db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = first.Close() }()
	before, err := sessionOf(ctx, first)
	if err != nil {
		return false, err
	}
	for range min(pooledSessions, max(db.Stats().MaxOpenConnections, 1)-1) {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return false, err
		}
		defer func() { _ = tx.Rollback() }()
		if other, err := sessionOf(ctx, tx); err != nil || other == before {
			return err == nil, err
		}
	}
	after, err := sessionOf(ctx, first)
	return err == nil && after != before, err
}

// sessionOf returns the server process that answers.
func sessionOf(ctx context.Context, at interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (pid int, err error) {
	err = at.QueryRowContext(ctx, doctorStatement("session")).Scan(&pid)
	return pid, err
}
