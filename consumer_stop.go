package mq

import "time"

// lastMoment is how long a stopping Consumer still waits, for what it would have waited
// for much longer, once Shutdown has no more patience.
const lastMoment = 400 * time.Millisecond

// stop carries out the order of events that Run documents. The handlers'
// contexts end before the backend is called, since that may be what hangs.
func (c *Consumer) stop() error {
	end := now().add(max(c.cfg.SoftStop, 0)).add(max(c.cfg.HardStop, 0)).add(lastSettlements)
	if !c.await(c.cfg.SoftStop, 0, c.idle) {
		c.returnBuffer()
		c.interrupt(ErrStopping)
		c.await(c.cfg.HardStop, lastMoment, c.idle)
		c.keeper.abandon()
	}
	settled := func() bool { return c.unsettled == 0 }
	c.await(min(c.queue.client.cfg.CallTimeout, end.sub(now())), lastMoment, settled)
	if n := c.Stats().Running; n > 0 {
		return &StopError{Abandoned: n}
	}
	return nil
}

// idle reports whether nothing is handled or waits for it. c.mu is held.
func (c *Consumer) idle() bool { return c.running == 0 && len(c.buffer) == 0 && c.lone.d == nil }

// returnBuffer gives back what no handler has begun.
func (c *Consumer) returnBuffer() {
	c.mu.Lock()
	rest := c.takeBuffer()
	c.mu.Unlock()
	c.giveBack(rest)
}

// takeBuffer empties the buffer. c.mu is held.
func (c *Consumer) takeBuffer() []*Delivery {
	rest := c.buffer
	if c.lone.d != nil {
		rest = append(rest, c.lone.d)
	}
	c.buffer, c.intake.buffered, c.lone = nil, 0, lone{}
	return rest
}

// giveBack gives back messages that no handler has begun, in a goroutine that
// counts as a settlement.
func (c *Consumer) giveBack(rest []*Delivery) {
	if len(rest) == 0 {
		return
	}
	c.count(func(s *ConsumerStats) { s.Returned += int64(len(rest)) })
	c.unsettle(1, 0)
	f := func() {
		defer c.unsettle(-1, 0)
		c.queue.giveBack(c.handlers, rest)
	}
	c.queue.client.background(func(error) { f() }, f)
}

// unsettle takes note that settlements have begun or, if negative, ended.
func (c *Consumer) unsettle(n, bytes int) {
	c.mu.Lock()
	c.unsettled += n
	c.intake.unsettled += bytes
	waits := c.loneMayBegin()
	c.mu.Unlock()
	if waits {
		c.dispatch()
	}
	if n < 0 {
		c.poke()
	}
}

// stopping reports whether handlers have been told to stop.
func (c *Consumer) stopping() bool { return c.handlers.Err() != nil }

// await waits up to limit for a condition, which is checked under mu, and no longer
// than hurried once the client's Shutdown has no more patience.
func (c *Consumer) await(limit, hurried time.Duration, condition func() bool) bool {
	timer := time.NewTimer(max(limit, 0))
	defer timer.Stop()
	end := now().add(limit)
	hurry := c.queue.client.hurry
	for {
		c.mu.Lock()
		met := condition()
		c.mu.Unlock()
		if met {
			return true
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return false
		case <-hurry:
			hurry = nil
			timer.Reset(max(0, min(hurried, end.sub(now()))))
		}
	}
}

// poke wakes await, awaitRoom or whatever waits for a change.
func (c *Consumer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
