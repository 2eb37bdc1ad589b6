package pgmq

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/lib/pq"

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
	_ driver.ReasonCounter = (*Provider)(nil)
	_ driver.Archivist     = (*Provider)(nil)
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

func init() { mq.Register("pgmq", pgmqDriver{}) }

type pgmqDriver struct{}

// Open opens a pgmq:// DSN.
func (pgmqDriver) Open(dsn string, env driver.Env) (driver.Provider, error) {
	o, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db, err := o.open(env.Logger)
	if err != nil {
		return nil, err
	}
	cfg := Config{ByID: o.order == "id", ExactBodies: o.body == "bytes", Logger: env.Logger}
	p := newProvider(db, cfg)
	p.owned, p.links, p.settings = true, o.links, o.prepare
	o.maxConns = 1
	if p.reserve.db, err = o.open(env.Logger); err != nil {
		return nil, err
	}
	p.reserve.pool = poolOf(p.reserve.db)
	if _, ok := p.pool.(*stmtPool); ok && !o.prepare {
		p.pool, p.reserve.pool = db, p.reserve.db
	}
	if !o.pollOnly {
		p.listenConfig = fixedConfig(o.conn.Copy)
	}
	return p, nil
}

// Config says how a provider on a pool of the caller's works. The zero value
// is the default.
type Config struct {
	// Listen is how a connection of the provider's own is made that listens for
	// inserts, once somebody waits for a message. It must lead to the server
	// itself, or to a pooler in session mode. The default of FromPool is the
	// pool's own configuration. FromDB has no default: waiting receivers poll,
	// every 50 ms at first and every second in the end.
	Listen *pgx.ConnConfig
	// PollOnly polls in any case.
	PollOnly bool
	// ByID takes messages in the order of their ids, as PGMQ's own functions
	// do, retried or not, and at their cost: it grows with the number of
	// messages that are leased or delayed. Otherwise those that have been due
	// longest come first, at a cost that does not grow.
	ByID bool
	// ExactBodies stores every body in an envelope, so that it comes back
	// byte for byte. Other clients see the envelope, and GroupBy.Path nothing.
	ExactBodies bool
	// Logger gets lost connections, locks that are waited for and the like. If its
	// handler hangs or panics the provider goes on without it, as with mq.Config's.
	// Defaults to slog.Default().
	Logger *slog.Logger
}

// Provider is PGMQ in one database. It is safe for concurrent use.
type Provider struct {
	db      *sql.DB
	owned   bool          // db is ours: we have set up its sessions, and close it
	shared  *pgxpool.Pool // of the caller's, below db; or nil
	pool    querier       // db, or what prepares statements on it
	links   *links        // of db if it is ours
	reserve reserve
	cfg     Config
	log     *slog.Logger

	listenConfig func(context.Context) (*pgx.ConnConfig, error) // nil: poll
	listener     *listener                                      // guarded by mu, nil until somebody waits

	indexing chan struct{} // holds one: indexes are made one at a time

	queues sync.Map // of *queue, by name
	groups sync.Map // of *grouping, by queue and path

	settings bool        // sessions of ours have ownSettings
	unset    atomic.Bool // but they are not in effect
	forgot   atomic.Bool // the keys of queues that were dropped before
	routes   routes      // of topics

	keys, paused, consumers ownTable

	notifier notifier
	pauses   waiter // for pauses that begin or end

	mu    sync.Mutex
	hubs  map[string]*hub
	swept time.Time // when unused queues were last looked for

	looked time.Time // when the settings were

	// Lock order: mu, then a hub's, then closeMu.
	closeMu sync.Mutex      // no task begins while Close does
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	calls   context.Context // ends closeGrace after ctx
	tasks   sync.WaitGroup
}

// FromDB returns a provider on a pool of the caller's:
//
//	c := mq.New(pgmq.FromDB(db, pgmq.Config{}), mq.Config{})
//
// Closing the provider leaves the pool open. The pool's driver may be pgx or
// lib/pq, or wrap one of them. Waiting receivers hold none of its connections.
// With lib/pq a send may happen twice if its connection breaks: it lets
// database/sql repeat statements that it has sent already, which pools that this
// package opens do not.
func FromDB(db *sql.DB, cfg Config) *Provider {
	p := newProvider(db, cfg)
	if cfg.Listen != nil && !cfg.PollOnly {
		p.listenConfig = fixedConfig(cfg.Listen.Copy)
	}
	return p
}

// fixedConfig returns a listenConfig that cannot fail.
func fixedConfig(config func() *pgx.ConnConfig) func(context.Context) (*pgx.ConnConfig, error) {
	return func(context.Context) (*pgx.ConnConfig, error) { return config(), nil }
}

