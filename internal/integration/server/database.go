package server

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database lends an empty database to a test, and returns the administrator's
// DSN of it.
func (c *Cluster) Database(tb testing.TB) (dsn string) {
	tb.Helper()
	name := c.takeSpare()
	if name == "" {
		name = fresh()
		if err := c.exec("CREATE DATABASE " + name); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		tb.Helper()
		if err := c.giveBack(name); err != nil {
			tb.Error(err)
		}
	})
	return c.DSN(name)
}

func (c *Cluster) takeSpare() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spare) == 0 {
		return ""
	}
	name := c.spare[0]
	c.spare = c.spare[1:]
	return name
}

// giveBack keeps a database that it can empty, which costs a tenth of making
// another, and drops any other.
func (c *Cluster) giveBack(name string) error {
	if !c.empty(name) {
		return c.drop(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = append(c.spare, name)
	return nil
}

func (c *Cluster) drop(name string) error {
	return c.exec("DROP DATABASE " + name + " WITH (FORCE)")
}

// emptied is true if nothing is left but what every database starts with,
// which has the lowest ids.
const emptied = `SELECT max(oid) < 16384 FROM (
	SELECT oid FROM pg_namespace UNION ALL SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_proc UNION ALL
	SELECT oid FROM pg_type UNION ALL SELECT oid FROM pg_extension UNION ALL SELECT oid FROM pg_default_acl UNION ALL
	SELECT d.oid FROM pg_database d JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = current_database()) o`

// endSessions waits for the sessions of a database to end, and ends those that
// do not: PgBouncer keeps some. It is patient since versions before 1.20 die if
// a session ends while they cancel its last statement, see
// https://github.com/pgbouncer/pgbouncer/issues/822.
func endSessions(ctx context.Context, conn *pgx.Conn) error {
	for begin, left := time.Now(), 1; left > 0; time.Sleep(5 * time.Millisecond) {
		err := conn.QueryRow(ctx, `SELECT count(CASE WHEN $1 THEN pg_terminate_backend(pid) ELSE false END)
			FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
			time.Since(begin) > 300*time.Millisecond).Scan(&left)
		if err != nil {
			return err
		}
	}
	return nil
}

// empty drops the queues of a database. It reports whether that has left it as
// new.
func (c *Cluster) empty(name string) (done bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN(name))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := endSessions(ctx, conn); err != nil {
		return false
	}
	if _, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS pgmq CASCADE"); err != nil {
		return false
	}
	err = conn.QueryRow(ctx, emptied).Scan(&done)
	return err == nil && done
}
