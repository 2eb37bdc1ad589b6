package sqlite

import (
	"context"
	"database/sql"
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
	kept    *session      // of the provider's own pool
	took    time.Duration // by the last commit
	warned  time.Time     // that the lock is waited for
	polite  politeness
	swept   int64     // the bucket before which mq_hidden has no rows
	blocked time.Time // since when something is waited for, or zero
	lacking string    // what that is
}

// maxCalls is how many calls share a commit.
const maxCalls = 64

// commitGrace is how long a call whose ctx has ended waits for the commit that it is
// part of, so that it can say what has become of it.
const commitGrace = time.Second

// When a log line says that the write lock is waited for, and how often.
const warnAfter, warnEvery = 5 * time.Second, time.Minute

// slowCommit is how long a commit takes on a disk that a caller should not be left to.
const slowCommit = 50 * time.Millisecond

// call is one function to be run in a transaction.
type call struct {
	do    func(*txn) error
	lazy  bool // its commit need not wait for the disk
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
	return p.submit(ctx, &call{do: do, done: make(chan struct{})})
}

// writeLazily is write for a call whose commit need not wait for the disk: one that only
// leases, since a message whose lease is lost in a power cut comes again, as it would when
// the lease ends, or one that stores a report.
func (p *Provider) writeLazily(ctx context.Context, do func(*txn) error) error {
	return p.submit(ctx, &call{do: do, lazy: p.owned && p.opts.synchronous == Full, done: make(chan struct{})})
}

func (p *Provider) submit(ctx context.Context, c *call) error {
	if err := p.ensureOpen(ctx); err != nil {
		return err
	}
	lone, err := p.writer.add(c)
	if err != nil {
		return err
	}
	if lone {
		p.writer.workOnce()
	}
	select {
	case <-c.done:
		return mapError(c.err)
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(queued, givenUp) {
		return p.writer.explain(ctx.Err())
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

// add adds a call. If it is alone its goroutine is to work.
func (w *writer) add(c *call) (lone bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false, driver.ErrClosed
	}
	w.calls = append(w.calls, c)
	if w.busy {
		return false, nil
	}
	w.busy = true
	w.idle.Add(1)
	return true, nil
}

// workOnce carries out what there is on the caller's goroutine, which saves a lone call
// the switches, where that should not have to wait: neither for another writer nor for a
// slow disk. A goroutine of its own does the rest.
func (w *writer) workOnce() {
	if w.p.owned && w.took < slowCommit {
		w.commit(true)
	}
	if !w.waiting() {
		w.idle.Done()
		return
	}
	go func() {
		defer w.idle.Done()
		w.work()
	}()
}

// close refuses calls from now on, and waits until those under way have ended.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.idle.Wait()
	if w.kept != nil {
		w.kept.close()
	}
}

// explain says what was waited for when err ended the wait.
func (w *writer) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	waited := time.Since(w.blocked)
	if w.blocked.IsZero() || waited < maxRetry {
		return err
	}
	return fmt.Errorf("%s for %v: %w", w.lacking, waited.Round(time.Millisecond), err)
}

// What a call may wait for.
const (
	lacksLock = "another connection has had the write lock (end its transaction)"
	lacksConn = "the pool has had no free connection (end transactions, or raise SetMaxOpenConns)"
)

// work carries out calls until there are none.
func (w *writer) work() {
	for first := true; w.waiting(); first = false {
		if !first {
			w.polite.pause()
		}
		w.commit(false)
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

// take takes the calls for one commit. One that does not wait for the disk must not take
// along a call that does.
func (w *writer) take(lazy bool) []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked = time.Time{}
	var taken, left []*call
	for i, c := range w.calls {
		if len(taken) == maxCalls {
			left = append(left, w.calls[i:]...)
			break
		}
		if lazy && !c.lazy {
			left = append(left, c)
		} else if c.state.CompareAndSwap(queued, running) {
			taken = append(taken, c)
		}
	}
	w.calls = left
	return taken
}

// lazily reports whether all calls may be committed without the disk.
func (w *writer) lazily() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.calls, func(c *call) bool { return !c.lazy })
}

