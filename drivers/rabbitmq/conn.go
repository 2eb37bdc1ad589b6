package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// link is one of the two ways to the broker. It dials when it is first needed,
// and again when the connection was lost.
type link struct {
	p       *Provider
	purpose string

	mu      sync.Mutex
	session *session      // the last one, or nil
	dialing chan struct{} // closed when the dialling under way has ended, nil if there is none
	err     error         // of the last dialling
	pause   time.Duration // after it failed
	until   time.Time     // the end of that
}

// session is a connection.
type session struct {
	*amqp.Connection
	version version
	wire    *gatherer

	mu      sync.Mutex
	reason  string        // why the broker blocks publishers
	cleared chan struct{} // closed when it does so no more, nil if it does not
	idle    []*confirmer
}

// The pauses between diallings that fail. Calls that come meanwhile get the
// last error.
const minDialPause, maxDialPause = 50 * time.Millisecond, time.Second

// get returns a connection that stands, as far as anybody knows.
func (l *link) get(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		switch {
		case l.p.closed():
			l.mu.Unlock()
			return nil, driver.ErrClosed
		case l.session != nil && !l.session.IsClosed():
			defer l.mu.Unlock()
			return l.session, nil
		case l.dialing == nil && time.Now().Before(l.until):
			defer l.mu.Unlock()
			return nil, l.err
		case l.dialing == nil:
			l.begin()
		}
		dialing := l.dialing
		l.mu.Unlock()
		select {
		case <-dialing:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.p.done:
			return nil, driver.ErrClosed
		}
	}
}

// begin starts to dial. l.mu is held.
func (l *link) begin() {
	done := make(chan struct{})
	l.dialing = done
	again := l.session != nil
	dial := func() {
		s, err := l.dial()
		l.dialed(s, err)
		close(done)
		if err == nil && again {
			l.p.log.Info("rabbitmq: connected again", "purpose", l.purpose)
		}
	}
	if !l.p.start(dial) {
		l.dialing = nil
		close(done)
	}
}

// dialed takes note of how a dial has ended.
func (l *link) dialed(s *session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing, l.err = nil, err
	if err != nil {
		l.pause = min(max(2*l.pause, minDialPause), maxDialPause)
		l.until = time.Now().Add(l.pause)
		return
	}
	l.session, l.pause, l.until = s, 0, time.Time{}
}

// dial tries one host after the other.
func (l *link) dial() (*session, error) {
	var first error
	for _, host := range l.p.options.hosts {
		s, err := l.dialHost(host)
		if err == nil {
			return s, nil
		}
		if first == nil {
			first = dialError(host, err)
		}
	}
	return nil, first
}

func (l *link) dialHost(host string) (*session, error) {
	o := &l.p.options
	ctx, cancel := context.WithTimeout(l.p.ctx, o.dialTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	s, err := l.greet(ctx, raw, host)
	if err != nil {
		_ = raw.Close()
		if ctx.Err() != nil && l.p.ctx.Err() == nil {
			err = errors.New("no answer within the connection_timeout")
		}
		return nil, err
	}
	return s, nil
}

// greet does the handshakes of TLS, if that is wanted, and of AMQP.
func (l *link) greet(ctx context.Context, raw net.Conn, host string) (*session, error) {
	if l.p.options.tls == nil {
		return l.handshake(raw)
	}
	c := l.p.options.tls.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(host)
	}
	conn := tls.Client(raw, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return l.handshake(conn)
}

// frameSize is RabbitMQ's own default of frame_max.
const frameSize = 128 << 10

func (l *link) handshake(conn net.Conn) (*session, error) {
	o := &l.p.options
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(o.name + " " + l.purpose)
	g := newGatherer(conn)
	if !l.p.start(g.run) {
		return nil, driver.ErrClosed
	}
	c, err := amqp.Open(g, amqp.Config{
		SASL: []amqp.Authentication{o.sasl}, Vhost: o.vhost, Heartbeat: o.heartbeat,
		FrameSize: frameSize, Locale: "en_US", Properties: properties,
	})
	if err != nil {
		_ = g.Close()
		if g.in.secured.Load() {
			err = errSecured // amqp091-go knows of frames only
		}
		return nil, err
	}
	s := &session{Connection: c, wire: g}
	if s.version, err = versionOf(c.Properties); err != nil {
		_ = c.CloseDeadline(time.Now().Add(closeLimit))
		return nil, &amqp.Error{Code: amqp.NotImplemented, Reason: err.Error(), Server: true}
	}
	blocks := c.NotifyBlocked(make(chan amqp.Blocking, 1))
	if !l.p.start(func() { l.watch(s, blocks) }) {
		_ = c.CloseDeadline(time.Now().Add(closeLimit))
		return nil, driver.ErrClosed
	}
	return s, nil
}

// watch notes whether the broker blocks publishers, until the connection ends.
func (l *link) watch(s *session, blocks <-chan amqp.Blocking) {
	for b := range blocks {
		s.setBlocked(b)
		l.p.log.Warn("rabbitmq: the broker blocks publishers", "blocked", b.Active, "reason", b.Reason)
	}
	s.setBlocked(amqp.Blocking{})
}

func (s *session) setBlocked(b amqp.Blocking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = oneLine(b.Reason)
	switch {
	case b.Active && s.cleared == nil:
		s.cleared = make(chan struct{})
	case !b.Active && s.cleared != nil:
		close(s.cleared)
		s.cleared = nil
	}
}

// blockade returns what is closed when publishers are free again, or nil if
// they are, and why they are not.
func (s *session) blockade() (cleared <-chan struct{}, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cleared, s.reason
}

// blocked returns an error if the broker blocks publishers.
func (l *link) blocked() error {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	if cleared, reason := s.blockade(); cleared != nil {
		return blockedError(reason, driver.ErrBadConn)
	}
	return nil
}

func blockedError(reason string, is error) error {
	return &amqpError{"the broker blocks publishers: " + reason, is, errors.New("connection.blocked")}
}

// close says goodbye, and does not wait long for the answer.
func (l *link) close() {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s != nil {
		_ = s.CloseDeadline(time.Now().Add(closeLimit))
	}
}
