package pgmq

import (
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// OpenDB returns a pool of the database that a pgmq:// DSN names, for a
// program's own statements: its tables beside the queues, and transactions for
// mq.Queue.Tx. It does no I/O.
//
// The parameters are those of mq.Open. The connections are pgx's, whatever
// driver says, and have none of the settings that the provider makes for its
// own; at most pool_max_conns are open. Close the pool when it is not needed any
// more.
func OpenDB(dsn string) (*sql.DB, error) {
	o, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("pgmq: %w", err)
	}
	cfg := o.conn.Copy()
	if !o.prepare {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(o.maxConns)
	return db, nil
}
