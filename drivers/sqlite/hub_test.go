package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSlowCommit: another process writes its commit to the log, and waits for the disk
// before others can see it, which changes the file no more. Receivers must be woken
// after that, too.
func TestSlowCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, name := range []string{path, path + "-wal"} {
		if err := os.WriteFile(name, []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := newHub(path)
	h.pollEvery(defaultPoll)
	woken, leave := h.subscribe("q")
	defer leave()
	time.Sleep(time.Second) // at rest
	if err := os.WriteFile(path+"-wal", []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	const disk = 100 * time.Millisecond
	time.Sleep(disk)
	select {
	case <-woken: // too early
	default:
	}
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Errorf("a commit that took %v wakes nobody", disk)
	}
}
