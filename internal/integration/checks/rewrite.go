package checks

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Rewriting returns a pool, with whose statements rewrite does as it likes.
func Rewriting(tb testing.TB, dsn string, rewrite func(string) string) *sql.DB {
	tb.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	OK(tb, err)
	db := sql.OpenDB(connector{stdlib.GetConnector(*cfg), rewrite})
	db.SetMaxIdleConns(20)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

type connector struct {
	sqldriver.Connector
	rewrite func(string) string
}

func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	cn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return conn{cn.(*stdlib.Conn), c.rewrite}, nil
}

type conn struct {
	*stdlib.Conn
	rewrite func(string) string
}

func (c conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return c.Conn.QueryContext(ctx, c.rewrite(query), args)
}
