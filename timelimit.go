package mq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// timeLimit is a limit that mq has set on a call. It is the cause with which the
// call's context ends, so that the error names it however many contexts lie
// between: a bare "deadline exceeded" would be a riddle to a caller whose own
// context has not ended.
type timeLimit struct {
	name string
	d    time.Duration
}

func (l *timeLimit) Error() string { return fmt.Sprintf("no answer within %s (%v)", l.name, l.d) }
func (l *timeLimit) Unwrap() error { return context.DeadlineExceeded }

// callTimeout is the limit of calls that have none of their own.
func (c *Client) callTimeout() *timeLimit { return &timeLimit{"CallTimeout", c.cfg.CallTimeout} }

// receiveTimeout is the limit of a receive that may wait.
func (c *Client) receiveTimeout(wait time.Duration) *timeLimit {
	if wait == 0 {
		return c.callTimeout()
	}
	return &timeLimit{"the wait plus CallTimeout", wait + c.cfg.CallTimeout}
}

// within derives a context that ends after the limit.
func (l *timeLimit) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, l.d, l)
}

// bound returns ctx if it has an earlier deadline, and else within(ctx).
func (l *timeLimit) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= l.d {
		return ctx, func() {}
	}
	return l.within(ctx)
}

// ended returns why ctx has ended: the limit if it was one of mq's, else
// ctx.Err().
func ended(ctx context.Context) error {
	if l := (*timeLimit)(nil); errors.As(context.Cause(ctx), &l) {
		return l
	}
	return ctx.Err()
}

// errCutByClose is the cause with which Close ends calls.
var errCutByClose = fmt.Errorf("cut off by Close: %w", ErrClosed)

// untilClosed derives a context that Close ends, by errCutByClose, when it closes the
// provider.
func (c *Client) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.flights, func() { cancel(errCutByClose) })
	return ctx, func() { stop(); cancel(nil) }
}

// cutOff adds the limit of mq's that has ended ctx, if one has, or that the client
// is closed, to the error of a call, and to each error of a batch. The errors of calls
// that the caller's own context has ended are left as they are.
func (c *Client) cutOff(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	if why == nil && c.closed.Load() { // the provider ends calls, too
		why = errCutByClose
	}
	return cutOffBy(why, err)
}

func cutOffBy(why, err error) error {
	limit, batch := (*timeLimit)(nil), (*BatchError)(nil)
	switch {
	case err == nil || why == nil || errors.As(err, &limit):
		return err
	case errors.As(err, &batch):
		errs := make([]error, len(batch.Errs))
		for i, err := range batch.Errs {
			errs[i] = cutOffBy(why, err)
		}
		return rewrap(err, func(error) error { return driver.Batch(errs) })
	case why == errCutByClose:
		return cutByClose(err)
	case !errors.As(why, &limit):
		return err
	case err == context.DeadlineExceeded:
		return fmt.Errorf("%w: %w", limit, ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrUnavailable):
		return rewrap(err, func(err error) error { return fmt.Errorf("%w: %w", limit, err) })
	}
	return err
}

// cutByClose replaces the error of a call that Close has ended. The provider's may
// wrap context.Canceled, which would tell callers that their own context has ended.
func cutByClose(err error) error {
	unavailable, notApplied := errors.Is(err, ErrUnavailable), errors.Is(err, ErrBadConn)
	switch {
	case !unavailable && !errors.Is(err, context.Canceled):
		return err
	case notApplied && !unavailable:
		return fmt.Errorf("%w: %w", ErrBadConn, errCutByClose)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errCutByClose)
}

// rewrap changes an error, and leaves the mark that it is the provider's.
func rewrap(err error, f func(error) error) error {
	if p, ok := err.(*providerError); ok {
		return &providerError{f(p.err)}
	}
	return f(err)
}

// The bounds of how long an extension may take. It is a small call, an answer
// that comes after the lease is worth nothing, and heartbeats wait behind it.
const minPatience, maxPatience = 5 * time.Second, 10 * time.Second

// extensionTime returns how long an extension may take of a lease that has this
// much left: no longer than its caller waits, even if it flies with others.
func (c *Client) extensionTime(ctx context.Context, left time.Duration) *timeLimit {
	l := &timeLimit{"the time for an extension", min(max(left/3, minPatience), maxPatience)}
	if c.cfg.CallTimeout < l.d {
		l = c.callTimeout()
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < l.d {
		l = &timeLimit{"a caller's deadline", time.Until(end)}
	}
	return l
}

// mostPatient returns how long a flight of extensions may take: as long as the
// most patient of its callers waits.
func mostPatient(es []extension) *timeLimit {
	most := es[0].patience
	for _, e := range es {
		if e.patience.d > most.d {
			most = e.patience
		}
	}
	return most
}

// heartbeatTime is how long one call may take for leases of which left is left:
// until the next beat, or a second where beats are closer together than that.
func (k *keeper) heartbeatTime(left time.Duration) *timeLimit {
	d := max(k.interval, min(time.Second, k.visibility/2))
	d = min(d, max(left, k.interval))
	if c := k.queue.client; c.cfg.CallTimeout < d {
		return c.callTimeout()
	}
	return &timeLimit{"the time for a heartbeat", d}
}
