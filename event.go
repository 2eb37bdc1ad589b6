package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// Event is the outcome of a delivery that a Consumer did not ack. See
// ConsumerConfig.OnEvent.
type Event struct {
	Kind     EventKind
	Delivery *Delivery

	// Err is what the handler returned: a *PanicError if it panicked, nil if it did
	// not run or had no error.
	Err error
	// Delay is how long until the message is delivered again, of EventRetry and
	// EventSnoozed. AtTimeout leaves it to the visibility timeout.
	Delay time.Duration
	// Reason is the reason with which a dead letter, or an expired message, was stored.
	Reason string
	// Cause is why the lease was lost or the settlement failed, of EventLeaseLost
	// and EventNotSettled.
	Cause error
}

// EventKind says what became of a delivery.
type EventKind int8

// The kinds of events.
const (
	EventRetry      EventKind = iota + 1 // the attempt failed; there will be another one
	EventSnoozed                         // the handler returned Snooze
	EventDeadLetter                      // the message is in the archive or in the DeadLetter queue
	EventLeaseLost                       // the lease ended before the message was settled; it is delivered again
	EventNotSettled                      // the backend did not take the outcome; the message is delivered again
	EventExpired                         // Message.Expires was over: the message is in the archive, and no handler has seen it
)

// String returns "retry", "snoozed", "dead letter", "lease lost", "not settled" or
// "expired".
func (k EventKind) String() string {
	switch k {
	case EventRetry:
		return "retry"
	case EventSnoozed:
		return "snoozed"
	case EventDeadLetter:
		return "dead letter"
	case EventLeaseLost:
		return "lease lost"
	case EventNotSettled:
		return "not settled"
	case EventExpired:
		return "expired"
	}
	return fmt.Sprintf("EventKind(%d)", int8(k))
}

// report logs an event and hands it to OnEvent, in another goroutine: the hook may
// be slow, and this goroutine may be a lane's, which carries the settlements of
// others. done is called when the hook has returned, or is not waited for any more.
func (c *Consumer) report(ctx context.Context, e Event, done func()) {
	c.logEvent(e)
	c.tell(ctx, e, done)
}

// tell hands an event to OnEvent.
func (c *Consumer) tell(ctx context.Context, e Event, done func()) {
	if c.cfg.OnEvent == nil {
		done()
		return
	}
	f := func() {
		defer done()
		ctx, cancel := c.queue.client.callTimeout().within(context.WithoutCancel(ctx))
		defer cancel()
		if err := c.call("OnEvent", func() { c.cfg.OnEvent(ctx, e) }); err != nil {
			c.logCall("OnEvent", e.Delivery, err)
		}
	}
	c.queue.client.background(func(error) { go f() }, f)
}

// logEvent logs an event: never the body, and of the handler's error its text.
func (c *Consumer) logEvent(e Event) {
	d := e.Delivery
	attempt := slog.Int("attempt", d.Attempt)
	switch e.Kind {
	case EventRetry:
		c.log.Warn("mq: handler failed", attempt, "next", nextTry(e.Delay), "error", errorText(e.Err), "message", d)
	case EventDeadLetter:
		c.log.Warn("mq: dead letter", attempt, "reason", e.Reason, "message", d)
	case EventExpired:
		c.log.Info("mq: message expired", attempt, "reason", e.Reason, "message", d)
	case EventLeaseLost:
		c.log.Warn("mq: lease lost before the message was settled", attempt, "reason", e.Cause, "message", d)
	case EventNotSettled:
		c.log.Error("mq: a message could not be settled and waits for its visibility timeout", attempt, "error", e.Cause, "message", d)
	}
}

// nextTry shows a delay for the log.
func nextTry(d time.Duration) string {
	if d == AtTimeout {
		return "at the visibility timeout"
	}
	return d.Round(time.Millisecond).String()
}

// errorText returns the text of an error of the program, whose method may panic.
func errorText(err error) (s string) {
	if bad := recovered(func() error { s = text(err, ""); return nil }); bad != nil {
		return fmt.Sprintf("%T, whose Error method panicked", err)
	}
	return s
}

// call calls one of the Consumer's functions.
func (c *Consumer) call(what string, f func()) error {
	client := c.queue.client
	return client.guard.call(what+" of queue "+strconv.Quote(c.queue.name), client.limits(), nil, f)
}

// logCall logs that one of the program's own functions panicked or called
// runtime.Goexit. One that hangs is logged by the guard.
func (c *Consumer) logCall(what string, d *Delivery, err error) {
	if errors.Is(err, errOverdue) {
		return
	}
	ended, stack := "ended its goroutine", ""
	if p := (*PanicError)(nil); errors.As(err, &p) {
		ended, err, stack = "panicked", fmt.Errorf("panic: %v", p.Value), string(p.Stack)
	}
	c.log.Error("mq: "+what+" "+ended, "message", d, "error", err, "stack", stack)
}
