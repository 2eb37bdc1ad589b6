package pgmq

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of what has no other. A connection can go silent without being
// closed, behind a firewall or beside a dead node, and TCP notices that after a
// quarter of an hour.
const (
	callLimit   = 30 * time.Second // a statement
	probeLimit  = 10 * time.Second // one that is quick wherever it gets through
	labourLimit = 15 * time.Minute // one whose work grows with the queue
	pingLimit   = 5 * time.Second  // a look whether a connection works

	// cancelGrace is how long a server may take to cancel a statement.
	cancelGrace = 3 * time.Second
	// silence is how long a connection must have been silent for others to be
	// distrusted with it.
	silence = time.Second
)

// bounded returns ctx with a deadline in limit, unless it has an earlier one.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= limit {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

// link is a connection of the network that knows when it was last heard of.
type link struct {
	net.Conn
	heard atomic.Int64 // see links.now
	links *links
}

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 {
		l.heard.Store(l.links.now())
	}
	return n, err
}

// abandon makes everything on the connection fail at once.
func (l *link) abandon() { _ = l.SetDeadline(time.Unix(1, 0)) }

// guard abandons the connection if it is still waited for some time after ctx
// has ended. lib/pq would wait for the answer to a cancel request that may have
// been lost.
func (l *link) guard(ctx context.Context, grace time.Duration) (release func()) {
	if l == nil || ctx.Done() == nil {
		return func() {}
	}
	released := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			l.abandon()
		case <-released:
		}
	})
	return sync.OnceFunc(func() {
		stop()
		close(released)
	})
}

// linkOf returns the link below a connection, or nil.
func linkOf(c net.Conn) *link {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	l, _ := c.(*link)
	return l
}

// links are the connections of one pool, and of what listens beside it. One
// that did not answer casts doubt on those that have been silent for as long:
// what ate its packets may have eaten theirs.
type links struct {
	begin   time.Time
	suspect atomic.Int64 // what was not heard of since then is closed and not used
	log     *slog.Logger // or nil
}

func newLinks() *links { return &links{begin: time.Now()} }

func (s *links) now() int64 { return int64(time.Since(s.begin)) }

func (s *links) join(c net.Conn) *link {
	l := &link{Conn: c, links: s}
	l.heard.Store(s.now())
	return l
}

// suspects reports whether l must not be used again.
func (s *links) suspects(l *link) bool { return l != nil && l.heard.Load() < s.suspect.Load() }

// renew makes the pool use new connections only.
func (s *links) renew() {
	if s != nil {
		s.suspect.Store(s.now() + 1)
	}
}

// checkSilence takes the error of a call that began at start on a connection of the
// pool. If the call got no answer for long enough, connections that have not been
// heard of since are distrusted. A nil *links, of a caller's pool, does nothing.
func (s *links) checkSilence(ctx context.Context, start time.Time, err error) {
	took := time.Since(start)
	if s == nil || err == nil || took < silence || !errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, errFull) || blocker(err) != "" {
		return
	}
	at := int64(start.Sub(s.begin))
	for {
		old := s.suspect.Load()
		if old >= at {
			return
		}
		if s.suspect.CompareAndSwap(old, at) {
			break
		}
	}
	if s.log != nil {
		s.log.Warn("pgmq: a statement got no answer in time: connections that have been silent for as long are closed", "after", took.Round(time.Millisecond))
	}
}

// slotKey is the key of a *slot in the ctx of a dial.
type slotKey struct{}

// slot holds the link that was dialled last.
type slot struct {
	mu        sync.Mutex
	link      *link
	abandoned bool
}

func (s *slot) put(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link = l; s.abandoned {
		l.abandon()
	}
}

// abandon abandons the link, and those that come.
func (s *slot) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abandoned = true; s.link != nil {
		s.link.abandon()
	}
}
