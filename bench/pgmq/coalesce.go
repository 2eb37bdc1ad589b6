package main

import (
	"context"
	"sync"
)

// coalescer merges concurrent sends by hand: a send that finds a flight free
// goes at once, and those that come meanwhile leave together.
type coalescer struct {
	store   func(context.Context, []string) ([]int64, error)
	flights int

	mu      sync.Mutex
	flying  int
	waiting []*parcel
}

type parcel struct {
	body string
	id   int64
	err  error
	done chan struct{}
}

func (c *coalescer) send(ctx context.Context, body string) (int64, error) {
	p := &parcel{body: body, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, p)
	free := c.flying < c.flights
	if free {
		c.flying++
	}
	c.mu.Unlock()
	if free {
		c.fly(ctx)
	}
	<-p.done
	return p.id, p.err
}

// fly stores what waits, and leaves the flight to whoever waits by then.
func (c *coalescer) fly(ctx context.Context) {
	c.mu.Lock()
	batch := c.waiting
	c.waiting = nil
	if len(batch) == 0 {
		c.flying--
	}
	c.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	bodies := make([]string, len(batch))
	for i, p := range batch {
		bodies[i] = p.body
	}
	ids, err := c.store(ctx, bodies)
	for i, p := range batch {
		if p.err = err; err == nil {
			p.id = ids[i]
		}
		close(p.done)
	}
	go c.fly(ctx)
}
