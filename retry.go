package mq

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// providerError marks an error that the provider returned, for wrap.
type providerError struct{ err error }

func (e *providerError) Error() string { return e.err.Error() }
func (e *providerError) Unwrap() error { return e.err }

// retryPauses are the pauses before a call that certainly was not applied is
// made again: long enough for a failover of the connection, not of the server.
var retryPauses = [...]time.Duration{20 * time.Millisecond, 200 * time.Millisecond}

// try calls the provider, and calls it again, after a pause, while it answers
// ErrBadConn.
func try(ctx context.Context, call func(context.Context) error) error {
	for n := 0; ; n++ {
		err := call(ctx)
		if err == nil || n == len(retryPauses) || !notApplied(err) || sleep(ctx, jitter(retryPauses[n])) != nil {
			return theirs(err)
		}
	}
}

// look is try for a call that is quick, or does not get through. All tries together
// end after CallTimeout, or with Close.
func (c *Client) look(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := c.untilClosed(ctx)
	defer cancel()
	return c.limited(ctx, func(ctx context.Context) error { return try(ctx, call) })
}

// limited makes a call that ends after CallTimeout.
func (c *Client) limited(ctx context.Context, call func(context.Context) error) error {
	if c.caps.InProcess {
		return call(ctx)
	}
	short, cancel := c.callTimeout().bound(ctx)
	defer cancel()
	return c.cutOff(short, call(short))
}

// labour is try for a call that may take long. It logs that it does. Close ends it.
func (c *Client) labour(ctx context.Context, op, queue string, call func(context.Context) error) error {
	if c.caps.InProcess {
		return try(ctx, call)
	}
	done := make(chan struct{})
	defer close(done)
	go c.warnUntil(done, op, queue)
	ctx, cancel := c.untilClosed(ctx)
	defer cancel()
	return c.cutOff(ctx, try(ctx, call))
}

func (c *Client) warnUntil(done <-chan struct{}, op, queue string) {
	begun, tick := now(), time.NewTicker(c.cfg.CallTimeout)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			c.cfg.Logger.Warn("mq: a call takes long", "op", op, "queue", queue, "for", now().sub(begun).Round(time.Second))
		}
	}
}

// notApplied reports whether err is ErrBadConn for the whole call.
func notApplied(err error) bool {
	batch := (*BatchError)(nil)
	return errors.Is(err, ErrBadConn) && !errors.As(err, &batch)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is sleep, but Close ends it too.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return ErrClosed
	}
}

// jitter returns between three and five quarters of d, so that clients do not
// act in step.
func jitter(d time.Duration) time.Duration {
	if d < 4 {
		return d
	}
	return d - d/4 + rand.N(d/2)
}

// optional finds an optional interface of a provider.
func optional[T any](p Provider) (T, error) {
	if v, ok := p.(T); ok {
		return v, nil
	}
	var none T
	return none, ErrNotSupported
}

// definite reports whether err, of a whole call, says that the backend was
// there and refused.
func definite(err error) bool {
	return !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBadConn) && !errors.Is(err, errOverdue) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// theirs marks err as the provider's, unless it is only the end of a context.
func theirs(err error) error {
	if err == nil || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	return &providerError{err}
}
