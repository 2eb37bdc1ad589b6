package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// made returns the path of a file with a queue q and n messages in it, which nobody
// has open.
func made(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	c := open(t, path)
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	for range n {
		if err == nil {
			_, err = q.Send(t.Context(), &mq.Message{Body: bytes.Repeat([]byte("x"), 1000)})
		}
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// refused checks that every kind of call on a file is refused, in good time and with
// the same words.
func refused(t *testing.T, c *mq.Client, want string) {
	t.Helper()
	q := c.Queue("q")
	for name, call := range map[string]func(context.Context) error{
		"ping":   c.Ping,
		"send":   func(ctx context.Context) error { _, err := q.Send(ctx, &mq.Message{}); return err },
		"stats":  func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
		"queues": func(ctx context.Context) error { _, err := c.Queues(ctx); return err },
		"receive": func(ctx context.Context) error {
			_, err := q.Receive(ctx, mq.ReceiveOptions{Wait: time.Minute})
			return err
		},
	} {
		err := call(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, want)
		}
	}
}

// TestBadFiles lists what may be wrong with a file. Nothing in it is changed.
func TestBadFiles(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T) (path string)
		want string
	}{
		{"text", func(t *testing.T) string {
			return written(t, strings.Repeat("this is a letter. ", 1000))
		}, "not an SQLite database"},
		{"no directory", func(t *testing.T) string {
			return filepath.Join(t.TempDir(), "missing", "queue.db")
		}, "does its directory exist"},
		{"directory", func(t *testing.T) string { return t.TempDir() }, "cannot open the file"},
		{"newer layout", func(t *testing.T) string {
			path := made(t, 1)
			run(t, openDB(t, path), "UPDATE mq_schema SET version = 7")
			return path
		}, "newer version of this driver (layout 7"},
		{"foreign table", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "queue.db")
			run(t, openDB(t, path), "CREATE TABLE mq_schema (version INTEGER)")
			return path
		}, "mq_schema"},
		{"other program", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "queue.db")
			db := openDB(t, path)
			run(t, db, "PRAGMA journal_mode = delete")
			run(t, db, "PRAGMA application_id = 252006674")
			return path
		}, "belongs to another program"},
		{"damaged schema", func(t *testing.T) string {
			path := made(t, 100)
			damage(t, path, 100, 3996)
			return path
		}, "damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := test.make(t)
			before, _ := os.ReadFile(path)
			refused(t, open(t, path), test.want)
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// damage overwrites a part of a file that nobody has open.
func damage(t *testing.T, path string, at, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		copy(b[at:], bytes.Repeat([]byte{0xff}, n))
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFull fills a file that must not grow: sends fail and say why, nothing that was
// acknowledged is lost, and there is room again once messages are gone.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	db := openDB(t, path)
	db.SetMaxOpenConns(1)
	run(t, db, "PRAGMA max_page_count = 100")
	c := mq.New(sqlite.FromDB(db, sqlite.Config{}), mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for err == nil {
		if _, err = q.Send(t.Context(), &mq.Message{Body: bytes.Repeat([]byte("x"), 1000)}); err == nil {
			sent++
		}
	}
	if !strings.Contains(err.Error(), "the disk is full") || errors.Is(err, mq.ErrUnavailable) {
		t.Errorf("a send to a full file: %v", err)
	}
	ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: 1000})
	if err != nil || len(ds) != sent {
		t.Fatalf("received %d of %d messages: %v", len(ds), sent, err)
	}
	for _, d := range ds {
		if err := d.Ack(t.Context()); err != nil {
			t.Fatalf("ack in a full file: %v", err)
		}
	}
	if _, err := q.Send(t.Context(), &mq.Message{}); err != nil {
		t.Errorf("send when there is room again: %v", err)
	}
}
