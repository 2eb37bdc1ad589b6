package mqtest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// silence is a provider whose calls get no answer while it is on. One of its
// operations may be deaf: it does not hear that its ctx has ended.
type silence struct {
	*slow
	deaf string

	mu sync.Mutex
	on chan time.Time // closed by resume, or nil
}

func newSilence(p driver.Provider, deaf string) *silence {
	s := &silence{slow: newSlow(p, nil), deaf: deaf}
	s.pause = func(ctx context.Context, op string) error {
		on := s.state()
		if on == nil {
			return nil
		}
		if op == s.deaf {
			<-on
			return nil
		}
		return s.wait(ctx, on)
	}
	if deaf == "close" {
		end := s.slow.close
		s.slow.close = func() error {
			if on := s.state(); on != nil {
				<-on
			}
			return end()
		}
	}
	return s
}

func (s *silence) state() chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

func (s *silence) begin() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := make(chan time.Time)
	s.on = on
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(on)
		s.on = nil
	}
}

// silenced is the harness of mem that can be silent.
func silenced(deaf string) Harness {
	h := named()
	open := h.Open
	h.Open = func(t testing.TB) *mq.Client { return mq.New(newSilence(open(t).Provider(), deaf), silent) }
	h.Hang = func(_ testing.TB, c *mq.Client) func() { return c.Provider().(*silence).begin() }
	return h
}

// TestHang runs the cases of a silent backend, and shows that each operation
// that goes on after its ctx has ended is noticed.
func TestHang(t *testing.T) {
	for _, deaf := range append([]string{"", "close"}, "ensure", "send", "receive", "settle", "extend", "stats", "ping", "drop", "list", "purge", "pop", "browse", "redrive", "purge archive", "receive groups", "receive group") {
		t.Run("deaf "+deaf, func(t *testing.T) {
			t.Parallel()
			failed := false
			for _, c := range hangCases {
				synctest.Test(t, func(t *testing.T) {
					for _, failure := range runCaseOn(t.Context(), silenced(deaf), c) {
						failed = true
						t.Logf("%s: %s", c.name, failure)
					}
				})
			}
			if failed != (deaf != "") {
				t.Errorf("failed: %v", failed)
			}
		})
	}
}
