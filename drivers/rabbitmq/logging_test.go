package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// unlocked is a logger's handler that takes a mutex, like a handler that calls the
// provider.
type unlocked struct {
	slog.Handler
	mu   *sync.Mutex
	told chan bool // whether it got the mutex
}

func (h *unlocked) Enabled(context.Context, slog.Level) bool { return true }

func (h *unlocked) Handle(context.Context, slog.Record) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if h.mu.TryLock() {
			h.mu.Unlock()
			h.told <- true
			return nil
		}
		if time.Now().After(end) {
			h.told <- false
			return nil
		}
	}
}

// The program's logger is not called under a mutex.
func TestLoggerIsCalledWithoutAMutex(t *testing.T) {
	t.Run("refused delays", func(t *testing.T) {
		l := new(ladders)
		h := &unlocked{mu: &l.mu, told: make(chan bool, 2)}
		l.refuse(errors.New("mine"), slog.New(h))
		l.refuse(errors.New("mine"), slog.New(h))
		if len(h.told) != 1 || !<-h.told {
			t.Error("the logger was called under the mutex, or not once")
		}
	})
	t.Run("connected again", func(t *testing.T) {
		b := listen(t, "RabbitMQ", "3.10.8")
		o, err := parseDSN("rabbitmq://" + b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		h := &unlocked{told: make(chan bool, 10)}
		p := newProvider(o, slog.New(h))
		defer func() { _ = p.Close() }()
		l := &p.consumer
		h.mu = &l.mu
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		_ = l.session.Close()
		l.mu.Unlock()
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !<-h.told {
			t.Error("the logger was called under the mutex")
		}
	})
}
