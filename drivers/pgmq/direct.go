package pgmq

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// pgxPool is a pool whose connections are pgx's. It takes them from
// database/sql and then talks to pgx itself, which saves a goroutine and the
// conversion of each value, and can send the statements of a transaction
// together.
type pgxPool struct {
	*sql.DB
	*connKind
	shared *pgxpool.Pool // below DB, and used in its place; or nil
}

// connKind records what has been learnt about a pool's connections.
type connKind struct {
	wrapped atomic.Bool // they are not pgx's own
	once    sync.Once
	guesses bool // see guesses
}

// errWrapped says that a connection is wrapped, by somebody who wants to see
// what is run on it. Nothing was.
var errWrapped = errors.New("the connection is wrapped")

// isPGX reports whether a pool's connections seem to be pgx's.
func isPGX(db *sql.DB) bool {
	_, ok := db.Driver().(*stdlib.Driver)
	return ok
}

// directly returns pool if its connections are pgx's own.
func directly(pool querier) (pgxPool, bool) {
	p, ok := pool.(pgxPool)
	return p, ok && !p.wrapped.Load()
}

// use runs f on a connection. Like database/sql it tries again with another
// one if a connection turns out to be closed before anything was sent.
func (p pgxPool) use(ctx context.Context, f func(*pgx.Conn) error) (err error) {
	for range 3 {
		if err = p.try(ctx, f); err == nil || !unsent(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (p pgxPool) try(ctx context.Context, f func(*pgx.Conn) error) error {
	if p.shared != nil {
		c, err := p.shared.Acquire(ctx)
		if err != nil {
			return notAcquired(ctx, p.shared, err)
		}
		defer c.Release()
		p.learn(c.Conn())
		return f(c.Conn())
	}
	conn, err := p.Conn(ctx)
	if err != nil {
		return &connectError{noneFree(ctx, err, p.DB)}
	}
	defer func() { _ = conn.Close() }()
	rawErr := conn.Raw(func(c any) error {
		own, ok := c.(*stdlib.Conn)
		if !ok {
			p.wrapped.Store(true)
			err = errWrapped
			return nil
		}
		pc := own.Conn()
		p.learn(pc)
		if pc.IsClosed() {
			err = sqldriver.ErrBadConn
			return err
		}
		if err = f(pc); pc.IsClosed() || pc.PgConn().TxStatus() != 'I' {
			return sqldriver.ErrBadConn // not to be used again
		}
		return nil
	})
	if err == nil && rawErr != nil && rawErr != sqldriver.ErrBadConn {
		return rawErr
	}
	return err
}

// notAcquired returns why a pool of pgx has given no connection. What a hook of
// the pool says is about connecting.
func notAcquired(ctx context.Context, pool *pgxpool.Pool, err error) error {
	switch {
	case isClosedPool(err):
		return err
	case ctx.Err() != nil && allAcquired(pool):
		return waitedInVain(ctx)
	}
	return &connectError{err}
}

func isClosedPool(err error) bool { return err.Error() == "closed pool" }

func (m *connKind) learn(c *pgx.Conn) { m.once.Do(func() { m.guesses = guesses(c) }) }

func (p pgxPool) query(ctx context.Context, text string, args []any, scan func(row) error) error {
	return p.use(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, text, native(args, p.guesses)...)
		if err != nil {
			return err
		}
		return readRows(rows, scan)
	})
}

// guesses reports whether a connection goes by the values' types, as it does not
// ask the server for its own.
func guesses(c *pgx.Conn) bool {
	mode := c.Config().DefaultQueryExecMode
	return mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol
}

// native turns texts into what pgx copies only once, or into strings where bytes
// would be taken for a bytea.
func native(args []any, guesses bool) []any {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case textArray:
			if args[i] = pgxArray(arg); guesses {
				args[i] = arg.strings()
			}
		case text:
			if args[i] = []byte(arg); guesses {
				args[i] = string(arg)
			}
		}
	}
	return args
}

func readRows(rows pgx.Rows, scan func(row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transact runs steps in a transaction of their own, in one round trip.
func (p pgxPool) transact(ctx context.Context, steps ...step) error {
	return p.use(ctx, func(c *pgx.Conn) error {
		var b pgx.Batch
		b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
		for _, s := range steps {
			b.Queue(s.text, s.args...).Query(func(rows pgx.Rows) error { return readRows(rows, s.scan) })
		}
		b.Queue("COMMIT")
		return c.SendBatch(ctx, &b).Close()
	})
}
