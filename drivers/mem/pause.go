package mem

import (
	"context"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// pauses lets those know who wait for a queue to be paused or resumed.
type pauses struct {
	mu      sync.Mutex
	changed chan struct{} // closed by the next change; nil if nobody waits
}

// change returns a channel that the next change closes.
func (ps *pauses) change() <-chan struct{} {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.changed == nil {
		ps.changed = make(chan struct{})
	}
	return ps.changed
}

func (ps *pauses) notify() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.changed != nil {
		close(ps.changed)
		ps.changed = nil
	}
}

// SetPaused pauses or resumes a queue.
func (p *Provider) SetPaused(ctx context.Context, name string, paused bool, by string) error {
	q, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer q.unlock()
	switch {
	case !paused:
		q.pause = nil
	case q.pause == nil:
		q.pause = &driver.Pause{Queue: name, By: by, Since: q.store.time(q.now)}
	}
	p.store.pauses.notify()
	return nil
}

// Paused returns the queues that are paused.
func (p *Provider) Paused(ctx context.Context) ([]driver.Pause, error) {
	names, err := p.ListQueues(ctx)
	if err != nil {
		return nil, err
	}
	var all []driver.Pause
	for _, name := range names {
		q, err := p.lock(ctx, name)
		if err != nil {
			continue // it is gone
		}
		if q.pause != nil {
			all = append(all, *q.pause)
		}
		q.unlock()
	}
	return all, nil
}

// AwaitPause waits for the next SetPaused of this store.
func (p *Provider) AwaitPause(ctx context.Context, d time.Duration) error {
	if err := p.check(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.store.pauses.change():
	case <-timer.C:
	case <-ctx.Done():
	case <-p.done:
	}
	return p.check(ctx)
}
