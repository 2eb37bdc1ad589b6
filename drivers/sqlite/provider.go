package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var (
	_ driver.Provider      = (*Provider)(nil)
	_ driver.QueueManager  = (*Provider)(nil)
	_ driver.StatsLister   = (*Provider)(nil)
	_ driver.Popper        = (*Provider)(nil)
	_ driver.Browser       = (*Provider)(nil)
	_ driver.Searcher      = (*Provider)(nil)
	_ driver.Archivist     = (*Provider)(nil)
	_ driver.ReasonCounter = (*Provider)(nil)
	_ driver.Overrider     = (*Provider)(nil)
	_ driver.Pauser        = (*Provider)(nil)
	_ driver.Registry      = (*Provider)(nil)
	_ driver.GroupReceiver = (*Provider)(nil)
	_ driver.Transactor    = (*Provider)(nil)
	_ driver.Deduplicator  = (*Provider)(nil)
	_ driver.Deduplicator  = txProvider{}
	_ driver.Router        = (*Provider)(nil)
	_ driver.TxPublisher   = txProvider{}
	_ driver.Namer         = (*Provider)(nil)
)

func init() { mq.Register("sqlite", sqliteDriver{}) }

type sqliteDriver struct{}

// Open opens a sqlite:// DSN.
func (sqliteDriver) Open(dsn string, env driver.Env) (driver.Provider, error) {
	o, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	p := newProvider(openPool(o, 1), o, env.Logger)
	p.looks.db = openPool(o, readers)
	p.owned = true
	return p, nil
}

// readers is how many calls that change nothing may run at once.
const readers = 4

// Config says how a provider on a database of the program's works. The zero value
// is the default.
type Config struct {
	// Synchronous is what the connections of the database have: the default Full
	// is PRAGMA synchronous = FULL or EXTRA. Set it in the DSN: the default of
	// mattn/go-sqlite3 is NORMAL. The first call checks one connection. With Normal,
	// Caps.Durable is false.
	Synchronous Synchronous
	// BusyTimeout is how long a call waits for the write lock. 0 means as long as
	// the call may take.
	BusyTimeout time.Duration
	// Poll is how often the file is looked at for the commits of other processes,
	// and of the program's own transactions, while nothing happens. The default
	// is 40 ms.
	Poll time.Duration
	// Logger gets what an operator should know. Defaults to slog.Default().
	Logger *slog.Logger
}

// FromDB returns a provider on a database that the program has opened, with any
// SQLite library for database/sql. It does no I/O, and Close leaves db open. The
// journal mode of the file must be WAL.
//
// The provider takes one connection of the pool for each transaction, and one for
// each read. A pool of one connection is enough, as long as no transaction of the
// program's waits for a call that is not in it.
func FromDB(db *sql.DB, cfg Config) *Provider {
	o := options{synchronous: cfg.Synchronous, busyTimeout: cfg.BusyTimeout, poll: cfg.Poll}
	if o.synchronous != Normal {
		o.synchronous = Full
	}
	p := newProvider(db, o, cfg.Logger)
	p.looks.db = db
	return p
}

// Provider is a client of the queues in one file. It is safe for concurrent use.
type Provider struct {
	db     *sql.DB // for transactions
	owned  bool    // Close closes it, and that of looks
	opts   options
	log    *slog.Logger
	closed atomic.Bool
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	opening chan struct{} // holds one: who has it may open
	opened  atomic.Bool
	file    *file // set once opened, as is hub
	hub     *hub
	looks   looks
	pauses  chan struct{} // holds one: the pauses may have changed

	writer writer
}

func newProvider(db *sql.DB, o options, log *slog.Logger) *Provider {
	if o.poll <= 0 {
		o.poll = defaultPoll
	}
	p := &Provider{db: db, opts: o, log: mq.GuardLogger(log), opening: make(chan struct{}, 1), pauses: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.writer.p = p
	return p
}

// Name returns "sqlite".
func (p *Provider) Name() string { return "sqlite" }

// maxBody is far below SQLite's own limit, which is for a whole row.
const maxBody = 64 << 20

// Caps promises everything; durability only with Full.
func (p *Provider) Caps() driver.Caps {
	return driver.Caps{
		Delay:            true,
		HeadStart:        true,
		Headers:          true,
		Groups:           true,
		GroupLimit:       true,
		Durable:          p.opts.synchronous == Full,
		Shared:           true,
		PortableReceipts: true,
		LateSettle:       true,
		NackFences:       true,
		ExactBodies:      true,
		ExactReadCount:   true,
		Attempts:         true,
		NackReasons:      true,
		ExactStats:       true,
		AtomicSend:       true,
		AtomicArchive:    true,
		AtomicMove:       true,
		OneWriter:        true,
		Flights:          1,
		Order:            driver.OrderDue,
		MaxBatch:         1000,
		MaxBody:          maxBody,
		Resolution:       time.Microsecond,
	}
}

// QueueName folds ASCII letters to lower case.
func (p *Provider) QueueName(name string) (string, error) { return driver.FoldName(name, 255) }

// Ping opens the file, and creates it if it is not there.
func (p *Provider) Ping(ctx context.Context) error {
	return p.read(ctx, func(run driver.SQLTx) error {
		return query(ctx, run, func(*sql.Rows) error { return nil }, sqlVersion)
	})
}

// Close ends waiting calls, and those that wait for the write lock.
func (p *Provider) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.cancel()
	p.opening <- struct{}{} // nobody opens any more
	p.writer.close()
	if !p.opened.Load() {
		return p.closePools()
	}
	p.file.leave(p)
	p.looks.close()
	return p.closePools()
}

func (p *Provider) closePools() error {
	if !p.owned {
		return nil
	}
	if err := p.looks.db.Close(); err != nil {
		return mapError(err)
	}
	return mapError(p.db.Close())
}

// read runs do, which changes nothing, on any connection.
func (p *Provider) read(ctx context.Context, do func(driver.SQLTx) error) error {
	if err := p.ensureOpen(ctx); err != nil {
		return err
	}
	if err := p.file.check(); err != nil {
		return err
	}
	return mapError(p.retry(ctx, func() error { return do(&p.looks) }))
}

// retry repeats do while another connection has a lock: a reader needs one for a
// moment after a crash, or when the log is reset.
func (p *Provider) retry(ctx context.Context, do func() error) error {
	began := time.Now()
	for {
		err := cutOff(ctx, do())
		if !isBusy(err) {
			return err
		}
		sleep(maxRetry, ctx.Done())
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("another connection has had the database locked for %v: %w", time.Since(began).Round(time.Millisecond), ctx.Err())
		case p.closed.Load():
			return driver.ErrClosed
		}
	}
}
