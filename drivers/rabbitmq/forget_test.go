package rabbitmq

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// TestForgets: queues that were dropped, are missing, or are not used any more
// leave nothing behind, here or in the broker.
func TestForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open, missing atomic.Int32
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
			switch {
			case method == channelOpen:
				open.Add(1)
			case method == channelClose:
				open.Add(-1)
			case method == queueDelete:
				answer(conn, channel, method+1, 0, 0, 0, 0)
				return true
			case method == basicGet && missing.Load() > 0:
				open.Add(-1)
				answer(conn, channel, channelClose, append(append([]byte{1, 148, 20}, "NOT_FOUND - no queue"...), 0, 0, 0, 0)...)
				return true
			case method == basicGet:
				answer(conn, channel, getEmpty, 0)
				return true
			}
			return false
		}}
		p := b.inBubble(t)
		receive := func(name string) error {
			_, err := p.Receive(t.Context(), name, one)
			return err
		}
		left := func(what string, most int) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.queues) > most || int(open.Load()) > most {
				t.Errorf("%s: %d queues are known, and %d channels are open", what, len(p.queues), open.Load())
			}
		}
		for i := range 100 {
			name := fmt.Sprint("dropped", i)
			if err := errors.Join(receive(name), p.DropQueue(t.Context(), name)); err != nil {
				t.Fatal(err)
			}
		}
		left("after 100 queues were dropped", 0)

		missing.Store(1)
		for i := range 100 {
			name := fmt.Sprint("missing", i)
			if err := receive(name); !errors.Is(err, driver.ErrQueueNotFound) {
				t.Fatal(err)
			}
			_ = p.Settle(t.Context(), name, []driver.Settlement{{Receipt: "r1:0000000000000000:1:" + driver.Receipt(name)}})
		}
		left("after 100 queues were missing", 0)

		missing.Store(0)
		for i := range 200 {
			if err := receive(fmt.Sprint("unused", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		left("after 200 queues were used once", 2*minSweep+1)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
