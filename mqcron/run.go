package mqcron

import (
	"context"
	"fmt"
	"time"

	"github.com/portmq/mq"
)

// Run sets schedules and fires whatever is due until ctx ends or the client is closed: also
// schedules that others have set, so it needs none of its own. Several processes
// that run the same ones are the normal case.
//
// What is wrong with a schedule is ErrInvalid, and a provider that lacks delays, keys or
// Peek is ErrNotSupported, both before any I/O. If the schedules cannot be set, Run
// returns the error. Once they are it goes on as a Consumer does: a backend that cannot be
// reached does not end it, and it stops in order.
func Run(ctx context.Context, c *mq.Client, cfg Config, schedules ...Schedule) error {
	b, err := set(ctx, c, cfg, schedules)
	if err != nil {
		return err
	}
	return b.queue.Consume(ctx, b.handle, mq.ConsumerConfig{
		Visibility:  Visibility,
		MaxAttempts: mq.Unlimited, // a schedule must not end as a dead letter
		Backoff:     mq.Exponential(time.Second, time.Minute),
		Prefetch:    mq.NoPrefetch, // what is due now is not kept waiting
	})
}

// handle fires an occurrence and stores the next one. Each step may be repeated.
func (b *book) handle(ctx context.Context, d *mq.Delivery) error {
	e, err := decode(d.Body)
	if err != nil {
		return mq.Reject(err)
	}
	now := time.Now()
	if early := e.Due.Sub(now); early > 0 { // clocks differ, or Caps.MaxDelay is short
		return mq.Snooze(early)
	}
	v, err := b.view(ctx, e)
	switch {
	case err != nil:
		return err
	case e.Removed:
		return bury(v)
	case v.later || !v.owns(e.Due):
		return nil
	}
	return b.fire(ctx, e, now)
}

// bury is the end of a tombstone, which stays as long as there are older definitions.
func bury(v view) error {
	if v.older {
		return mq.Snooze(tombstoneHold)
	}
	return nil
}

// fire sends the message of an occurrence, and the control message of the next one.
func (b *book) fire(ctx context.Context, e entry, now time.Time) error {
	next, err := e.next(now)
	if err != nil {
		return err
	}
	if e.CatchUp != CatchUpNone || now.Sub(e.Due) <= grace {
		if _, _, err := b.client.Queue(e.Queue).SendOnce(ctx, e.occurrence(b.client.Caps())); err != nil {
			return fmt.Errorf("mqcron: schedule %q: %w", e.Name, err)
		}
	}
	if next.Due.IsZero() {
		return mq.Reject(fmt.Errorf("mqcron: schedule %q: spec %q never comes again", e.Name, e.Spec))
	}
	_, err = b.send(ctx, next, e.Due)
	return err
}

// next returns the occurrence after e. Unless each one counts, it passes over those that
// have been missed.
func (e entry) next(now time.Time) (entry, error) {
	t, err := parse(e.Spec, e.Zone)
	if err != nil { // of a process without time zones; another one may have them
		return e, fmt.Errorf("mqcron: schedule %q: %w", e.Name, err)
	}
	from := e.Due
	if missed := now.Add(-grace - 1); e.CatchUp != CatchUpAll && missed.After(from) {
		from = missed
	}
	e.Due = t.next(from)
	return e, nil
}
