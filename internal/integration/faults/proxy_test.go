package faults

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// proxy is a way to the server.
type proxy struct {
	net.Listener
	to      string
	answers func(client io.Writer, server io.Reader) // passes on what the server says

	asked atomic.Int32 // connections on which the client has asked for something in vain

	mu     sync.Mutex
	conns  []net.Conn
	frozen chan struct{} // closed when the connections that there are fall silent
}

// newProxy returns a proxy and the DSN that goes through it.
func (b *base) newProxy(answers func(client io.Writer, server io.Reader)) (p *proxy, dsn string) {
	b.Helper()
	u, err := url.Parse(b.dsn)
	b.ok(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	p = &proxy{Listener: l, to: u.Host, answers: answers, frozen: make(chan struct{})}
	b.Cleanup(func() {
		_ = l.Close()
		p.cut()
	})
	go p.serve()
	return p, strings.Replace(b.dsn, u.Host, l.Addr().String(), 1)
}

func (p *proxy) serve() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		frozen := p.frozen
		p.mu.Unlock()
		go func() {
			_, _ = io.Copy(&gate{to: server, frozen: frozen, swallows: func() { p.asked.Add(1) }}, client)
			_ = server.Close()
		}()
		go func() { p.answers(&gate{to: client, frozen: frozen, swallows: func() {}}, server); _ = client.Close() }()
	}
}

// farewell is a Terminate, for which nobody waits.
var farewell = []byte{'X', 0, 0, 0, 4}

// gate swallows what is written once it is frozen, and calls swallows the first time.
type gate struct {
	to       io.Writer
	frozen   <-chan struct{}
	swallows func()
	told     sync.Once
}

func (g *gate) Write(b []byte) (int, error) {
	select {
	case <-g.frozen:
		if !bytes.Equal(b, farewell) {
			g.told.Do(g.swallows)
		}
		return len(b), nil
	default:
		return g.to.Write(b)
	}
}

// freeze makes the connections that there are fall silent without being
// closed, as behind a firewall that has forgotten them. New ones work.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

// pass passes on all that the server says.
func pass(client io.Writer, server io.Reader) { _, _ = io.Copy(client, server) }

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
