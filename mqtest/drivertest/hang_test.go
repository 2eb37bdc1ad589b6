package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// silence is a provider whose calls get no answer while it is on. One of its
// operations may be deaf: it does not notice that its ctx has ended. Or it may be
// hasty: it reports success at once.
type silence struct {
	*slow
	deaf, hasty string

	mu sync.Mutex
	on chan time.Time // closed by resume, or nil
}

func newSilence(p driver.Provider, deaf, hasty string) *silence {
	s := &silence{slow: newSlow(p, nil), deaf: deaf, hasty: hasty}
	s.pause = func(ctx context.Context, op string) error {
		on := s.state()
		if on == nil {
			return nil
		}
		if op == s.deaf {
			<-on
			return nil
		}
		return s.wait(ctx, on)
	}
	if deaf == "close" {
		end := s.slow.close
		s.slow.close = func() error {
			if on := s.state(); on != nil {
				<-on
			}
			return end()
		}
	}
	return s
}

// says reports whether an operation is to report success without being called.
func (s *silence) says(op string) bool { return op == s.hasty && s.state() != nil }

func (s *silence) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	if s.says("ensure") {
		return nil
	}
	return s.slow.EnsureQueue(ctx, queue, o)
}

func (s *silence) DropQueue(ctx context.Context, queue string) error {
	if s.says("drop") {
		return nil
	}
	return s.slow.DropQueue(ctx, queue)
}

func (s *silence) PurgeQueue(ctx context.Context, queue string) (int64, error) {
	if s.says("purge") {
		return 0, nil
	}
	return s.slow.PurgeQueue(ctx, queue)
}

func (s *silence) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	if s.says("redrive") {
		return 0, nil
	}
	return s.slow.Redrive(ctx, queue, ids, limit)
}

func (s *silence) PurgeArchive(ctx context.Context, queue string, olderThan time.Duration) (int64, error) {
	if s.says("purge archive") {
		return 0, nil
	}
	return s.slow.PurgeArchive(ctx, queue, olderThan)
}

func (s *silence) Bind(ctx context.Context, queue, pattern string) error {
	if s.says("bind") {
		return nil
	}
	return s.slow.Bind(ctx, queue, pattern)
}

func (s *silence) Unbind(ctx context.Context, queue, pattern string) error {
	if s.says("unbind") {
		return nil
	}
	return s.slow.Unbind(ctx, queue, pattern)
}

// silenceTx is a transaction on a silence. An error aborts it, unless it is
// hasty.
type silenceTx struct {
	*mem.Tx
	s *silence

	mu      sync.Mutex // a case that fails rolls back beside a call that is deaf
	aborted bool
}

func (tx *silenceTx) Commit() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.aborted {
		return errors.Join(tx.Tx.Rollback(), sql.ErrTxDone)
	}
	return tx.Tx.Commit()
}

func (tx *silenceTx) Rollback() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.Tx.Rollback()
}

// Tx is a view whose calls are the operations "tx send" and "tx settle".
func (s *silence) Tx(tx driver.SQLTx) (driver.TxProvider, error) {
	t, ok := tx.(*silenceTx)
	if !ok {
		return s.slow.Tx(tx)
	}
	inner, err := s.slow.Tx(t.Tx)
	return silentTx{t, inner}, err
}

type silentTx struct {
	tx    *silenceTx
	inner driver.TxProvider
}

// do makes a call once the silence is over, unless that aborts the transaction.
func (t silentTx) do(ctx context.Context, op string, call func() error) error {
	err := t.tx.s.pause(ctx, op)
	t.tx.mu.Lock()
	defer t.tx.mu.Unlock()
	if err != nil {
		t.tx.aborted = t.tx.s.hasty != "tx"
		return err
	}
	return call()
}

func (t silentTx) Send(ctx context.Context, queue string, msgs []driver.Message) (ids []string, err error) {
	err = t.do(ctx, "tx send", func() error {
		ids, err = t.inner.Send(ctx, queue, msgs)
		return err
	})
	return ids, err
}

func (t silentTx) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	return t.do(ctx, "tx settle", func() error { return t.inner.Settle(ctx, queue, s) })
}

func (s *silence) state() chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

func (s *silence) begin() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := make(chan time.Time)
	s.on = on
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(on)
		s.on = nil
	}
}

// silenced is the harness of mem that can be silent.
func silenced(deaf, hasty string) Harness {
	h := named()
	open := h.Open
	h.Open = func(t testing.TB) *mq.Client { return mq.New(newSilence(open(t).Provider(), deaf, hasty), silent) }
	h.Hang = func(_ testing.TB, c *mq.Client) func() { return c.Provider().(*silence).begin() }
	h.Begin = func(_ testing.TB, c *mq.Client) Tx {
		s := c.Provider().(*silence)
		return TxOf(&silenceTx{Tx: s.inner.(interface{ Begin() *mem.Tx }).Begin(), s: s})
	}
	return h
}

// TestHang runs the cases of a silent backend, and shows that they notice each
// operation that goes on after its ctx has ended, or reports a success that it had
// not.
func TestHang(t *testing.T) {
	t.Run("none", func(t *testing.T) { hangs(t, silenced("", ""), false) })
	for _, deaf := range []string{
		"close", "ensure", "send", "receive", "settle", "extend", "stats", "ping", "drop", "list", "purge", "pop", "browse",
		"redrive", "purge archive", "receive heads", "receive group", "send unique", "publish", "bind", "unbind", "bindings", "tx send", "tx settle",
	} {
		t.Run("deaf "+deaf, func(t *testing.T) { hangs(t, silenced(deaf, ""), true) })
	}
	for _, hasty := range []string{"ensure", "drop", "purge", "redrive", "purge archive", "bind", "unbind", "tx"} {
		t.Run("hasty "+hasty, func(t *testing.T) { hangs(t, silenced("", hasty), true) })
	}
}

func hangs(t *testing.T, h Harness, want bool) {
	t.Parallel()
	failed := false
	for _, c := range hangCases {
		synctest.Test(t, func(t *testing.T) {
			for _, failure := range runCaseOn(t.Context(), h, c) {
				failed = true
				t.Logf("%s: %s", c.name, failure)
			}
		})
	}
	if failed != want {
		t.Errorf("failed: %v", failed)
	}
}
