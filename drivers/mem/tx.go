package mem

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// Tx is a transaction of sends and settlements, where a test has no [sql.Tx].
// What they do takes effect at Commit, all of it or nothing. It is used by one
// goroutine at a time.
type Tx struct {
	p       *Provider
	steps   []step
	settled map[driver.Receipt]bool
	err     error // why it cannot commit any more
	done    bool
	ended   chan struct{} // closed when done
}

// step is one message to send or one settlement.
type step struct {
	queue  *queue
	m      *message // to send, or found by the settlement
	delay  time.Duration
	settle *driver.Settlement // nil: send
	to     *queue
}

// Begin starts a transaction on the provider's store.
func (p *Provider) Begin() *Tx {
	return &Tx{p: p, settled: make(map[driver.Receipt]bool), ended: make(chan struct{})}
}

// Tx returns a view of the provider inside tx, which must come from Begin of a
// provider on the same store.
func (p *Provider) Tx(tx driver.SQLTx) (driver.TxProvider, error) {
	if p.closed.Load() {
		return nil, driver.ErrClosed
	}
	t, ok := tx.(*Tx)
	if !ok || t.p.store != p.store {
		return nil, fmt.Errorf("%w: the transaction is not from Begin on this store", driver.ErrInvalid)
	}
	return txProvider{p, t}, nil
}

// ExecContext answers [driver.ErrNotSupported]: there is no SQL.
func (tx *Tx) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errNoSQL()
}

// QueryContext answers [driver.ErrNotSupported]: there is no SQL.
func (tx *Tx) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errNoSQL()
}

func errNoSQL() error {
	return fmt.Errorf("%w: package mem has no SQL", driver.ErrNotSupported)
}

// Commit applies everything. It applies nothing and fails if a call inside the
// transaction has failed, or if a settlement has become impossible since.
func (tx *Tx) Commit() (err error) {
	if tx.done {
		return sql.ErrTxDone
	}
	defer func() { tx.end(err == nil) }()
	switch {
	case tx.err != nil:
		return tx.aborted()
	case tx.p.closed.Load():
		return driver.ErrClosed
	}
	defer lockAll(tx.queues()).unlock()
	for i := range tx.steps {
		if err := tx.steps[i].check(); err != nil {
			return fmt.Errorf("mem: commit: %w", err)
		}
	}
	for i := range tx.steps {
		tx.steps[i].apply()
	}
	for i := range tx.steps { // while nobody purges
		if h := tx.steps[i].m.holder; h != nil && tx.steps[i].settle == nil {
			h.tx, h.last = nil, nil
		}
	}
	return nil
}

// Rollback forgets everything.
func (tx *Tx) Rollback() error {
	if tx.done {
		return sql.ErrTxDone
	}
	tx.end(false)
	return nil
}

func (tx *Tx) end(committed bool) {
	if !committed {
		tx.releaseKeys()
	}
	close(tx.ended)
	tx.done, tx.steps, tx.settled = true, nil, nil
}

// queues returns all queues of the transaction.
func (tx *Tx) queues() queues {
	var qs queues
	for i := range tx.steps {
		qs = append(qs, tx.steps[i].queue)
		if to := tx.steps[i].to; to != nil {
			qs = append(qs, to)
		}
	}
	return qs
}

func (tx *Tx) aborted() error {
	return fmt.Errorf("mem: transaction is aborted: %w", tx.err)
}

// check returns why the step cannot be applied.
func (s *step) check() (err error) {
	switch {
	case s.queue.dropped:
		return driver.ErrQueueNotFound
	case s.settle != nil:
		s.m, err = s.queue.check(s.settle, parse(s.queue.name, s.settle.Receipt), s.to)
	}
	return err
}

func (s *step) apply() {
	if s.settle == nil {
		s.queue.insert(s.m, s.delay)
		return
	}
	s.queue.settle(s.m, s.settle, s.to)
}

// txProvider collects the steps of a transaction.
type txProvider struct {
	p  *Provider
	tx *Tx
}

// Send returns the ids that the messages will have.
func (t txProvider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	added := newMessages(msgs)
	err := t.do(ctx, name, func(q *queue) error {
		for i, m := range added {
			q.reserve(m)
			t.tx.steps = append(t.tx.steps, step{queue: q, m: m, delay: due(&msgs[i])})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids(added), nil
}

// Settle fails if a settlement could not take effect now.
func (t txProvider) Settle(ctx context.Context, name string, s []driver.Settlement) error {
	return t.do(ctx, name, func(q *queue) error {
		var errs []error
		for i := range s {
			if err := t.settle(q, s[i]); err != nil {
				errs = fail(errs, len(s), i, err)
			}
		}
		return driver.Batch(errs)
	})
}

// settle adds a settlement to the transaction.
func (t txProvider) settle(q *queue, s driver.Settlement) error {
	var to *queue
	if s.Op == driver.OpMove {
		to = t.p.store.queue(s.To)
	}
	m, err := q.check(&s, parse(q.name, s.Receipt), to)
	if err != nil {
		return err
	}
	if t.tx.settled[s.Receipt] {
		return driver.ErrMessageNotFound
	}
	if leavesLease(&s) {
		return nil
	}
	t.tx.settled[s.Receipt] = true
	t.tx.steps = append(t.tx.steps, step{queue: q, m: m, settle: &s, to: to})
	return nil
}

// do runs f on the queue. An error of either aborts the transaction.
func (t txProvider) do(ctx context.Context, name string, f func(*queue) error) error {
	return t.locked(func() (*queue, error) { return t.p.lock(ctx, name) }, f)
}

// locked is do for a queue that lock returns.
func (t txProvider) locked(lock func() (*queue, error), f func(*queue) error) error {
	if err := t.check(); err != nil {
		return err
	}
	q, err := lock()
	if err == nil {
		err = f(q)
		q.unlock()
	}
	t.tx.err = err
	return err
}

// check returns why a call must not begin.
func (t txProvider) check() error {
	switch {
	case t.tx.done:
		return sql.ErrTxDone
	case t.tx.err != nil:
		return t.tx.aborted()
	}
	return nil
}