// commit begins a transaction, carries out the calls that there are when it has the
// lock, and answers them.
func (w *writer) commit(once bool) {
	s, err := w.begin(once)
	if s == nil && err == nil {
		return
	}
	calls := w.take(s != nil && s.lazy)
	if err == nil {
		err = w.carryOut(s, calls)
		s.end()
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
func (w *writer) carryOut(s *session, calls []*call) error {
	t := begun(context.Background(), s)
	failed := 0
	for _, c := range calls {
		if len(calls) == 1 {
			c.err = c.do(t)
		} else if err := t.one(c); err != nil {
			return err
		}
		if c.err != nil {
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
		began := time.Now()
		err = uncertain(s.commit())
		w.took = time.Since(began)
	}
	if err == nil {
		w.p.hub.wake(t.woken)
	}
	return err
}

// one runs one call of several, which leaves nothing behind if it fails. An error of its
// own means that the whole transaction is over: SQLite rolls it back when the disk is
// full, and without it each savepoint would be a transaction.
func (t *txn) one(c *call) error {
	if _, err := t.exec("SAVEPOINT mq_call"); err != nil {
		return err
	}
	part := &txn{ctx: t.ctx, run: t.run, now: t.now, counts: make(counts)}
	if c.err = c.do(part); c.err != nil {
		if _, err := t.exec("ROLLBACK TO mq_call"); err != nil {
			return c.err
		}
	}
	if _, err := t.exec("RELEASE mq_call"); err != nil {
		return err
	}
	if c.err == nil {
		t.counts.add(part.counts)
		t.woken = append(t.woken, part.woken...)
	}
	return nil
}

// The pauses between attempts to get the write lock. Whoever holds it under load
// gives it away for a moment now and then, which must not be missed.
const (
	minRetry = 100 * time.Microsecond
	maxRetry = time.Millisecond
)

// begin begins a transaction and gets the write lock, while somebody waits for it. With
// no transaction and no error nobody does, or it was to be tried only once.
func (w *writer) begin(once bool) (*session, error) {
	if err := w.p.file.check(); err != nil {
		return nil, err
	}
	if !w.p.owned {
		w.lacks(lacksConn)
	}
	for pause := minRetry; ; pause = min(pause*3/2, maxRetry) {
		s, err := w.beginWrite()
		if err == nil {
			w.polite.began(s)
			return s, nil
		}
		if !isBusy(err) {
			return nil, err
		}
		w.polite.met()
		if once {
			return nil, nil
		}
		if w.p.closed.Load() {
			return nil, driver.ErrClosed
		}
		if waited := w.lacks(lacksLock); w.p.opts.busyTimeout > 0 && waited > w.p.opts.busyTimeout {
			return nil, w.explain(mapError(err))
		}
		if !w.wanted() {
			return nil, nil
		}
		if time.Since(w.warned) > warnEvery && w.lacks(lacksLock) > warnAfter {
			w.warned = time.Now()
			w.p.log.Warn("sqlite: waiting for the write lock, which another connection has (end its transaction)", "file", w.p.file.path)
		}
		sleep(pause/2+rand.N(pause), w.p.ctx.Done())
	}
}

// lacks notes what is waited for, and returns for how long it has been.
func (w *writer) lacks(what string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked.IsZero() || w.lacking != what {
		w.blocked, w.lacking = time.Now(), what
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

// beginWrite begins a transaction that has the write lock. Close ends the wait for a
// connection; a transaction that has begun is not cut off.
func (w *writer) beginWrite() (*session, error) {
	s := w.kept
	if s == nil {
		conn, err := w.p.db.Conn(w.p.ctx)
		if err != nil {
			return nil, err
		}
		s = &session{conn: conn}
		if w.p.owned {
			s.stmts = make(map[string]*sql.Stmt)
			w.kept = s
		}
	}
	err := s.begin(w.lazily())
	switch {
	case err == nil:
		return s, nil
	case isBusy(err) && w.p.owned:
		return nil, err
	}
	s.close()
	w.kept = nil
	return nil, err
}
