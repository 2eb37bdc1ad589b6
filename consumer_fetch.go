package mq

import (
	"context"
	"errors"
	"time"
)

// Fetching. One goroutine, Run's, fetches; it alone appends to the buffer, and so
// decides how much is leased. Workers take from the buffer, settle, and poke it through
// Consumer.wake when there may be room again. A message is on its way through: the
// provider, fetch, the keeper (which extends its lease from then on), the buffer, a
// worker. c.mu guards all counts; neither the provider nor a function of the program is
// called while it is held.

// The pauses of a Consumer whose fetches fail.
const minFetchPause, maxFetchPause = 100 * time.Millisecond, 10 * time.Second

// fetchLoop fetches whenever there is room until ctx ends.
func (c *Consumer) fetchLoop(ctx context.Context) error {
	c.slow = time.NewTimer(c.queue.client.cfg.CallTimeout)
	defer c.slow.Stop()
	pause := minFetchPause
	for ctx.Err() == nil {
		ds, err := c.fetch(ctx)
		c.push(ds) // also beside an error, which is then an interceptor's
		if err == nil {
			pause = minFetchPause
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

// hopeless reports whether trying again cannot help. That an answer is too
// large is not the fault of the options.
func hopeless(err error) bool {
	return errors.Is(err, ErrQueueNotFound) || errors.Is(err, ErrClosed) ||
		errors.Is(err, ErrNotSupported) || errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge)
}

// fetch waits for room and then for messages. A Pause ends it with nothing.
func (c *Consumer) fetch(ctx context.Context) ([]*Delivery, error) {
	fetching, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	n := c.room()
	if n > 0 {
		c.cancelFetch = cancel
	}
	c.mu.Unlock()
	if n == 0 {
		c.awaitRoom(ctx)
		return nil, nil
	}
	ds, err := c.receive(fetching, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelFetch = nil
	c.stats.Received += int64(len(ds))
	c.rate.take(len(ds))
	if fetching.Err() != nil {
		if ctx.Err() == nil {
			err = nil // a Pause, over by now or not
		}
	} else {
		c.fetched(err)
	}
	c.intake.fetched(n, c.queue.client.caps.BatchLimit(), ds, err)
	return ds, err
}

// fetched takes note of how a fetch ended. c.mu is held.
func (c *Consumer) fetched(err error) {
	if c.sick = err; err == nil {
		c.stats.LastFetch = time.Now()
		return
	}
	c.stats.LastError, c.stats.LastErrorAt = err, time.Now()
}

// awaitRoom waits until something changes. What keeps a Consumer from fetching
// for long is logged, unless it is a Pause or handlers at work.
func (c *Consumer) awaitRoom(ctx context.Context) {
	limit := c.queue.client.cfg.CallTimeout
	for {
		c.slow.Reset(limit)
		select {
		case <-c.wake:
			return
		case <-ctx.Done():
			return
		case <-c.slow.C:
		}
		c.mu.Lock()
		n, behind := c.unsettled, c.behind()
		c.mu.Unlock()
		if behind {
			c.log.Warn("mq: not fetching, settlements do not get through", "settlements", n, "for", limit)
		}
	}
}

// receive leases messages. It returns now and then without any, which shows that the
// backend answers. No heartbeat extends their leases before it returns,
// so interceptors have little time after the receive.
func (c *Consumer) receive(ctx context.Context, n int) ([]*Delivery, error) {
	in := c.queue.client.limits()
	in.after = min(in.after, c.cfg.Visibility/beatsPerVisibility)
	ctx = unattended(ctx, in)
	o := ReceiveOptions{Max: n, Visibility: c.cfg.Visibility, Wait: maxWait}
	if c.cfg.Groups != nil {
		return c.queue.ReceiveHeads(ctx, c.cfg.Groups, o)
	}
	return c.queue.Receive(ctx, o)
}

// push hands fetched messages to the workers.
func (c *Consumer) push(ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	c.keeper.keep(ds)
	c.mu.Lock()
	ds, back := c.isolate(ds)
	c.buffer = append(c.buffer, ds...)
	alone := c.lone.d
	c.mu.Unlock()
	if alone != nil {
		c.log.Warn("mq: the last attempts of a message were never answered, so it is handled alone", "unanswered", alone.Unanswered, "message", alone)
	}
	c.giveBack(back)
	c.dispatch()
}

// dispatch starts workers for what is buffered.
func (c *Consumer) dispatch() {
	c.mu.Lock()
	n := max(0, min(c.concurrency-c.running, len(c.buffer)))
	if c.loneMayBegin() {
		c.beginLone()
		n = 1
	}
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
	switch {
	case c.running > c.concurrency:
	case len(c.buffer) > 0:
		return c.takeFirst()
	}
	c.running--
	if c.loneMayBegin() { // this was the last worker, and its settlement has ended before it
		c.beginLone()
		c.running++
		return c.takeFirst()
	}
	c.poke()
	return nil
}

// takeFirst takes the first message out of the buffer. c.mu is held.
func (c *Consumer) takeFirst() *Delivery {
	d := c.buffer[0]
	c.buffer[0] = nil
	c.buffer = c.buffer[1:]
	c.intake.remove(d)
	if len(c.buffer) <= c.prefetch/2 {
		c.poke()
	}
	return d
}
