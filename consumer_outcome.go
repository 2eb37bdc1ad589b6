package mq

import (
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// outcome is what becomes of a delivery after its handler, and the event that
// reports it if it is not a success.
type outcome struct {
	op        driver.Op
	delay     time.Duration
	reason    string // of a dead letter, or the error of a failed attempt
	uncounted bool
	kind      EventKind // 0 for a success, and for what is given back
	err       error     // what the handler returned
}

// outcome is decide, made safe against methods of the handler's error that
// panic.
func (c *Consumer) outcome(d *Delivery, err error) (o outcome) {
	bad := recovered(func() error {
		if o = c.decide(d, err); o.kind != EventExpired {
			o.err = err
		}
		return nil
	})
	if bad != nil {
		c.logCall("a method of the handler's error", d, bad)
		return c.retry(c.backoff(d, d.Attempt), bad)
	}
	return o
}

// decide turns a handler's result into an outcome.
func (c *Consumer) decide(d *Delivery, err error) outcome {
	retry, reject, decode, snooze := (*retryError)(nil), (*rejectError)(nil), (*DecodeError)(nil), (*snoozeError)(nil)
	switch {
	case err == nil:
		return outcome{op: OpAck}
	case errors.As(err, &reject), errors.As(err, &decode):
		return c.deadLetter(err.Error())
	case err == errExpired:
		return expired(d)
	case errors.As(err, &snooze):
		return outcome{op: OpNack, delay: c.possibleDelay(snooze.after), uncounted: true, kind: EventSnoozed}
	case c.stopping():
		// Interrupted is not failed: the message goes to the next worker.
		o := outcome{op: OpNack, uncounted: true}
		if errors.As(err, &retry) {
			o.delay = c.possibleDelay(retry.after)
		}
		return o
	case c.lastAttempt(d):
		return c.deadLetter(fmt.Sprintf("attempt %d failed, the limit is %d: %v", d.Attempt, c.cfg.MaxAttempts, err))
	case errors.As(err, &retry):
		return c.retry(retry.after, err)
	}
	return c.retry(c.backoff(d, d.Attempt), err)
}

// retry is the outcome of an attempt that failed with err.
func (c *Consumer) retry(after time.Duration, err error) outcome {
	return outcome{op: OpNack, delay: c.possibleDelay(after), reason: validText(text(err, "retry")), kind: EventRetry, err: err}
}

// settlement returns the settlement that carries out the outcome. What the provider
// has no room for is left out. A retry at the visibility timeout is a nack with the
// time that is left, where that can be: else the attempt would seem not to have been
// answered.
func (o outcome) settlement(d *Delivery, c *Consumer) Settlement {
	caps := c.queue.client.caps
	s := Settlement{Receipt: d.Receipt, Op: o.op, Delay: o.delay, Reason: o.reason, To: c.cfg.DeadLetter}
	if s.Delay == AtTimeout && caps.Attempts && caps.Delay {
		s.Delay = possibleDelay(caps, d.lease.left(now()))
	}
	if o.op != OpMove {
		s.To = ""
	}
	if o.op == OpNack {
		s.Uncounted = o.uncounted && caps.Attempts
		if !caps.NackReasons {
			s.Reason = ""
		}
	}
	return s
}

// exhausted reports whether a delivery is an attempt above the limit: the last
// attempts were not answered.
func (c *Consumer) exhausted(d *Delivery) bool {
	return c.cfg.MaxAttempts > 0 && d.Attempt > c.cfg.MaxAttempts
}

// lastAttempt reports whether another attempt would be above the limit.
func (c *Consumer) lastAttempt(d *Delivery) bool {
	return c.cfg.MaxAttempts > 0 && d.Attempt >= c.cfg.MaxAttempts
}

// unanswered is the outcome of an exhausted delivery, which no handler sees.
func (c *Consumer) unanswered(d *Delivery) outcome {
	return c.deadLetter(fmt.Sprintf("the last of %d attempts was never answered, the limit is %d", d.Attempt-1, c.cfg.MaxAttempts))
}

// errExpired is the answer for a delivery that has expired in its batch.
var errExpired = errors.New("the message has expired")

// expired is the outcome of a delivery whose time is over, which no handler sees. It is
// no dead letter: nothing went wrong with it.
func expired(d *Delivery) outcome {
	reason := fmt.Sprintf("expired: it was worth handling for %v", d.Expires)
	return outcome{op: OpArchive, reason: reason, kind: EventExpired}
}

func (c *Consumer) deadLetter(reason string) outcome {
	o := outcome{op: OpArchive, reason: validText(reason), kind: EventDeadLetter}
	if c.cfg.DeadLetter != "" {
		o.op = OpMove
	}
	return o
}

func (c *Consumer) possibleDelay(d time.Duration) time.Duration {
	return possibleDelay(c.queue.client.caps, d)
}

// possibleDelay fits a delay to what the provider can do: never longer than
// its limit, and the visibility timeout where it has no delays.
func possibleDelay(caps driver.Caps, d time.Duration) time.Duration {
	switch {
	case d == AtTimeout, d > 0 && !caps.Delay:
		return AtTimeout
	case caps.MaxDelay > 0:
		return min(max(d, 0), caps.MaxDelay)
	}
	return max(d, 0)
}

// backoff calls the Consumer's Backoff for a message whose nth attempt failed.
func (c *Consumer) backoff(d *Delivery, n int) time.Duration {
	if c.cfg.Backoff == nil {
		return defaultBackoff(n)
	}
	asked := time.Duration(0) // belongs to the call, which may end after we have returned
	if err := c.call("Backoff", func() { asked = c.cfg.Backoff(n) }); err != nil {
		c.logCall("Backoff", d, err)
		return defaultBackoff(n)
	}
	return asked
}
