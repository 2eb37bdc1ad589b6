package pgmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// blockedFor is how long a statement must have taken for the lock of another session
// to be looked for: those with less time get their answer in time.
const blockedFor = time.Second

// blockedError is the error of a statement that was cut off, and the session that has
// locked a table of its queue.
type blockedError struct {
	error // of the client library
	session
}

func (e *blockedError) Error() string { return e.error.Error() }
func (e *blockedError) Unwrap() error { return e.error }

// blocker returns what to add to the text of an error that wraps a blockedError.
func blocker(err error) string {
	if b := (*blockedError)(nil); errors.As(err, &b) {
		return fmt.Sprintf(", waiting for %v, which has locked the queue (end it, or try again later)", b.session)
	}
	return ""
}

// blocked looks for the session that has locked a table of one of the queues when a
// statement, whose ctx this was, has got no answer in time. It asks on the connection
// for heartbeats if there is one, and waits for no longer than tellGrace.
func (p *Provider) blocked(ctx context.Context, queues []string, start time.Time, err error) error {
	late := errors.Is(context.Cause(ctx), context.DeadlineExceeded) || sqlState(err) == "57014"
	if err == nil || len(queues) == 0 || time.Since(start) < blockedFor || !late || errors.Is(err, errFull) {
		return err
	}
	now, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel() // holder is quick for a caller that has left
	who := ddl{db: cmp.Or(p.reserve.db, p.db)}.holder(now, "lockers", arrayOf(queues...))
	if who.pid == 0 {
		return err
	}
	return &blockedError{err, who}
}
