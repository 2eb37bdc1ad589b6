package mq

import "sync"

// tracker counts goroutines so that Close can wait for them. Unlike a
// WaitGroup it may be entered while it is being closed: it then refuses.
type tracker struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // made by the first close, closed at zero
}

// enter reports whether there is still time to begin.
func (t *tracker) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.closed {
		close(t.idle)
	}
}

// close refuses newcomers, and returns a channel that is closed when the others
// have left.
func (t *tracker) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.idle = make(chan struct{})
		if t.n == 0 {
			close(t.idle)
		}
	}
	return t.idle
}

// background runs f in a goroutine that Close waits for. After Close it calls
// refused instead.
func (c *Client) background(refused func(error), f func()) {
	if !c.tasks.enter() {
		refused(ErrClosed)
		return
	}
	go func() {
		defer c.tasks.leave()
		f()
	}()
}
