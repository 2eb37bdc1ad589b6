package main

import (
	"context"
	"database/sql"
	"net/url"
	"strings"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// sqliteFile has the queue in the file and the pool of the program's own tables.
type sqliteFile struct {
	db *sql.DB
}

// A transaction begins as the writer: one that has read first cannot write any
// more once another one has. While it goes on, all others wait.
var sqliteSettings = url.Values{
	"_txlock": {"immediate"},
	"_pragma": {"journal_mode(wal)", "synchronous(full)", "busy_timeout(10000)"},
}

const sqliteTable = `CREATE TABLE IF NOT EXISTS shop_orders (
	id        INTEGER PRIMARY KEY,
	item      TEXT NOT NULL,
	shipments INTEGER NOT NULL DEFAULT 0
) STRICT`

func (f *sqliteFile) open(ctx context.Context, dsn string) (_ *mq.Client, err error) {
	path := strings.TrimPrefix(dsn, "sqlite://")
	if f.db, err = sql.Open("sqlite", "file:"+path+"?"+sqliteSettings.Encode()); err != nil {
		return nil, err
	}
	f.db.SetMaxOpenConns(1) // SQLite has one writer: waiting in the pool is fair, and faster than SQLite's sleeps
	_, err = f.db.ExecContext(ctx, sqliteTable)
	return mq.New(sqlite.FromDB(f.db, sqlite.Config{}), mq.Config{}), err
}

func (f *sqliteFile) sql() *sql.DB { return f.db }

func (f *sqliteFile) place(ctx context.Context, queue mq.TypedQueue[Order], item string, charge func() error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	o := Order{Item: item}
	if err := tx.QueryRowContext(ctx, insertOrder, item).Scan(&o.ID); err != nil {
		return err
	}
	if _, err := queue.SendTx(ctx, tx, o); err != nil {
		return err
	}
	if err := charge(); err != nil {
		return err
	}
	return tx.Commit()
}

func (f *sqliteFile) close() {
	if f.db != nil {
		_ = f.db.Close()
	}
}
