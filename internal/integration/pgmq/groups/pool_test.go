package groups

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
)

var quiet = checks.Quiet

// open returns a client with a pool of its own.
func open(t testing.TB, dsn, params string) *mq.Client {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "pgmq"
	u.RawQuery += "&" + params
	c, err := mq.OpenConfig(u.String(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// borrow returns a client on a pool.
func borrow(t testing.TB, db *sql.DB) *mq.Client {
	t.Helper()
	c := mq.New(pgmq.FromDB(db, pgmq.Config{}), quiet)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func pool(t testing.TB, dsn string) *sql.DB { return rewritten(t, dsn, nil) }

// rewritten returns a pool, with whose statements rewrite does as it likes.
func rewritten(t testing.TB, dsn string, rewrite func(string) string) *sql.DB {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c := stdlib.GetConnector(*cfg)
	if rewrite != nil {
		c = connector{c, rewrite}
	}
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(20)
	t.Cleanup(func() { _ = db.Close() })
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

// chooses and claims tell the two statements of a claim.
func chooses(text string) bool { return strings.Contains(text, "pg_try_advisory_xact_lock") }
func claims(text string) bool  { return strings.Contains(text, "current_setting('mq.groups'") }

func exec(t testing.TB, db *sql.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		checks.Exec(t, db, text)
	}
}
