package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/server"
)

// newBaseToStop is for a test that stops the server, or changes it.
func newBaseToStop(t *testing.T) *base {
	t.Helper()
	t.Parallel()
	return newBaseOn(t, server.OwnPostgres(t))
}

// TestRestart restarts the server under load, in order and by a crash.
func TestRestart(t *testing.T) {
	b := newBaseToStop(t)
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		l := b.load(b.client("driver="+library), library)
		for _, how := range []syscall.Signal{server.Fast, server.Immediate} {
			l.goesOn(b, 100)
			b.restart(how)
		}
		l.goesOn(b, 100)
		l.settle(b)
	})
}

// restart restarts the server, and forgets connections to the one before.
func (b *base) restart(how syscall.Signal) {
	b.Helper()
	b.db.SetMaxIdleConns(-1)
	b.server.Restart(b, how)
	b.db.SetMaxIdleConns(2)
}

// TestCrashTakesThrottle: a crash empties the trigger's table, which is
// unlogged. Receivers still hear of what other programs insert.
func TestCrashTakesThrottle(t *testing.T) {
	b := newBaseToStop(t)
	c := b.client()
	got := b.waiting(b.queue(c, "jobs"))
	b.listens(1)
	b.restart(server.Immediate)
	b.listens(1)
	if n := value[int](b, "SELECT count(*) FROM pgmq.notify_insert_throttle"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	for range 3 {
		b.promptly(func() time.Duration {
			b.exec(insertPlain)
			return arrives(b, got)
		})
	}
}
