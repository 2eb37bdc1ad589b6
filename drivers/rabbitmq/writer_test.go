package rabbitmq

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGatherer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		g := newGatherer(here)
		var running sync.WaitGroup
		running.Go(g.run)
		var want bytes.Buffer
		for i := range 1000 {
			b := bytes.Repeat([]byte{byte(i)}, i%50)
			want.Write(b)
			if n, err := g.Write(b); n != len(b) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(there, got); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("what was written came otherwise: %v", err)
		}
		_ = there.Close()
		_, _ = g.Write([]byte("lost"))
		synctest.Wait()
		if _, err := g.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write after the other side has gone: %v", err)
		}
		running.Wait()
	})
}

// TestGathererBlocks: writers wait for a peer that does not read, until the
// connection is closed.
func TestGathererBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, _ := net.Pipe()
		g := newGatherer(here)
		var running sync.WaitGroup
		running.Go(g.run)
		written := make(chan error, 1)
		go func() {
			var err error
			for range 20 {
				_, err = g.Write(make([]byte, maxGathered/4))
			}
			written <- err
		}()
		time.Sleep(time.Hour)
		select {
		case err := <-written:
			t.Errorf("nobody reads, and Write returned %v", err)
		default:
		}
		_ = g.Close()
		if err := <-written; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write of a closed connection: %v", err)
		}
		running.Wait()
	})
}
