package rabbitmq

import (
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// claimBytes bounds what one call leases. A broker sends a consumer all that it
// has asked for at once, however large that is, so that the driver asks for as
// many messages as fit if they are like those before.
const claimBytes = 8 << 20

// sizes remembers how large the messages of a queue have been of late.
type sizes struct {
	mu    sync.Mutex
	large int // 0: none was seen
}

// see takes note of a message. Large ones are forgotten slowly.
func (s *sizes) see(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.large = max(bytes, s.large-s.large/32)
}

func (s *sizes) unknown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.large == 0
}

// fit returns how many more messages go into a claim of so many bytes: at least
// one into an empty claim.
func (s *sizes) fit(bytes int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := (claimBytes - bytes) / max(s.large, 1)
	if bytes == 0 {
		n = max(n, 1)
	}
	return n
}

// sizeOf is about what a message takes, and never 0.
func sizeOf(d *amqp.Delivery) int {
	n := 512 + len(d.Body)
	for k, v := range d.Headers {
		n += len(k)
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}
