package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

// writer carries out the calls that change the file. SQLite has one writer at a time
// and a commit costs a write to the disk, so calls that come while the writer waits
// or works are carried out together: in one transaction, each behind a savepoint.
// There is no timer; a lone call is alone.
type writer struct {
	p *Provider

	mu     sync.Mutex
	calls  []*call
	busy   bool // a goroutine works on calls
	closed bool
	idle   sync.WaitGroup

	// The rest is the working goroutine's own.
	polite  politeness
	swept   int64     // the bucket before which mq_hidden has no rows
	blocked time.Time // since when another connection has had the lock, or zero
}

// maxCalls is how many calls share a commit.
const maxCalls = 64

// commitGrace is how long a call whose ctx has ended waits for the commit that it is
// part of, so that it can say what has become of it.
const commitGrace = time.Second

// call is one function to be run in a transaction.
type call struct {
	do    func(*txn) error
	state atomic.Int32
	done  chan struct{}
	err   error
}

// The states of a call.
const (
	queued int32 = iota
	running
	givenUp
)

// write runs do in a transaction that has the write lock. If it fails it leaves
// nothing; do must not keep its txn. ctx ends the wait for the lock: then do was not
// run.
func (p *Provider) write(ctx context.Context, do func(*txn) error) error {
	if err := p.ensureOpen(ctx); err != nil {
		return err
	}
	c := &call{do: do, done: make(chan struct{})}
	if err := p.writer.add(c); err != nil {
		return err
	}
	select {
	case <-c.done:
		return mapError(c.err)
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(queued, givenUp) {
		if waited := p.writer.waited(); waited > 0 {
			return errBusy(waited, ctx.Err())
		}
		return ctx.Err()
	}
	grace := time.NewTimer(commitGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		return mapError(c.err)
	case <-grace.C:
		return fmt.Errorf("%w: the disk has not finished: %w", driver.ErrUnavailable, ctx.Err())
	}
}

func (w *writer) add(c *call) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return driver.ErrClosed
	}
	w.calls = append(w.calls, c)
	if !w.busy {
		w.busy = true
		w.idle.Go(w.work)
	}
	return nil
}

// close refuses calls from now on, and waits until those under way have ended.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.idle.Wait()
}

// waited returns how long the lock has been waited for.
func (w *writer) waited() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked.IsZero() {
		return 0
	}
	return time.Since(w.blocked)
}

// work carries out calls until there are none.
func (w *writer) work() {
	for w.waiting() {
		w.polite.pause()
		w.commit()
	}
}

// waiting reports whether there are calls. If there are none the goroutine is to end.
func (w *writer) waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = w.prune()
	return w.busy
}

// wanted reports whether somebody still waits for the lock.
func (w *writer) wanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.prune()
}

// prune forgets the calls that were given up, and reports whether there are others.
// w.mu is held.
func (w *writer) prune() bool {
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool { return c.state.Load() != queued })
	return len(w.calls) > 0
}

// take takes the calls for one commit.
func (w *writer) take() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked = time.Time{}
	var taken []*call
	n := min(len(w.calls), maxCalls)
	for _, c := range w.calls[:n] {
		if c.state.CompareAndSwap(queued, running) {
			taken = append(taken, c)
		}
	}
	w.calls = slices.Delete(w.calls, 0, n)
	return taken
}

// commit begins a transaction, carries out the calls that there are when it has the
// lock, and answers them.
func (w *writer) commit() {
	tx, err := w.begin()
	if tx == nil && err == nil {
		return // nobody waits any more
	}
	calls := w.take()
	if err == nil {
		err = w.carryOut(tx, calls)
	}
	for _, c := range calls {
		if c.err == nil {
			c.err = err
		}
		close(c.done)
	}
}

// carryOut runs the calls in tx and commits it. An error is that of all calls that
// have none of their own.
func (w *writer) carryOut(tx *sql.Tx, calls []*call) error {
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	t := begun(context.Background(), w.p.stmts.in(tx))
	failed := 0
	for _, c := range calls {
		if c.err = w.one(t, c, len(calls) > 1); c.err != nil {
			failed++
		}
	}
	if failed == len(calls) {
		return nil
	}
	err := w.sweep(t)
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = uncertain(tx.Commit())
	}
	if err == nil {
		w.p.hub.wake(t.woken)
	}
	return err
}

