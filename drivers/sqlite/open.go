package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers itself as "sqlite"

	"github.com/portmq/mq/driver"
)

// schemaVersion is the version of the layout that this driver writes.
const schemaVersion = 5

// pragmas are the settings of each connection of the provider's own.
//
// busy_timeout is 0, because SQLite's own wait knows no context: the provider repeats
// what is busy. A checkpoint holds up the commit that reaches its limit; a larger log
// makes that rarer, and longer.
var pragmas = []string{
	"busy_timeout(0)",
	"wal_autocheckpoint(4000)",
	"journal_size_limit(67108864)",
	"cache_size(-32768)",
	"temp_store(memory)",
}

// openPool returns a pool of the provider's own. It does no I/O.
func openPool(o options, conns int) *sql.DB {
	q := url.Values{"_pragma": append([]string{"synchronous(" + string(o.synchronous) + ")"}, pragmas...)}
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(o.path)}).EscapedPath() + "?" + q.Encode()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		panic("sqlite: " + err.Error()) // the library is not registered
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// ensureOpen opens the file if that was not done, or has failed.
func (p *Provider) ensureOpen(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.closed.Load() {
		return driver.ErrClosed
	}
	if p.opened.Load() {
		return nil
	}
	select {
	case p.opening <- struct{}{}:
		defer func() { <-p.opening }()
	case <-p.ctx.Done():
		return driver.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.opened.Load() {
		return nil
	}
	// Many processes that open a new file at once get in each other's way, and a
	// timeout does not always apply: it is repeated as a whole.
	err := p.retry(ctx, func() error { return p.open(ctx) })
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return mapError(err)
}

// open checks the file, and creates what is missing in it.
func (p *Provider) open(ctx context.Context) error {
	if p.owned {
		if err := checkFileSystem(p.opts.path); err != nil {
			return err
		}
	}
	path, err := p.checkConnection(ctx)
	if err != nil {
		return err
	}
	if err := p.migrate(ctx); err != nil {
		return err
	}
	f, err := join(p, path)
	if err != nil {
		return err
	}
	p.file, p.hub = f, f.hub
	p.opened.Store(true)
	return nil
}

// checkConnection refuses a database that the provider cannot keep its promises on,
// and returns the path of its file.
func (p *Provider) checkConnection(ctx context.Context) (path string, err error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	var journal string
	var synchronous, application int64
	for text, dest := range map[string]any{"journal_mode": &journal, "synchronous": &synchronous, "application_id": &application} {
		if err := conn.QueryRowContext(ctx, "PRAGMA "+text).Scan(dest); err != nil {
			return "", err
		}
	}
	if err := conn.QueryRowContext(ctx, sqlFile).Scan(&path); err != nil {
		return "", err
	}
	if p.owned && application == 0 { // the mode stays in the file
		if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&journal); err != nil {
			return "", err
		}
	}
	switch {
	case path == "":
		return "", refuse("the database is in memory: use mem:// for that")
	case p.owned && application != 0:
		return "", refuse("the file belongs to another program (application_id %#x): choose another one, or open it yourself and use sqlite.FromDB", application)
	case !strings.EqualFold(journal, "wal"):
		return "", refuse("the journal mode of the file is %s: run PRAGMA journal_mode = WAL once", journal)
	case p.opts.synchronous == Full && synchronous < 2:
		return "", refuse("the connections of the database have synchronous = %s, so that a power cut may lose messages: open it with FULL, or say Normal in sqlite.Config", synchronousName(synchronous))
	}
	return path, nil
}

func synchronousName(n int64) string {
	names := []string{"OFF", "NORMAL", "FULL", "EXTRA"}
	if n < 0 || n >= int64(len(names)) {
		return strconv.FormatInt(n, 10)
	}
	return names[n]
}

// migrate creates the tables, or brings those of an older layout up to date.
func (p *Provider) migrate(ctx context.Context) error {
	version, err := layout(ctx, p.db)
	if err == nil && version < schemaVersion {
		err = p.create(ctx)
	}
	if err == nil {
		err = checkLayout(version)
	}
	return err
}

func checkLayout(version int64) error {
	if version <= schemaVersion {
		return nil
	}
	return refuse("the file was written by a newer version of this driver (layout %d, this one knows %d): upgrade it", version, schemaVersion)
}

// layout returns the version of the tables in the file, 0 if there are none.
func layout(ctx context.Context, run driver.SQLTx) (version int64, err error) {
	var tables int64
	var found bool
	if err := query(ctx, run, into(&found, &tables), sqlTables); err != nil || tables == 0 {
		return 0, err
	}
	found = false
	err = query(ctx, run, into(&found, &version), sqlVersion)
	if err == nil && !found {
		err = refuse("the table mq_schema of the file is empty or not of this driver")
	}
	return version, err
}

// create makes what is missing in one transaction, unless somebody else has.
func (p *Provider) create(ctx context.Context) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	version, err := layout(ctx, conn)
	for old := version; err == nil && version < schemaVersion; version++ {
		_, err = conn.ExecContext(ctx, layouts[version])
		if err == nil && old > 0 && version+1 == schemaVersion {
			err = renewTriggers(ctx, conn)
		}
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		rollback(ctx, conn)
	}
	return err
}

// rollback ends the transaction of a connection, if there is one, even if ctx has ended.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = conn.ExecContext(ctx, "ROLLBACK")
}

// renewTriggers replaces the triggers of an older version, if there are any.
func renewTriggers(ctx context.Context, conn *sql.Conn) error {
	var found bool
	var id int64
	if err := query(ctx, conn, into(&found, &id), sqlAnyGrouping); err != nil || !found {
		return err
	}
	_, err := conn.ExecContext(ctx, triggersSQL)
	return err
}

// newMark returns a random number for a queue.
func newMark() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 2)
}
