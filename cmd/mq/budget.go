package main

import (
	"context"
	"sync"
)

// budget bounds how many bytes one goroutine has ready for another. What is
// larger than all of it is alone.
type budget struct {
	most  int
	mu    sync.Mutex
	used  int
	freed chan struct{} // holds a token when something was given back
}

func newBudget(most int) *budget {
	return &budget{most: most, freed: make(chan struct{}, 1)}
}

// take waits until n bytes fit. It returns false if ctx ends first.
func (b *budget) take(ctx context.Context, n int) bool {
	for !b.fits(n) {
		select {
		case <-b.freed:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (b *budget) fits(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.used+n > b.most {
		return false
	}
	b.used += n
	return true
}

// give gives bytes back.
func (b *budget) give(n int) {
	b.mu.Lock()
	b.used -= n
	b.mu.Unlock()
	select {
	case b.freed <- struct{}{}:
	default:
	}
}
