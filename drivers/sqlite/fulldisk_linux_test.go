package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/portmq/mq"
)

// On a full disk nothing is delivered whose lease could not be stored.
func TestFullDiskClaim(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("needs root: a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	c, err := mq.Open("sqlite://" + filepath.Join(dir, "q.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err == nil {
		_, err = q.Send(t.Context(), &mq.Message{Body: []byte("x")})
	}
	if err != nil {
		t.Fatal(err)
	}
	fillUp(t, filepath.Join(dir, "ballast"))
	for range 5 {
		if ds, _ := q.Receive(t.Context(), mq.ReceiveOptions{}); len(ds) > 0 {
			if s, err := q.Stats(t.Context()); err != nil || s.Leased == 0 {
				t.Fatalf("message %s was delivered, and its lease is not stored: %+v, %v", ds[0].ID, s, err)
			}
		}
		if popped, err := q.Pop(t.Context(), 1); len(popped) > 0 && err == nil {
			if s, err := q.Stats(t.Context()); err != nil || s.Total != 0 {
				t.Fatalf("a message was popped, and it is still there: %+v, %v", s, err)
			}
		}
	}
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for n := 1 << 16; n > 0; {
		if _, err := f.Write(make([]byte, n)); errors.Is(err, syscall.ENOSPC) {
			n /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
