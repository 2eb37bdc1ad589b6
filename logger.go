package mq

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// logLimit is how long the handler of the Logger may take for a line: goroutines
// that serve many callers wait for it.
const logLimit = time.Second

// logHandler keeps the program's handler from ending or holding up the goroutine
// that logs.
type logHandler struct {
	slog.Handler
	guard   *guard
	missing *atomic.Int64 // lines in a row for which the handler panicked or hung
}

// GuardLogger returns a logger that writes to l, or to slog.Default() if l is nil,
// and neither ends nor holds up the goroutine that logs: a line for which the handler
// of l panics, or takes longer than a second, is left out, and the next one says how
// many are missing. Config.Logger and driver.Env.Logger are guarded by mq. A driver
// guards the loggers that programs give to its own constructors.
func GuardLogger(l *slog.Logger) *slog.Logger {
	if l == nil {
		l = slog.Default()
	}
	if _, done := l.Handler().(logHandler); done {
		return l
	}
	return slog.New(logHandler{l.Handler(), new(guard), new(atomic.Int64)})
}

// Enabled reports true: slog asks in the goroutine that logs, so the program's
// handler is asked in pass. mq logs rarely, and next to nothing below a warning.
func (logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle passes a record on. After a gap it says how many are missing.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if n := h.missing.Swap(0); n > 0 {
		gap := slog.NewRecord(r.Time, slog.LevelWarn, "mq: the handler of the logger panicked or did not return, lines may be missing", 0)
		gap.AddAttrs(slog.Int64("lines", n))
		if !h.pass(ctx, gap) {
			h.missing.Add(n + 1)
			return nil
		}
	}
	if !h.pass(ctx, r) {
		h.missing.Add(1)
	}
	return nil
}

func (h logHandler) pass(ctx context.Context, r slog.Record) bool {
	err := h.guard.call("the logger's handler", limits{logLimit, logLimit}, nil, func() {
		if h.Handler.Enabled(ctx, r.Level) {
			_ = h.Handler.Handle(ctx, r)
		}
	})
	return err == nil
}

// WithAttrs returns a handler that shares the limits of h.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup returns a handler that shares the limits of h.
func (h logHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
