package rabbitmq

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// inBubble connects a provider with a broker without a network, so that it
// lives on fake time inside a synctest bubble.
func (b *fakeBroker) inBubble(t *testing.T) *Provider {
	t.Helper()
	p := b.provider(t, "rabbitmq://?heartbeat=1h")
	here, there := net.Pipe()
	go b.serve(there)
	s, err := p.consumer.handshake(here)
	if err != nil {
		t.Fatal(err)
	}
	p.consumer.session = s
	return p
}

// TestAbandonedOpening: the channel that a call no longer waits for is the next
// one's.
func TestAbandonedOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(_ net.Conn, _ uint16, method uint32) bool {
			if method == channelOpen {
				time.Sleep(time.Second)
				opened++
			}
			return false
		}}
		p := b.inBubble(t)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			_, err := p.queue("q").open(ctx)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a channel that opens slowly: %v", err)
			}
		}
		if c, err := p.queue("q").open(t.Context()); err != nil || c.over() {
			t.Errorf("the channel does not stand: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if opened != 1 {
			t.Errorf("opened %d channels for one queue", opened)
		}
		if _, err := p.queue("q").open(t.Context()); !errors.Is(err, driver.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
