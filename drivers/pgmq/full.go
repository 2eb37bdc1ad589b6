package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// errFull is in the errors of calls whose ctx ended while they waited for a
// connection of an exhausted pool. Nothing was sent.
var errFull = errors.New("all connections of the pool are in use")

// noneFree adds errFull to the error of a call that may have waited for a connection
// of db. The pool then returns the bare error of ctx.
func noneFree(ctx context.Context, err error, db *sql.DB) error {
	if bare := err == context.Canceled || err == context.DeadlineExceeded; bare && allInUse(db) {
		return waitedInVain(ctx)
	}
	return err
}

func waitedInVain(ctx context.Context) error {
	return fmt.Errorf("%w: %w", errFull, context.Cause(ctx))
}

func allInUse(db *sql.DB) bool {
	s := db.Stats()
	return s.MaxOpenConnections > 0 && s.InUse >= s.MaxOpenConnections
}

func allAcquired(pool *pgxpool.Pool) bool {
	s := pool.Stat()
	return s.AcquiredConns() >= s.MaxConns()
}

// poolConnector takes connections from a pool of pgx, for database/sql.
type poolConnector struct {
	sqldriver.Connector
	pool *pgxpool.Pool
}

// databaseOf is stdlib.OpenDBFromPool, whose errors say if the pool is exhausted.
func databaseOf(pool *pgxpool.Pool) *sql.DB {
	db := sql.OpenDB(poolConnector{stdlib.GetPoolConnector(pool), pool})
	db.SetMaxIdleConns(0)
	db.SetMaxOpenConns(int(pool.Stat().MaxConns()))
	return db
}

func (c poolConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, notAcquired(ctx, c.pool, err)
	}
	return conn, nil
}
