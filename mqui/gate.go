package mqui

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxScans is how many searches run at a time, one for each viewer.
const maxScans = 4

// gate limits how many may be inside, in total and per key.
type gate struct {
	each, all int

	mu     sync.Mutex
	inside map[string]int
	count  int
}

func (g *gate) enter(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count >= g.all || g.inside[key] >= g.each {
		return false
	}
	if g.inside == nil {
		g.inside = make(map[string]int)
	}
	g.inside[key]++
	g.count++
	return true
}

func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count--
	if g.inside[key]--; g.inside[key] == 0 {
		delete(g.inside, key)
	}
}

var errBusy = errors.New("another search is still running: try again in a moment")

// await is enter, but waits for a while: the viewer's browser may have left a search that
// has not ended yet.
func (g *gate) await(ctx context.Context, key string) error {
	for range 20 {
		if g.enter(key) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errBusy
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errBusy
}

// broadcast wakes all waiters.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that the next notify closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
