package main

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq"
)

// away lets a command that repeats something outlive a backend that is gone for a while.
type away struct {
	app   *app
	seen  bool      // the backend has answered once
	since time.Time // when it went away; zero if it is there
}

// bears reports whether to go on after err, and says so when that changes. A backend
// that has never answered is not waited for: the DSN may be wrong.
func (w *away) bears(err error) bool {
	switch {
	case err == nil:
		if !w.since.IsZero() {
			w.app.note("the backend answers again after %s", age(time.Since(w.since)))
		}
		w.seen, w.since = true, time.Time{}
	case !w.seen || !passing(err):
		return false
	case w.since.IsZero():
		w.since = time.Now()
		w.app.fault("%s (trying again until it answers)", oneLine(err))
	}
	return true
}

// passing reports whether err may be temporary.
func passing(err error) bool {
	return errors.Is(err, mq.ErrUnavailable) || errors.Is(err, mq.ErrBadConn) || errors.Is(err, context.DeadlineExceeded)
}
