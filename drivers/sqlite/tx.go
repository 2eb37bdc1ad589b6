package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// Tx returns a view that runs its statements inside tx, a transaction on the same
// file: a *sql.Tx, or what wraps one. Its connection must be of the same SQLite
// library.
func (p *Provider) Tx(tx driver.SQLTx) (driver.TxProvider, error) {
	if p.closed.Load() {
		return nil, driver.ErrClosed
	}
	return txProvider{p, tx}, nil
}

// txProvider works inside a caller's transaction, which has the write lock from the
// first call on: all other writers wait for its end.
type txProvider struct {
	p  *Provider
	tx driver.SQLTx
}

// Send stores msgs.
func (t txProvider) Send(ctx context.Context, name string, msgs []driver.Message) (ids []string, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, t.abort(ctx, err)
	}
	err = t.do(ctx, func(tx *txn) error {
		ids, err = tx.send(name, rows)
		return err
	})
	return ids, err
}

// Settle fails the whole transaction if one of the settlements fails.
func (t txProvider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	b, done, err := newBatch(name, s)
	switch {
	case err != nil:
		return t.abort(ctx, err)
	case done:
		return nil
	}
	return t.do(ctx, func(tx *txn) error {
		errs, err := tx.settle(b)
		if err == nil {
			err = driver.Batch(errs)
		}
		return err
	})
}

// do runs f in the transaction. Receivers learn of what it has done from the file.
func (t txProvider) do(ctx context.Context, f func(*txn) error) error {
	tx := begun(ctx, t.tx)
	err := t.check(ctx)
	if err == nil {
		err = t.lock(ctx)
	}
	if err == nil {
		tx.now = now()
		err = f(tx)
	}
	if err == nil {
		err = tx.flush()
	}
	if err == nil {
		return nil
	}
	return t.abort(ctx, mapError(cutOff(ctx, err)))
}

// check opens the file if the provider has not. If that must wait, for the transaction
// itself, perhaps, the transaction looks for the tables.
func (t txProvider) check(ctx context.Context) error {
	if !t.p.opened.Load() && !t.p.oneConnection() {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = t.p.ensureOpen(short)
	}
	if t.p.opened.Load() {
		return t.checkFile(ctx)
	}
	version, err := layout(ctx, t.tx)
	if err == nil {
		err = checkLayout(version)
	}
	switch {
	case err != nil:
	case version == 0:
		err = driver.ErrQueueNotFound
	case version < schemaVersion:
		err = refuse("the file has an older layout, and was not opened before the transaction: call Client.Ping first")
	}
	return err
}

// checkFile refuses a transaction in another file.
func (t txProvider) checkFile(ctx context.Context) error {
	var path string
	var found bool
	if err := query(ctx, t.tx, into(&found, &path), sqlFile); err != nil {
		return err
	}
	if t.p.file.is(path) {
		return nil
	}
	return refuse("the transaction is in another file than the queue")
}

// lock makes the transaction the writer. In one that has read before it may be too
// late.
func (t txProvider) lock(ctx context.Context) error {
	return t.p.retry(ctx, func() error {
		_, err := t.tx.ExecContext(ctx, sqlLock)
		return err
	})
}

// abort keeps the transaction from being committed as if nothing had failed: SQLite
// goes on after an error. A rollback alone would have each later statement commit by
// itself. So a new transaction begins in which nothing can be written: it has read, and
// then somebody else has written. The caller's next write fails, and its commit commits
// nothing.
func (t txProvider) abort(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if e := t.spoil(ctx); e != nil {
		return fmt.Errorf("%w (roll the transaction back; do not commit it: what else it writes would be kept)", err)
	}
	return fmt.Errorf("%w (roll the transaction back)", err)
}

func (t txProvider) spoil(ctx context.Context) error {
	if _, err := t.tx.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err
	}
	if t.p.oneConnection() {
		return errOneConnection // at least the commit will fail
	}
	if _, err := t.tx.ExecContext(ctx, "BEGIN DEFERRED"); err != nil {
		return err
	}
	if err := query(ctx, t.tx, ignore, sqlTables); err != nil {
		return err
	}
	return t.p.write(ctx, func(w *txn) error {
		_, err := w.exec(sqlTouch)
		return err
	})
}

// oneConnection reports whether a caller's transaction has the only connection.
func (p *Provider) oneConnection() bool {
	return !p.owned && p.db.Stats().MaxOpenConnections == 1
}

// errOneConnection says that nobody else can write, since the transaction has the only
// connection.
var errOneConnection = errors.New("the pool has one connection")

func ignore(*sql.Rows) error { return nil }
