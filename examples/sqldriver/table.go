// Package sqldriver is a driver for package mq on database/sql: ten methods and no
// optional interface. It shows how a driver with a connection differs from one in
// memory. Its backend is a file of SQLite, and its DSN table:///path/to/file; programs
// use drivers/sqlite.
package sqldriver

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "modernc.org/sqlite"
)

//go:embed schema.sql
var schema string

func init() { mq.Register("table", tableDriver{}) }

type tableDriver struct{}

// Open does no I/O. The first call creates the file.
func (tableDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	u, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.Opaque+u.Host+u.Fragment != "" || len(u.Path) < 2 {
		return nil, errors.New("the DSN is table:///path/to/file")
	}
	db, err := sql.Open("sqlite", "file:"+u.EscapedPath()+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer: calls wait for the pool, under their ctx, not for a lock
	p := &provider{db: db}
	p.ctx, p.close = context.WithCancel(context.Background())
	p.wake()
	return p, nil
}

type provider struct {
	db      *sql.DB
	made    atomic.Bool // the tables
	changed atomic.Pointer[chan struct{}]
	ctx     context.Context // ends with Close
	close   context.CancelFunc
}

func (*provider) Name() string { return "table" }

func (*provider) Caps() driver.Caps {
	return driver.Caps{
		Delay: true, Headers: true, Durable: true, Shared: true, PortableReceipts: true, LateSettle: true, NackFences: true,
		ExactBodies: true, ExactReadCount: true, ExactStats: true, AtomicSend: true, AtomicArchive: true, Order: driver.OrderID,
	}
}

// callTimeout is how long a call may take that has begun.
const callTimeout = 10 * time.Second

// do calls f with a connection. It waits for one under ctx; without one nothing has
// happened. What has begun runs to its end under a context of its own, so that no lease
// gets lost with its answer, and no commit is in doubt because a caller has gone.
func (p *provider) do(ctx context.Context, f func(context.Context, *sql.Conn) error) error {
	c, err := p.db.Conn(ctx)
	switch {
	case p.ctx.Err() != nil:
		err = errors.Join(driver.ErrClosed, err)
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = fmt.Errorf("%w: %w", driver.ErrBadConn, err)
	}
	if c != nil {
		defer func() { _ = c.Close() }()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if !p.made.Load() {
		if _, err := c.ExecContext(ctx, schema); err != nil {
			return fmt.Errorf("%w: %w", driver.ErrBadConn, err)
		}
		p.made.Store(true)
	}
	return f(ctx, c)
}

// change calls f in a transaction. Only a commit that fails is in doubt.
func (p *provider) change(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	return p.do(ctx, func(ctx context.Context, c *sql.Conn) error {
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if err := f(ctx, tx); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
		}
		p.wake()
		return nil
	})
}

// affected returns none if a statement has changed no row.
func affected(r sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return none
}

func (p *provider) Ping(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, c *sql.Conn) error { return c.PingContext(ctx) })
}

func (p *provider) Close() error {
	p.close()
	return p.db.Close()
}

func (p *provider) EnsureQueue(ctx context.Context, name string, _ driver.QueueOptions) error {
	return p.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO queues (name) VALUES (?) ON CONFLICT DO NOTHING", name)
		return err
	})
}

func (p *provider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	ids := make([]string, len(msgs))
	err := p.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE queues SET sent = sent + ? WHERE name = ?", len(msgs), name)
		err = affected(r, err, driver.ErrQueueNotFound)
		for i, m := range msgs {
			if err == nil {
				ids[i], err = insert(ctx, tx, name, m)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func insert(ctx context.Context, tx *sql.Tx, name string, m driver.Message) (id string, err error) {
	headers, err := json.Marshal(maps.Collect(maps.All(m.Headers)))
	if err != nil {
		return "", err
	}
	now := time.Now().UnixMicro()
	r, err := tx.ExecContext(ctx, `INSERT INTO messages (queue, body, headers, enqueued_at, visible_at)
		VALUES (?, ?, ?, ?, ?)`, name, m.Body, string(headers), now, later(now, m.Delay))
	if err != nil {
		return "", err
	}
	n, err := r.LastInsertId()
	return strconv.FormatInt(n, 10), err
}

// later rounds up, never down, except that 0 is at once.
func later(t int64, d time.Duration) int64 {
	return t + int64(d/time.Microsecond) + min(1, int64(d%time.Microsecond))
}

// wake has the receivers look again that wait in this process.
func (p *provider) wake() {
	next := make(chan struct{})
	if last := p.changed.Swap(&next); last != nil {
		close(*last)
	}
}

// poll is how soon a change by another process is noticed.
const poll = 50 * time.Millisecond

// Receive subscribes, looks, and waits: in this order nothing is missed.
func (p *provider) Receive(ctx context.Context, name string, r driver.ReceiveRequest) (ds []driver.Delivery, err error) {
	for end := time.Now().Add(r.Wait); ; {
		changed := *p.changed.Load()
		var due time.Time
		err = p.do(ctx, func(ctx context.Context, c *sql.Conn) error {
			if due, err = nextDue(ctx, c, name); err == nil && !due.After(time.Now()) {
				ds, err = claim(ctx, c, name, r)
			}
			return err
		})
		if err != nil || len(ds) > 0 || !time.Now().Before(end) {
			return ds, err
		}
		select {
		case <-changed: // a send or a nack
		case <-time.After(min(time.Until(end), time.Until(due), poll)): // a delay or a lease has ended
		case <-p.ctx.Done():
			return nil, driver.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// nextDue looks without a lock. It returns when the next message is visible, however it
// becomes so.
func nextDue(ctx context.Context, c *sql.Conn, name string) (time.Time, error) {
	var due sql.NullInt64
	err := c.QueryRowContext(ctx, `SELECT (SELECT min(visible_at) FROM messages WHERE queue = name AND archived_at IS NULL)
		FROM queues WHERE name = ?`, name).Scan(&due)
	if errors.Is(err, sql.ErrNoRows) {
		err = driver.ErrQueueNotFound
	}
	if !due.Valid {
		return time.Now().Add(time.Hour), err
	}
	return time.UnixMicro(due.Int64), err
}

func claim(ctx context.Context, c *sql.Conn, name string, r driver.ReceiveRequest) (ds []driver.Delivery, err error) {
	now := time.Now().UnixMicro()
	until := later(now, r.Visibility)
	rows, err := c.QueryContext(ctx, `UPDATE messages SET reads = reads + 1, visible_at = ?, lease = ? || id
		WHERE id IN (SELECT id FROM messages WHERE queue = ? AND archived_at IS NULL AND visible_at <= ? ORDER BY id LIMIT ?)
		RETURNING id, body, headers, reads, enqueued_at, lease`, until, rand.Text(), name, now, r.Max)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var enqueued int64
		var headers []byte
		d := driver.Delivery{VisibleAt: time.UnixMicro(until)}
		err := rows.Scan(&d.ID, &d.Body, &headers, &d.ReadCount, &enqueued, &d.Receipt)
		if err = errors.Join(err, json.Unmarshal(headers, &d.Headers)); err != nil {
			return nil, err
		}
		d.EnqueuedAt, d.Receipt = time.UnixMicro(enqueued), d.Receipt+driver.Receipt("/"+name)
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b driver.Delivery) int { return len(a.ID) - len(b.ID) + strings.Compare(a.ID, b.ID) })
	return ds, rows.Err()
}
