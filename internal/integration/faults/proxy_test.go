package faults

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
)

// proxy is a way to the server.
type proxy struct {
	net.Listener
	to      string
	answers func(client io.Writer, server io.Reader) // passes on what the server says

	mu    sync.Mutex
	conns []net.Conn
}

// newProxy returns a proxy and the DSN that goes through it.
func (b *base) newProxy(answers func(client io.Writer, server io.Reader)) (p *proxy, dsn string) {
	b.Helper()
	u, err := url.Parse(b.dsn)
	b.ok(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	p = &proxy{Listener: l, to: u.Host, answers: answers}
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
		p.mu.Unlock()
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		go func() { p.answers(client, server); _ = client.Close() }()
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
