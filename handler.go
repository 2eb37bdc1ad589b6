package mq

import (
	"context"
	"time"
)

// Handler processes one delivery at a time per goroutine. What it returns
// decides what becomes of the message:
//
//   - nil: ack.
//   - an error from Snooze: nack with that delay, not counted as an attempt.
//   - an error from Retry: nack with that delay.
//   - an error from Reject, or a *DecodeError: dead letter.
//   - any other error, or a panic: nack with the Consumer's Backoff.
//
// The outcomes are found with errors.As, so they may be wrapped. A delivery
// that the handler has settled itself is left alone. At the last attempt
// (ConsumerConfig.MaxAttempts) an error makes the message a dead letter, unless it
// is a Snooze, or the Consumer is stopping: an interrupted message is given back,
// and its attempt does not count.
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

// Retry returns an error that redelivers the message after the given delay instead
// of the Consumer's Backoff. The attempt counts as failed, with err, which may be
// nil. AtTimeout leaves the message to its visibility timeout.
func Retry(after time.Duration, err error) error { return &retryError{noEarlier(after), err} }

// noEarlier returns d, or 0 for a negative duration other than AtTimeout.
func noEarlier(d time.Duration) time.Duration {
	if d == AtTimeout {
		return d
	}
	return max(d, 0)
}

type snoozeError struct{ after time.Duration }

func (e *snoozeError) Error() string { return "snoozed" }

// Snooze returns an error that redelivers the message after the given delay and is
// no failure: the attempt does not count, and nothing is logged. It is for a message
// whose time has not come. Without Caps.Attempts the attempt does count. A delay
// above Caps.MaxDelay is cut to it, so a handler must look at the clock again.
func Snooze(after time.Duration) error { return &snoozeError{max(after, 0)} }

type rejectError struct{ err error }

func (e *rejectError) Error() string { return text(e.err, "rejected") }
func (e *rejectError) Unwrap() error { return e.err }

// Reject returns an error that dead-letters the message now, with err's text as
// the reason. err may be nil.
func Reject(err error) error { return &rejectError{err} }

func text(err error, none string) string {
	if err == nil {
		return none
	}
	return err.Error()
}
