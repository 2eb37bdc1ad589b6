package mq

import "time"

// A message that kills its process takes the messages beside it along: they lose an
// attempt, too, although nothing is wrong with them. So a message whose last attempts
// were never answered is handled alone. It waits until everything else in hand is
// settled, nothing is fetched until it is done, and others of its kind that were
// fetched with it are given back. Then only the message that kills runs out of attempts.

// lone is the message that is, or will be, handled alone.
type lone struct {
	d      *Delivery   // waits for its turn; nil if there is none, or once it has begun
	active bool        // it has begun
	timer  *time.Timer // ends its waiting for others
}

// unansweredLimit is how many unanswered attempts make a message suspicious. One may
// be bad luck: another message ended the process.
const unansweredLimit = 2

// suspicious reports whether a message may be one that ends the process.
func (c *Consumer) suspicious(d *Delivery) bool {
	most := c.cfg.MaxAttempts
	switch {
	case c.exhausted(d): // no handler will see it
		return false
	case !c.queue.client.caps.Attempts: // nobody knows what was answered
		return most > 0 && d.Attempt > max(1, most/2)
	case most > 0:
		return d.Unanswered >= max(1, min(unansweredLimit, most-1))
	}
	return d.Unanswered >= unansweredLimit
}

// isolate takes suspicious messages out of ds. The first of them will be handled
// alone, and the others are to be given back. c.mu is held.
func (c *Consumer) isolate(ds []*Delivery) (rest, back []*Delivery) {
	for _, d := range ds {
		if !c.suspicious(d) {
			rest = append(rest, d)
			continue
		}
		c.intake.limit = 1
		switch {
		case !c.isolated():
			c.setLone(d)
		case c.queue.client.caps.Attempts:
			back = append(back, d)
		default: // giving it back would count
			rest = append(rest, d)
			continue
		}
		c.intake.remove(d)
	}
	return rest, back
}

// maxLoneWait is how long a message may wait for the handlers that run: these may take
// hours.
const maxLoneWait = 30 * time.Second

// setLone makes d wait until it can be handled alone. c.mu is held.
func (c *Consumer) setLone(d *Delivery) {
	c.lone.d = d
	c.lone.timer = time.AfterFunc(maxLoneWait, func() { c.joinOthers(d) })
	if c.batcher != nil {
		time.AfterFunc(lastJoiners, c.batcher.flush) // what gathers is in its way
	}
}

// joinOthers lets a message that has waited for long enough run beside others.
func (c *Consumer) joinOthers(d *Delivery) {
	c.mu.Lock()
	if c.lone.d == d {
		c.lone = lone{}
		c.buffer = append(c.buffer, d)
		c.intake.buffered += weight(d)
	}
	c.mu.Unlock()
	c.dispatch()
}

// loneMayBegin reports whether the lone message can begin. c.mu is held.
func (c *Consumer) loneMayBegin() bool {
	return c.lone.d != nil && c.running == 0 && len(c.buffer) == 0 && c.unsettled == 0
}

// beginLone hands the lone message, whose turn has come, to the next worker. c.mu is
// held.
func (c *Consumer) beginLone() {
	c.lone.timer.Stop()
	c.buffer = append(c.buffer, c.lone.d)
	c.intake.buffered += weight(c.lone.d)
	c.lone = lone{active: true}
}

// isolated reports whether a message waits for being handled alone, or is. c.mu is
// held.
func (c *Consumer) isolated() bool { return c.lone.d != nil || c.lone.active }

// endLone takes note that a message is done, which may be the lone one.
func (c *Consumer) endLone() {
	c.mu.Lock()
	was := c.lone.active
	c.lone.active = false
	c.mu.Unlock()
	if was {
		c.poke()
	}
}
