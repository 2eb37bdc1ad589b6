package rabbitmq_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"runtime/pprof"
	"sync"
	"testing"
)

// proxy is a way to the broker that can be cut.
type proxy struct {
	listener net.Listener
	target   string
	alter    func(fromBroker []byte) // or nil; what it changes keeps its length

	mu     sync.Mutex
	conns  map[net.Conn]bool
	frozen chan struct{} // closed when what is sent goes on, nil while it does
}

// newProxy returns a proxy, and the DSN that goes through it. It ends with the
// test.
func newProxy(t testing.TB, dsn string) (*proxy, string) {
	t.Helper()
	u := must(url.Parse(dsn))(t)
	target := u.Host
	p := &proxy{listener: must(net.Listen("tcp", "127.0.0.1:0"))(t), target: target, conns: make(map[net.Conn]bool)}
	go p.serve()
	t.Cleanup(func() { _ = p.listener.Close(); p.cut() })
	u.Host = p.listener.Addr().String()
	return p, u.String()
}

func (p *proxy) serve() {
	pprof.SetGoroutineLabels(context.Background()) // a case does not leak it
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
		go p.pipe(to, from, p.alter)
	}
}

func (p *proxy) pipe(from, to net.Conn, alter func([]byte)) {
	_, _ = io.Copy(&gate{p, to, alter}, from)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{from, to} {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// cut cuts every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// gate passes on what is sent unless the proxy is frozen.
type gate struct {
	p *proxy
	net.Conn
	alter func([]byte)
}

func (g *gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	frozen := g.p.frozen
	g.p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	if g.alter != nil {
		g.alter(b)
	}
	return g.Conn.Write(b)
}

// freeze makes both sides hear nothing of each other until it is undone.
func (p *proxy) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.frozen = make(chan struct{})
		return
	}
	close(p.frozen)
	p.frozen = nil
}
