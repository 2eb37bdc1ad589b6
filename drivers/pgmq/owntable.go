package pgmq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

// ownTables are the statements that make the driver's own tables, beside PGMQ as well.
var ownTables = []string{"make keys", "make paused", "make consumers"}

// ownTable is one of them. The first call that has to write to it makes it.
type ownTable struct {
	name   string
	making string // the name of the statement that makes it
	rights string // that those need who use it

	there   atomic.Bool
	refused atomic.Pointer[refusal] // of a call that nobody waits for
}

// exists reports whether the table is there. While it is not, each call looks.
func (t *ownTable) exists(ctx context.Context, at querier) (there bool, err error) {
	if t.there.Load() {
		return true, nil
	}
	short, cancel := bounded(ctx, probeLimit)
	defer cancel()
	err = query(short, at, statement("has table", nil), []any{t.name}, func(rows row) error { return rows.Scan(&there) })
	t.there.Store(there && err == nil)
	return there, err
}

// ensureTable makes the table, if it is missing.
func (p *Provider) ensureTable(ctx context.Context, at querier, t *ownTable) error {
	there, err := t.exists(ctx, at)
	if there || err != nil {
		return readErrorOf(ctx, err)
	}
	within, cancel := bounded(ctx, callLimit)
	defer cancel()
	within, done := p.untilClosed(within)
	defer done()
	err = ddl{db: p.db, log: p.log}.run(within, func(tx *sql.Tx) error { return install(within, tx, t.making) })
	if sqlState(err) == "42501" {
		return fmt.Errorf("%w: the table %s is missing, and the role may not create it (pgmq.Install does)", driver.ErrNotSupported, t.name)
	}
	t.there.Store(err == nil)
	return p.orClosed(readErrorOf(ctx, err))
}

// failed maps the error of a statement on the table, which may be repeated. It is looked
// for again if it is missing.
func (t *ownTable) failed(ctx context.Context, err error) error {
	switch sqlState(err) {
	case "42P01":
		t.there.Store(false)
		return &dbError{text: "the table " + t.name + " was dropped", code: "42P01", is: driver.ErrBadConn, cause: err}
	case "42501":
		return fmt.Errorf("%w: the role may not use the table %s (GRANT %s ON it)", driver.ErrNotSupported, t.name, t.rights)
	}
	return readErrorOf(ctx, err)
}

// refusal is an error that would come again, and when it came.
type refusal struct {
	err error
	at  time.Time
}

// refusedFor is how long a refusal is believed.
const refusedFor = time.Minute

// remember remembers that the role or the node cannot write the table.
func (t *ownTable) remember(err error) {
	switch code := sqlState(err); {
	case errors.Is(err, driver.ErrNotSupported), code == "25006", code == "0A000":
		t.refused.Store(&refusal{err, time.Now()})
	}
}

// refuses returns the error of a refusal that is believed.
func (t *ownTable) refuses() error {
	if r := t.refused.Load(); r != nil && time.Since(r.at) < refusedFor {
		return r.err
	}
	return nil
}
