package rabbitmq

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestSizes: a claim has no more messages than fit, and never none.
func TestSizes(t *testing.T) {
	var s sizes
	if !s.unknown() || s.fit(0) < maxBatch {
		t.Errorf("before a message was seen %d fit", s.fit(0))
	}
	see := func(body int) { s.see(sizeOf(&amqp.Delivery{Body: make([]byte, body)})) }
	see(1)
	if s.fit(0) < maxBatch {
		t.Errorf("of small messages %d fit", s.fit(0))
	}
	see(1 << 20)
	if n := s.fit(0); n < 7 || n > 8 {
		t.Errorf("of messages of 1 MiB %d fit into %d bytes", n, claimBytes)
	}
	if n := s.fit(claimBytes - 1); n != 0 {
		t.Errorf("%d fit into a claim that is full", n)
	}
	see(2 * claimBytes)
	if n := s.fit(0); n != 1 {
		t.Errorf("of messages larger than a claim %d fit", n)
	}
	for range 300 {
		see(100)
	}
	if s.fit(0) < maxBatch {
		t.Error("a large message is never forgotten")
	}
}
