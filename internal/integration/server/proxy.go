package server

import (
	"context"
	"io"
	"net"
	"net/url"
	"runtime/pprof"
	"sync"
	"testing"
)

// Proxy is a way to a server that can be cut, and that can fall silent.
type Proxy struct {
	// Alter changes what the server sends, and keeps its length. Optional; to
	// be set before the first connection.
	Alter func(fromServer []byte)

	listener net.Listener
	target   string

	mu     sync.Mutex
	conns  map[net.Conn]bool
	silent chan struct{} // closed when what is sent goes on, nil while it does
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
	p = &Proxy{listener: l, target: u.Host, conns: make(map[net.Conn]bool)}
	go p.serve()
	t.Cleanup(func() { _ = l.Close(); p.Cut() })
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *Proxy) serve() {
	pprof.SetGoroutineLabels(context.Background()) // a case of mqtest does not leak it
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
		p.mu.Unlock()
		go p.pipe(from, to, nil)
		go p.pipe(to, from, p.Alter)
	}
}

func (p *Proxy) pipe(from, to net.Conn, alter func([]byte)) {
	_, _ = io.Copy(&valve{p, to, alter}, from)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{from, to} {
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

// valve passes on what is sent unless the proxy is silent.
type valve struct {
	p *Proxy
	net.Conn
	alter func([]byte)
}

func (v *valve) Write(b []byte) (int, error) {
	v.p.mu.Lock()
	silent := v.p.silent
	v.p.mu.Unlock()
	if silent != nil {
		<-silent
	}
	if v.alter != nil {
		v.alter(b)
	}
	return v.Conn.Write(b)
}
