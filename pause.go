package mq

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

// Pause stops fetching in this Consumer. What is already leased is still handled.
// Queue.Pause stops the Consumers of all processes.
func (c *Consumer) Pause() { c.halt(&c.paused) }

// Resume ends Pause.
func (c *Consumer) Resume() { c.release(&c.paused) }

// halt sets a flag that keeps the Consumer from fetching.
func (c *Consumer) halt(flag *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*flag = true
	if c.cancelFetch != nil {
		c.cancelFetch()
	}
}

func (c *Consumer) release(flag *bool) {
	c.mu.Lock()
	*flag = false
	c.mu.Unlock()
	c.poke()
}

// PausedQueue is a queue that is paused, since when and by whom.
type PausedQueue = driver.Pause

// Pause keeps the Consumers of all processes from fetching from the queue, until Resume.
// They still handle what they have leased. Consumers obey within seconds, most at once;
// those that start later obey as well. The pause is stored with the queue, and outlives
// this client. It binds Consumers only: Receive, Messages, Pop, and other programs that
// share a backend's queues go on.
//
// by tells operators why nothing moves: a name, a reason, or both. Pausing a queue that is
// already paused changes nothing.
func (q *Queue) Pause(ctx context.Context, by string) error {
	return q.setPaused(ctx, "pause", true, by)
}

// Resume ends Pause. Resuming a queue that is not paused changes nothing.
func (q *Queue) Resume(ctx context.Context) error { return q.setPaused(ctx, "resume", false, "") }

func (q *Queue) setPaused(ctx context.Context, op string, paused bool, by string) error {
	return q.do(ctx, &Call{Op: op}, func(ctx context.Context) error {
		if !isText(by) {
			return invalid("the text that says who pauses the queue has a NUL or is not UTF-8")
		}
		p, err := optional[driver.Pauser](q.client.provider)
		if err != nil {
			return unsupported("pausing a queue for all consumers")
		}
		return q.client.look(ctx, func(ctx context.Context) error { return p.SetPaused(ctx, q.name, paused, by) })
	})
}

// Paused returns the queues that are paused, sorted by name.
func (c *Client) Paused(ctx context.Context) (all []PausedQueue, err error) {
	err = c.do(ctx, &Call{Op: "paused"}, func(ctx context.Context) error {
		p, err := optional[driver.Pauser](c.provider)
		if err != nil {
			return unsupported("pausing a queue for all consumers")
		}
		all, err = c.paused(ctx, p)
		return err
	})
	return all, err
}

func (c *Client) paused(ctx context.Context, p driver.Pauser) (all []PausedQueue, err error) {
	err = c.look(ctx, func(ctx context.Context) (err error) {
		all, err = p.Paused(ctx)
		return err
	})
	return all, err
}

const (
	// pauseCheck is how often a client reads which queues are paused if it is not notified.
	pauseCheck = 5 * time.Second
	// pauseGap is the least time between two looks.
	pauseGap = 50 * time.Millisecond
	// pauseLimit bounds a look, since a Consumer that starts waits for it.
	pauseLimit = 3 * time.Second
)

// pauses makes the Consumers of one client obey the pauses of their queues. A goroutine
// looks which queues are paused for as long as there is a Consumer.
type pauses struct {
	mu        sync.Mutex
	consumers map[*Consumer]bool
	stop      func() // ends the goroutine, and waits for it; nil if there is none
}

// watch makes c obey pauses until leave is called. It returns once it has read whether the
// queue of c is paused, or has failed to.
func (ps *pauses) watch(ctx context.Context, c *Consumer) (leave func()) {
	client := c.queue.client
	p, ok := client.provider.(driver.Pauser)
	if !ok {
		return func() {}
	}
	ps.mu.Lock()
	if ps.consumers == nil {
		ps.consumers = make(map[*Consumer]bool)
	}
	ps.consumers[c] = true
	ps.mu.Unlock()
	switch err := ps.look(ctx, client, p); {
	case errors.Is(err, ErrNotSupported):
		c.log.Info("mq: Queue.Pause does not stop this consumer", "error", err)
		ps.mu.Lock()
		defer ps.mu.Unlock()
		delete(ps.consumers, c)
		return func() {}
	case err != nil && ctx.Err() == nil:
		c.log.Warn("mq: it is not known yet whether the queue is paused", "error", err)
	}
	ps.start(ctx, client, p)
	return func() { ps.leave(c) }
}

// start starts the goroutine unless it runs.
func (ps *pauses) start(ctx context.Context, client *Client, p driver.Pauser) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.stop != nil {
		return
	}
	ctx, cancel := client.untilClose(context.WithoutCancel(ctx))
	done := make(chan struct{})
	ps.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		ps.run(ctx, client, p)
	}()
}

// leave forgets c. The last Consumer to leave ends the goroutine.
func (ps *pauses) leave(c *Consumer) {
	ps.mu.Lock()
	delete(ps.consumers, c)
	stop := ps.stop
	if len(ps.consumers) > 0 {
		stop = nil
	}
	if stop != nil {
		ps.stop = nil
	}
	ps.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (ps *pauses) run(ctx context.Context, client *Client, p driver.Pauser) {
	for ctx.Err() == nil {
		err := p.AwaitPause(ctx, pauseCheck)
		if err == nil {
			err = ps.look(ctx, client, p)
		}
		gap := pauseGap
		if err != nil {
			gap = pauseCheck
		}
		_ = sleep(ctx, gap)
	}
}

// look reads which queues are paused. After an error Consumers go on as before.
func (ps *pauses) look(ctx context.Context, client *Client, p driver.Pauser) error {
	ctx, cancel := context.WithTimeout(ctx, pauseLimit)
	defer cancel()
	all, err := client.paused(ctx, p)
	if err != nil {
		return err
	}
	paused := make(map[string]bool, len(all))
	for _, q := range all {
		paused[q.Queue] = true
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for c := range ps.consumers {
		c.setQueuePaused(paused[c.queue.name])
	}
	return nil
}

// setQueuePaused makes the Consumer obey, and logs a change.
func (c *Consumer) setQueuePaused(paused bool) {
	c.mu.Lock()
	was := c.queuePaused
	c.mu.Unlock()
	switch {
	case was == paused:
	case paused:
		c.halt(&c.queuePaused)
		c.log.Info("mq: the queue is paused, nothing is fetched")
	default:
		c.release(&c.queuePaused)
		c.log.Info("mq: the queue is no longer paused")
	}
}
