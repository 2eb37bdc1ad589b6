package mq

import (
	"context"
	"errors"
	"time"
)

// The pauses of a Consumer whose fetches fail.
const minFetchPause, maxFetchPause = 100 * time.Millisecond, 10 * time.Second

// fetchLoop fetches whenever there is room until ctx ends.
func (c *Consumer) fetchLoop(ctx context.Context) error {
	pause := minFetchPause
	for ctx.Err() == nil {
		ds, err := c.fetch(ctx)
		if err == nil {
			pause = minFetchPause
			c.push(ds)
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if hopeless(err) {
			return err
		}
		c.log.Warn("mq: receiving failed, trying again", "error", err, "pause", pause)
		_ = sleep(ctx, jitter(pause))
		pause = min(2*pause, maxFetchPause)
	}
	return nil
}

// hopeless reports whether trying again cannot help.
func hopeless(err error) bool {
	return errors.Is(err, ErrQueueNotFound) || errors.Is(err, ErrClosed) ||
		errors.Is(err, ErrNotSupported) || errors.Is(err, ErrInvalid)
}

// fetch waits for room and then for messages. A Pause ends it with nothing.
func (c *Consumer) fetch(ctx context.Context) ([]*Delivery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	n := c.room()
	if n > 0 {
		c.cancelFetch = cancel
	}
	c.mu.Unlock()
	if n == 0 {
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
		return nil, nil
	}
	ds, err := c.receive(ctx, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelFetch = nil
	c.stats.Received += int64(len(ds))
	if c.paused && errors.Is(err, context.Canceled) {
		err = nil
	}
	return ds, err
}

func (c *Consumer) receive(ctx context.Context, n int) ([]*Delivery, error) {
	o := ReceiveOptions{Max: n, Visibility: c.cfg.Visibility, Wait: Forever}
	if c.cfg.Groups != nil {
		return c.queue.ReceiveGroups(ctx, *c.cfg.Groups, o)
	}
	return c.queue.Receive(ctx, o)
}

// room returns how many messages to fetch now. c.mu is held.
func (c *Consumer) room() int {
	limit := c.queue.client.caps.BatchLimit()
	if c.paused || c.unsettled >= 2*limit {
		return 0 // the settlements must catch up first
	}
	c.prefetch = c.wantPrefetch(limit)
	if len(c.buffer) > c.prefetch/2 {
		return 0
	}
	free := c.concurrency + c.prefetch - c.running - len(c.buffer)
	return max(0, min(free, limit))
}

// prefetchAhead is how much work is prefetched: enough to hide a round trip,
// little enough for another process to get its share.
const prefetchAhead = 100 * time.Millisecond

// groupsAhead bounds the prefetch of heads, in concurrencies: what is buffered
// keeps a group from going on elsewhere.
const groupsAhead = 4

// wantPrefetch adapts the prefetch to the handlers' pace, doubling it at most.
// c.mu is held.
func (c *Consumer) wantPrefetch(limit int) int {
	switch {
	case c.cfg.Prefetch < 0:
		return 0
	case c.cfg.Prefetch > 0:
		return c.cfg.Prefetch
	case c.pace == 0 || c.pace >= prefetchAhead:
		return 0
	}
	ahead := min(prefetchAhead, c.cfg.Visibility/4)
	n := int(ahead * time.Duration(c.concurrency) / c.pace)
	if c.cfg.Groups != nil {
		n = min(n, groupsAhead*c.concurrency)
	}
	return min(n, limit, 2*max(c.prefetch, c.concurrency))
}

// push hands fetched messages to the workers.
func (c *Consumer) push(ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	c.keeper.keep(ds)
	c.mu.Lock()
	c.buffer = append(c.buffer, ds...)
	c.mu.Unlock()
	c.dispatch()
}

// dispatch starts workers for what is buffered.
func (c *Consumer) dispatch() {
	c.mu.Lock()
	n := max(0, min(c.concurrency-c.running, len(c.buffer)))
	c.running += n
	c.mu.Unlock()
	for range n {
		go c.work()
	}
}

// next takes a message out of the buffer, or ends the worker.
func (c *Consumer) next() *Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buffer) == 0 || c.running > c.concurrency {
		c.running--
		c.poke()
		return nil
	}
	d := c.buffer[0]
	c.buffer[0] = nil
	c.buffer = c.buffer[1:]
	if len(c.buffer) <= c.prefetch/2 {
		c.poke()
	}
	return d
}
