package mem

import (
	"context"
	"fmt"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestPurgeBesideCommit: a key is not held while there is no message that holds it.
func TestPurgeBesideCommit(t *testing.T) {
	ctx := context.Background()
	for range 30 {
		p := New()
		if err := p.EnsureQueue(ctx, "q", driver.QueueOptions{}); err != nil {
			t.Fatal(err)
		}
		tx := p.Begin()
		in, err := p.Tx(tx)
		if err != nil {
			t.Fatal(err)
		}
		msgs := make([]driver.Message, 500)
		for i := range msgs {
			msgs[i] = driver.Message{DedupKey: fmt.Sprint(i), DedupFor: driver.WhileQueued}
		}
		if _, err := in.(driver.Deduplicator).SendUnique(ctx, "q", msgs); err != nil {
			t.Fatal(err)
		}
		purged := make(chan error)
		go func() {
			for {
				if n, err := p.PurgeQueue(ctx, "q"); n > 0 || err != nil {
					purged <- err
					return
				}
			}
		}()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-purged; err != nil {
			t.Fatal(err)
		}
		sent, err := p.SendUnique(ctx, "q", msgs)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range sent {
			if s.Duplicate {
				t.Fatalf("key %d is held by message %s, which was purged", i, s.ID)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
