package mq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/portmq/mq/driver"
)

// Handler processes one delivery at a time per goroutine. What it returns
// decides what becomes of the message:
//
//   - nil: ack.
//   - an error made by Retry: nack with that delay.
//   - an error made by Reject, or a *DecodeError: dead letter.
//   - any other error, or a panic: nack with the Consumer's Backoff.
//
// The outcomes are found with errors.As, so they may be wrapped. A delivery
// that the handler has settled itself is left alone. Once a message has been
// read MaxReads times any error makes it a dead letter, except while the
// Consumer is stopping: what is interrupted is given back.
//
// ctx ends with the cause ErrStaleReceipt when the lease is lost, with
// ErrStopping when the Consumer stops and SoftStop is over, and with
// context.DeadlineExceeded after ConsumerConfig.Timeout.
type Handler interface {
	Handle(ctx context.Context, d *Delivery) error
}

// HandlerFunc adapts a function to a Handler.
type HandlerFunc func(ctx context.Context, d *Delivery) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, d *Delivery) error { return f(ctx, d) }

// Middleware wraps a Handler.
type Middleware func(Handler) Handler

type retryError struct {
	after time.Duration
	err   error
}

func (e *retryError) Error() string { return text(e.err, "retry") }
func (e *retryError) Unwrap() error { return e.err }

// Retry makes an error that lets the message come back after the given time
// instead of the Consumer's Backoff. AtTimeout leaves it to the visibility
// timeout. err may be nil.
func Retry(after time.Duration, err error) error { return &retryError{noEarlier(after), err} }

// noEarlier returns d, or 0 for a negative duration other than AtTimeout.
func noEarlier(d time.Duration) time.Duration {
	if d == AtTimeout {
		return d
	}
	return max(d, 0)
}

type rejectError struct{ err error }

func (e *rejectError) Error() string { return text(e.err, "rejected") }
func (e *rejectError) Unwrap() error { return e.err }

// Reject makes an error that dead-letters the message now, with err's text as
// the reason. err may be nil.
func Reject(err error) error { return &rejectError{err} }

func text(err error, none string) string {
	if err == nil {
		return none
	}
	return err.Error()
}

// Backoff returns how long a message that failed waits before it is delivered
// again: AtTimeout leaves it to the visibility timeout. readCount counts its
// deliveries so far, 1 after the first. If it panics, or has not returned after
// Config.CallTimeout, the default is used. While ten calls hang it is not called
// again.
type Backoff func(readCount int) time.Duration

// maxBackoff is the longest pause of Exponential, about 146 years: with its
// variation it still is a Duration.
const maxBackoff = math.MaxInt64 / 2

// Exponential doubles the pause from base on, up to limit, and varies it by a
// fifth either way, so that messages that failed together do not come back
// together.
func Exponential(base, limit time.Duration) Backoff {
	limit = min(limit, maxBackoff)
	return func(readCount int) time.Duration {
		d := min(base, limit)
		for i := 1; i < readCount && 0 < d && d < limit; i++ {
			d = min(2*d, limit)
		}
		if d < 5 {
			return max(d, 0)
		}
		return d - d/5 + rand.N(2*(d/5))
	}
}

var defaultBackoff = Exponential(time.Second, 5*time.Minute)

// backoff calls the Consumer's Backoff for a message that was read n times.
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

// outcome is what becomes of a delivery after its handler.
type outcome struct {
	op     driver.Op
	delay  time.Duration
	reason string
}

// outcome is decide, made safe against methods of the handler's error that
// panic.
func (c *Consumer) outcome(d *Delivery, err error) (o outcome) {
	bad := recovered(func() error {
		o = c.decide(d, err)
		return nil
	})
	if bad != nil {
		c.logCall("a method of the handler's error", d, bad)
		return outcome{op: OpNack, delay: c.possibleDelay(c.backoff(d, d.ReadCount))}
	}
	return o
}

// decide turns a handler's result into an outcome.
func (c *Consumer) decide(d *Delivery, err error) outcome {
	retry, reject, decode := (*retryError)(nil), (*rejectError)(nil), (*DecodeError)(nil)
	switch {
	case err == nil:
		return outcome{op: OpAck}
	case errors.As(err, &reject), errors.As(err, &decode):
		return c.deadLetter(err.Error())
	case c.stopping():
		// Interrupted is not failed: the message goes to the next worker.
		if errors.As(err, &retry) {
			return outcome{op: OpNack, delay: c.possibleDelay(retry.after)}
		}
		return outcome{op: OpNack}
	case c.lastRead(d.ReadCount):
		return c.deadLetter(fmt.Sprintf("read %d times, the limit is %d: %v", d.ReadCount, c.cfg.MaxReads, err))
	case errors.As(err, &retry):
		return outcome{op: OpNack, delay: c.possibleDelay(retry.after)}
	}
	return outcome{op: OpNack, delay: c.possibleDelay(c.backoff(d, d.ReadCount))}
}

// exhausted reports whether a message that is read for the nth time is over
// the limit.
func (c *Consumer) exhausted(n int) bool { return c.cfg.MaxReads > 0 && n > c.cfg.MaxReads }

// lastRead reports whether another read would be over the limit.
func (c *Consumer) lastRead(n int) bool { return c.cfg.MaxReads > 0 && n >= c.cfg.MaxReads }

func (c *Consumer) deadLetter(reason string) outcome {
	reason = validText(reason)
	if c.cfg.DeadLetter == "" {
		return outcome{op: OpArchive, reason: reason}
	}
	return outcome{op: OpMove, reason: reason}
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