func newProvider(db *sql.DB, cfg Config) *Provider {
	p := &Provider{
		db: db, pool: poolOf(db), cfg: cfg, log: mq.GuardLogger(cfg.Logger),
		hubs: make(map[string]*hub), swept: time.Now(), indexing: make(chan struct{}, 1),
		keys:      ownTable{name: "pgmq.mq_keys", making: "make keys"},
		paused:    ownTable{name: "pgmq.mq_paused", making: "make paused", rights: "SELECT, INSERT, DELETE"},
		consumers: ownTable{name: "pgmq.mq_consumers", making: "make consumers", rights: "SELECT, INSERT, UPDATE, DELETE"},
		pauses:    waiter{ch: make(chan struct{}, 1)},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	calls, end := context.WithCancel(context.Background())
	p.calls = calls
	context.AfterFunc(p.ctx, func() { time.AfterFunc(closeGrace, end) })
	return p
}

// closeGrace is how long statements may go on after Close: what they lease or
// store is not lost then.
const closeGrace = 2 * time.Second

// poolOf returns db, or what is better for the statements of its library.
func poolOf(db *sql.DB) querier {
	switch _, ok := db.Driver().(*pq.Driver); {
	case ok:
		return newStmtPool(db)
	case isPGX(db):
		return pgxPool{DB: db, connKind: new(connKind)}
	}
	return db
}

// Name returns "pgmq".
func (p *Provider) Name() string { return "pgmq" }

// maxBody is far below what PostgreSQL takes in one jsonb value (256 MB) and in
// one message of its protocol (1 GB).
const maxBody = 64 << 20

// Caps describes a queue that EnsureQueue makes.
func (p *Provider) Caps() driver.Caps {
	c := driver.Caps{
		Delay:            true,
		HeadStart:        !p.cfg.ByID,
		Headers:          true,
		Groups:           true,
		GroupLimit:       true,
		Durable:          true,
		Shared:           true,
		PortableReceipts: true,
		LateSettle:       true,
		ExactBodies:      p.cfg.ExactBodies,
		ExactReadCount:   true,
		Attempts:         true,
		NackReasons:      true,
		ExactStats:       true,
		AtomicSend:       true,
		AtomicArchive:    true,
		AtomicMove:       true,
		Order:            driver.OrderDue,
		MaxBatch:         1000,
		MaxBody:          maxBody,
		Resolution:       time.Microsecond,
	}
	if p.cfg.ByID {
		c.Order = driver.OrderID
	}
	return c
}

func (p *Provider) order() string {
	if p.cfg.ByID {
		return "msg_id"
	}
	return "vt"
}

// maxName leaves room for "q_".
const maxName = maxIdent - 2

// QueueName folds the name to lower case, as PGMQ does.
func (p *Provider) QueueName(name string) (string, error) {
	folded := strings.ToLower(name)
	switch {
	case name == "":
		return "", fmt.Errorf("%w: queue name is empty", driver.ErrInvalid)
	case len(folded) > maxName:
		return "", fmt.Errorf("%w: queue name is longer than %d bytes", driver.ErrInvalid, maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%w: queue name %q has control characters or is not UTF-8", driver.ErrInvalid, name)
	}
	return folded, nil
}

// Ping runs a statement.
func (p *Provider) Ping(ctx context.Context) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	return readErrorOf(ctx, p.within(ctx, probeLimit, sqlPing, nil, ignore))
}

// Close ends waiting calls, the LISTEN connection, and the pool if it is the
// provider's own.
func (p *Provider) Close() error {
	p.closeMu.Lock()
	if p.closed() {
		p.closeMu.Unlock()
		return nil
	}
	p.cancel()
	p.closeMu.Unlock()
	p.tasks.Wait()
	for _, pool := range []querier{p.pool, p.reserve.pool} {
		if s, ok := pool.(*stmtPool); ok {
			s.close()
		}
	}
	if p.owned || p.shared != nil {
		_ = p.db.Close() // lib/pq complains of connections that were lost before
	}
	if p.reserve.db != nil {
		_ = p.reserve.db.Close()
	}
	return nil
}

// enter starts a task that Close waits for, unless the provider is closed.
func (p *Provider) enter() bool {
	p.closeMu.Lock()
	defer p.closeMu.Unlock()
	if p.closed() {
		return false
	}
	p.tasks.Add(1)
	return true
}

// untilClosed returns ctx for a call without a limit, which ends soon after Close.
func (p *Provider) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.calls, cancel)
	return ctx, func() { stop(); cancel() }
}

// orClosed returns the error of a call that Close may have ended.
func (p *Provider) orClosed(err error) error {
	if err != nil && p.closed() {
		return driver.ErrClosed
	}
	return err
}

func (p *Provider) closed() bool { return p.ctx.Err() != nil }

// check returns why a call must not begin.
func (p *Provider) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.closed() {
		return driver.ErrClosed
	}
	return nil
}
