package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestPopIsOnDisk: a Pop deletes. If its commit does not wait for the disk, a power cut
// brings back messages that were handed out, and they are delivered twice.
func TestPopIsOnDisk(t *testing.T) {
	opened, err := sqliteDriver{}.Open("sqlite://"+filepath.ToSlash(filepath.Join(t.TempDir(), "queue.db")), driver.Env{})
	if err != nil {
		t.Fatal(err)
	}
	p := opened.(*Provider)
	defer func() { _ = p.Close() }()
	err = p.EnsureQueue(t.Context(), "q", driver.QueueOptions{})
	if err == nil {
		_, err = p.Send(t.Context(), "q", []driver.Message{{Body: []byte("once")}})
	}
	var ds []driver.Delivery
	if err == nil {
		ds, err = p.Pop(t.Context(), "q", 1)
	}
	if err != nil || len(ds) != 1 {
		t.Fatalf("popped %d, %v", len(ds), err)
	}
	if p.writer.kept.lazy {
		t.Error("the commit of a Pop did not wait for the disk")
	}
}
