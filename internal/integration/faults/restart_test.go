package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/server"
)

// TestRestart restarts the server under load, in order and by a crash.
func TestRestart(t *testing.T) {
	b := newBase(t)
	if !b.server.Ours() {
		t.Log("the server is not ours")
		return
	}
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		l := b.load(b.client("driver="+library), library)
		for _, how := range []syscall.Signal{server.Fast, server.Immediate} {
			time.Sleep(500 * time.Millisecond)
			b.restart(how)
		}
		time.Sleep(500 * time.Millisecond)
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
	b := newBase(t)
	if !b.server.Ours() {
		t.Log("the server is not ours")
		return
	}
	c := b.client()
	got := b.waiting(b.queue(c, "jobs"))
	b.listens(1)
	b.restart(server.Immediate)
	b.listens(1)
	if n := value[int](b, "SELECT count(*) FROM pgmq.notify_insert_throttle"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	for range 3 {
		b.exec(insertPlain)
		arrives(b, got)
	}
}
