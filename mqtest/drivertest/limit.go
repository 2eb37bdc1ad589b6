package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"
)

// limit ends the ctx of a try that stands still: however long a load takes on a
// slow machine, it goes on while something comes that the case waits for.
type limit struct {
	most     time.Duration // without a sign of life
	end      context.CancelCauseFunc
	timer    *time.Timer
	recorder *recorder // of the case, or nil
}

var errStuck = errors.New("the case stands still")

func newLimit(tb testing.TB, most time.Duration) (context.Context, limit) {
	ctx, end := context.WithCancelCause(tb.Context())
	r, _ := tb.(*recorder)
	l := limit{most: most, end: end, timer: time.AfterFunc(most, func() { end(errStuck) }), recorder: r}
	tb.Cleanup(l.stop)
	return ctx, l
}

// stop ends the ctx because the try is over.
func (l *limit) stop() {
	l.end(nil)
	l.timer.Stop()
}

// alive begins the limit's time anew.
func (t *tester) alive() {
	if t.ctx.Err() != nil {
		return
	}
	t.limit.timer.Reset(t.limit.most)
	if r := t.limit.recorder; r != nil {
		r.limit.Reset(t.limit.most + grace)
	}
}

// why says that an error comes from the limit, or "".
func (l *limit) why(ctx context.Context) string {
	if context.Cause(ctx) == errStuck {
		return " (" + errStuck.Error() + ")"
	}
	return ""
}
