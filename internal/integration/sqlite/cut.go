package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/sqlite"
)

// CutOff ends the ctx of calls while they are under way: the error is the context's,
// whatever the library makes of it.
func (l Library) CutOff(t *testing.T) {
	t.Helper()
	c := mq.New(sqlite.FromDB(l.open(t, filepath.Join(t.TempDir(), "queue.db")), sqlite.Config{}), mq.Config{})
	defer c.Close()
	q, err := c.EnsureQueue(t.Context(), "q", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_, err := q.Receive(ctx, mq.ReceiveOptions{})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("a receive whose ctx ended: %v", err)
		}
	}
}
