package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// ensured returns a queue in a new file, the file, and the client.
func ensured(t *testing.T) (*mq.Queue, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := open(t, path).EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return q, path
}

// TestLocked has another program hold the write lock: a call waits for it as long as
// its ctx lasts, says so, and has no effect; others that take nothing from the file go
// on.
func TestLocked(t *testing.T) {
	q, path := ensured(t)
	db := openDB(t, path)
	conn, err := db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = q.Send(ctx, &mq.Message{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, mq.ErrUnavailable) || !strings.Contains(err.Error(), "write lock") {
			t.Errorf("a send while the file is locked: %v", err)
		}
	}
	if ds, err := q.Receive(t.Context(), mq.ReceiveOptions{}); err != nil || len(ds) != 0 {
		t.Errorf("a receive of nothing while the file is locked: %d, %v", len(ds), err)
	}
	if _, err := q.Stats(t.Context()); err != nil {
		t.Errorf("stats while the file is locked: %v", err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := q.Send(t.Context(), &mq.Message{})
		sent <- err
	}()
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Errorf("a send that has waited for the lock: %v", err)
	}
	if s, err := q.Stats(t.Context()); err != nil || s.TotalSent != 1 {
		t.Errorf("stats: %+v, %v", s, err)
	}
}

// TestBusyTimeout limits the wait.
func TestBusyTimeout(t *testing.T) {
	_, path := ensured(t)
	conn, err := openDB(t, path).Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := mq.Open(dsn(path) + "?busy_timeout=20ms")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Queue("q").Send(t.Context(), &mq.Message{}); err == nil || !strings.Contains(err.Error(), "write lock") {
		t.Errorf("a send while the file is locked: %v", err)
	}
}

// TestPoolExhausted has the program use all connections of its pool.
func TestPoolExhausted(t *testing.T) {
	_, path := ensured(t)
	db := openDB(t, path)
	db.SetMaxOpenConns(1)
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Queue("q").Send(ctx, &mq.Message{})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, mq.ErrUnavailable) || !strings.Contains(err.Error(), "SetMaxOpenConns") {
		t.Errorf("a send without a connection: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close without a connection: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRemoved removes the file while it is open.
func TestRemoved(t *testing.T) {
	q, path := ensured(t)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Send(t.Context(), &mq.Message{}); err == nil || !strings.Contains(err.Error(), "removed or replaced") {
		t.Errorf("a send to a file that was removed: %v", err)
	}
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Send(t.Context(), &mq.Message{}); err != nil {
		t.Errorf("a send to the file when it is back: %v", err)
	}
}

// TestFullTogether fills the file by calls that share commits: each is told what has
// become of it.
func TestFullTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	db := openDB(t, path)
	db.SetMaxOpenConns(1)
	run(t, db, "PRAGMA max_page_count = 100")
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	var senders sync.WaitGroup
	var mu sync.Mutex
	sent, queues := 0, []string{"a", "b", "c", "d"}
	for _, name := range queues {
		q, err := c.EnsureQueue(t.Context(), name, mq.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			for n := 0; ; n++ {
				if _, err := q.Send(t.Context(), &mq.Message{Body: bytes.Repeat([]byte("x"), 1000)}); err != nil {
					if !strings.Contains(err.Error(), "the disk is full") {
						t.Errorf("send: %v", err)
					}
					return
				}
				mu.Lock()
				sent++
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	stored := int64(0)
	for _, name := range queues {
		s, err := c.Queue(name).Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stored += s.Total
	}
	if stored != int64(sent) {
		t.Errorf("%d sends were acknowledged, %d messages are stored", sent, stored)
	}
}

// TestTxOfAnotherFile has a transaction begin in another file than the queue's.
func TestTxOfAnotherFile(t *testing.T) {
	q, _ := ensured(t)
	_, other := ensured(t)
	tx, err := openDB(t, other).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := q.Tx(tx).Send(t.Context(), &mq.Message{}); !errors.Is(err, mq.ErrInvalid) || !strings.Contains(err.Error(), "another file") {
		t.Errorf("send: %v", err)
	}
}

// TestCloseLocked closes a client whose send waits for another program's lock.
func TestCloseLocked(t *testing.T) {
	q, path := ensured(t)
	conn, err := openDB(t, path).Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := q.Send(t.Context(), &mq.Message{})
		sent <- err
	}()
	time.Sleep(50 * time.Millisecond) // it waits, most likely
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = q.Client().Shutdown(ctx)
	if err := <-sent; !errors.Is(err, mq.ErrClosed) {
		t.Errorf("a send that waits for the lock at Close: %v", err)
	}
}

// TestReplaced replaces the file while it is open: nobody goes on with the old one, and
// a new client works.
func TestReplaced(t *testing.T) {
	q, path := ensured(t)
	other := made(t, 1)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := q.Stats(t.Context())
	if err == nil || !strings.Contains(err.Error(), "removed or replaced") {
		t.Errorf("stats of a file that was replaced: %v", err)
	}
	if _, err := q.Receive(t.Context(), mq.ReceiveOptions{Wait: time.Minute}); err == nil {
		t.Error("a receive from a file that was replaced has no error")
	}
	if s, err := open(t, path).Queue("q").Stats(t.Context()); err != nil || s.Total != 1 {
		t.Errorf("stats of a new client: %+v, %v", s, err)
	}
}

// TestClockSetBack finds counters that were swept when the clock was ahead.
func TestClockSetBack(t *testing.T) {
	q, path := ensured(t)
	for range 3 {
		if _, err := q.Send(t.Context(), &mq.Message{Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	db := openDB(t, path)
	run(t, db, "DELETE FROM mq_hidden")
	run(t, db, "UPDATE mq_schema SET touched = touched + 3600000000")
	other := open(t, path).Queue("q")
	if _, err := other.Send(t.Context(), &mq.Message{Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if s, err := other.Stats(t.Context()); err != nil || s.Delayed != 4 || s.Visible != 0 {
		t.Errorf("stats: %+v, %v", s, err)
	}
	inOrder(t, path)
}
