package rabbitmq

import (
	"net"
	"sync"
	"sync/atomic"
)

// gatherer is a connection that writes what has been gathered while the write
// before was under way. amqp091-go flushes after each message and each ack;
// one segment for each of them costs the broker more than the message itself.
type gatherer struct {
	net.Conn
	in    *frames
	heard atomic.Int64 // bytes read
	moved atomic.Int64 // bytes read and written

	mu    sync.Mutex
	space sync.Cond // buf has become shorter
	work  sync.Cond // buf has become longer, or the connection has ended
	buf   []byte
	err   error
}

// maxGathered bounds what is gathered: beyond it writers wait for the broker,
// as they would without.
const maxGathered = 256 << 10

func newGatherer(c net.Conn) *gatherer {
	g := &gatherer{Conn: c, in: newFrames(c)}
	g.space.L, g.work.L = &g.mu, &g.mu
	return g
}

// Read reads frames, and counts what it reads.
func (g *gatherer) Read(b []byte) (int, error) {
	n, err := g.in.Read(b)
	g.heard.Add(int64(n))
	g.moved.Add(int64(n))
	return n, err
}

// Write returns before b is written. An error comes with a later call.
func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.buf) > maxGathered && g.err == nil {
		g.space.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.buf = append(g.buf, b...)
	g.work.Signal()
	return len(b), nil
}

// Close ends a write under way. What was not written is lost.
func (g *gatherer) Close() error {
	g.fail(net.ErrClosed) // first, or the write under way might say why it failed
	return g.Conn.Close()
}

func (g *gatherer) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.space.Broadcast()
	g.work.Broadcast()
}

// run writes until the connection ends.
func (g *gatherer) run() {
	var spare []byte
	for {
		g.mu.Lock()
		for len(g.buf) == 0 && g.err == nil {
			g.work.Wait()
		}
		if g.err != nil {
			g.mu.Unlock()
			return
		}
		b := g.buf
		g.buf = spare[:0]
		g.space.Broadcast()
		g.mu.Unlock()
		n, err := g.Conn.Write(b)
		g.moved.Add(int64(n))
		if err != nil {
			g.fail(err)
			return
		}
		if spare = b; cap(spare) > 2*maxGathered {
			spare = nil
		}
	}
}