// one runs a call. If it is not alone it leaves nothing behind when it fails.
func (w *writer) one(t *txn, c *call, savepoint bool) error {
	part := &txn{ctx: t.ctx, run: t.run, now: t.now, counts: make(counts)}
	if savepoint {
		if _, err := t.exec("SAVEPOINT mq_call"); err != nil {
			return err
		}
	}
	err := c.do(part)
	if err != nil && savepoint {
		if _, e := t.exec("ROLLBACK TO mq_call"); e != nil {
			return errors.Join(err, e)
		}
	}
	if savepoint {
		if _, e := t.exec("RELEASE mq_call"); e != nil {
			return errors.Join(err, e)
		}
	}
	if err == nil {
		t.counts.add(part.counts)
		t.woken = append(t.woken, part.woken...)
	}
	return err
}

// sweep removes the counters of times that are past, now and then.
func (w *writer) sweep(t *txn) error {
	b := bucket(t.now)
	if b == w.swept {
		return nil
	}
	w.swept = b
	_, err := t.exec(sqlSweep, b)
	return err
}

// The pauses between attempts to get the write lock. Whoever holds it under load
// gives it away for a moment now and then, which must not be missed.
const (
	minRetry = 100 * time.Microsecond
	maxRetry = time.Millisecond
)

// begin begins a transaction and gets the write lock, while somebody waits for it.
// With no transaction and no error nobody does.
func (w *writer) begin() (*sql.Tx, error) {
	for pause := minRetry; ; pause = min(pause*3/2, maxRetry) {
		tx, err := w.p.beginWrite(context.Background())
		if err == nil {
			w.polite.began(tx)
			return tx, nil
		}
		if !isBusy(err) {
			return nil, err
		}
		w.polite.met()
		if waited := w.wait(); w.p.opts.busyTimeout > 0 && waited > w.p.opts.busyTimeout {
			return nil, errBusy(waited, err)
		}
		if !w.wanted() {
			return nil, nil
		}
		sleep(pause/2+rand.N(pause), w.p.done)
	}
}

// wait notes that another connection has the lock, and returns for how long.
func (w *writer) wait() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked.IsZero() {
		w.blocked = time.Now()
	}
	return time.Since(w.blocked)
}

// sleep sleeps for d, or until done is closed.
func sleep(d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
}

// beginWrite begins a transaction that has the write lock. A deferred transaction
// whose first statement writes is what BEGIN IMMEDIATE is, and is to be had through
// database/sql with every library.
func (p *Provider) beginWrite(ctx context.Context) (*sql.Tx, error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := p.stmts.in(tx).ExecContext(ctx, sqlLock); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// politeness lets other writers of the file have the lock under load. It cannot be
// waited for in line: who has just given it away would always be the first to ask for
// it again.
type politeness struct {
	version int64     // of the data, as last seen
	checked time.Time // when that was
	until   time.Time // there are others, at least until then
	paused  time.Time
}

const (
	checkEvery = 25 * time.Millisecond
	pauseEvery = 10 * time.Millisecond
	pauseFor   = 2 * maxRetry
	othersStay = 2 * time.Second
)

// met notes that another writer was seen.
func (p *politeness) met() { p.until = time.Now().Add(othersStay) }

// began looks, at the beginning of a transaction, whether others have written.
func (p *politeness) began(tx *sql.Tx) {
	now := time.Now()
	if now.Sub(p.checked) < checkEvery {
		return
	}
	p.checked = now
	var v int64
	if tx.QueryRow("PRAGMA data_version").Scan(&v) == nil && v != p.version {
		if p.version != 0 {
			p.met()
		}
		p.version = v
	}
}

// pause sleeps a little if there are others and it has not done so for a while.
func (p *politeness) pause() {
	now := time.Now()
	if now.After(p.until) || now.Sub(p.paused) < pauseEvery {
		return
	}
	time.Sleep(pauseFor)
	p.paused = time.Now()
}
