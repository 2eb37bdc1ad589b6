package server

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is a way to a server that can be cut, that can fall silent for a while,
// and whose connections can freeze.
type Proxy struct {
	// Answer passes on what the server sends. Optional; to be set before the
	// first connection.
	Answer func(client io.Writer, server io.Reader)

	listener net.Listener
	target   string

	mu     sync.Mutex
	conns  map[net.Conn]bool
	silent chan struct{} // closed when what is sent goes on, nil while it does
	frozen chan struct{} // closed when the connections that there are freeze

	asked atomic.Int32
}

// NewProxy returns a proxy, and the DSN that goes through it. It ends with the
// test.
func NewProxy(t testing.TB, dsn string) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &Proxy{listener: l, target: u.Host, conns: make(map[net.Conn]bool), frozen: make(chan struct{})}
	go p.serve()
	t.Cleanup(func() { _ = l.Close(); p.Cut() })
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *Proxy) serve() {
	pprof.SetGoroutineLabels(context.Background()) // a case of drivertest does not leak it
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = from.Close()
			continue
		}
		p.mu.Lock()
		p.conns[from], p.conns[to] = true, true
		frozen := p.frozen
		p.mu.Unlock()
		go p.pipe(from, &valve{Conn: to, p: p, frozen: frozen, swallows: func() { p.asked.Add(1) }}, nil)
		go p.pipe(to, &valve{Conn: from, p: p, frozen: frozen, swallows: func() {}}, p.Answer)
	}
}

func (p *Proxy) pipe(from net.Conn, to *valve, pass func(io.Writer, io.Reader)) {
	if pass == nil {
		pass = Altered(nil)
	}
	pass(to, from)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{from, to.Conn} {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// Cut cuts every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Silence makes both sides hear nothing of each other, on new connections too,
// until resume is called, once. Then what was sent meanwhile arrives.
func (p *Proxy) Silence() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	silent := make(chan struct{})
	p.silent = silent
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(silent)
		p.silent = nil
	}
}

// Freeze makes the connections that there are swallow what is sent, for ever and
// without being closed, as behind a firewall that has forgotten them. New ones
// work.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

// Asked returns on how many frozen connections the client has sent something.
func (p *Proxy) Asked() int { return int(p.asked.Load()) }

// farewell is PostgreSQL's Terminate, which has no answer.
var farewell = []byte{'X', 0, 0, 0, 4}

// valve passes on what is sent unless the proxy is silent or the connection is
// frozen. It calls swallows once.
type valve struct {
	net.Conn
	p        *Proxy
	frozen   <-chan struct{}
	swallows func()
	told     sync.Once
}

func (v *valve) Write(b []byte) (int, error) {
	v.p.mu.Lock()
	silent := v.p.silent
	v.p.mu.Unlock()
	if silent != nil {
		<-silent
	}
	select {
	case <-v.frozen:
		if !bytes.Equal(b, farewell) {
			v.told.Do(v.swallows)
		}
		return len(b), nil
	default:
		return v.Conn.Write(b)
	}
}

// Altered returns an Answer that changes what the server sends, and keeps its
// length.
func Altered(alter func(fromServer []byte)) func(client io.Writer, server io.Reader) {
	return func(client io.Writer, server io.Reader) {
		_, _ = io.Copy(altering{client, alter}, server)
	}
}

type altering struct {
	io.Writer
	alter func([]byte)
}

func (a altering) Write(b []byte) (int, error) {
	if a.alter != nil {
		a.alter(b)
	}
	return a.Writer.Write(b)
}
