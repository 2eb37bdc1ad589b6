package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq"
)

// proxy is a way to the server on which answers can get lost.
type proxy struct {
	net.Listener
	to   string
	deaf atomic.Bool // the server's answers do not come through

	mu    sync.Mutex
	conns []net.Conn
}

// newProxy returns a proxy and the DSN that goes through it.
func (b *base) newProxy() (p *proxy, dsn string) {
	b.Helper()
	u, err := url.Parse(b.dsn)
	b.ok(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	p = &proxy{Listener: l, to: u.Host}
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
		go func() { _, _ = io.Copy(server, client) }()
		go func() { _, _ = io.Copy(hush{client, p}, server) }()
	}
}

// hush passes on what the server says unless the proxy is deaf.
type hush struct {
	net.Conn
	p *proxy
}

func (h hush) Write(b []byte) (int, error) {
	if h.p.deaf.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
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

// TestAnswerLost: the server did what it was told, and the connection broke
// before it could say so. The caller learns that nobody knows, and nothing is
// done twice.
func TestAnswerLost(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	eachLibrary(t, func(t *testing.T, library string) {
		every(t, func(t *testing.T, op operation) {
			t.Parallel()
			b := b.of(t)
			q := b.stage(b.client(), fmt.Sprintf("q%d", n.Add(1)))
			before, want := b.picture(q), b.twin(op, q)
			if before == want || op.name == "receive groups" || op.name == "receive a group" {
				return // it changes nothing that could be seen, or needs more than one answer
			}
			p, dsn := b.newProxy()
			far := b.open(with(dsn, "driver="+library, "poll_only=true", "pool_max_conns=1")).Queue(q.Name())
			b.rehearse(op, far)
			_, err := far.Peek(t.Context(), mq.BrowseOptions{}) // a session that was idle would be pinged
			b.ok(err)
			p.deaf.Store(true)
			ended := make(chan error, 1)
			go func() { ended <- op.run(t.Context(), b, far) }()
			b.eventually("it is done", func() bool { return b.picture(q) == want })
			p.deaf.Store(false)
			p.cut()
			if err := <-ended; !errors.Is(err, mq.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
			if after := b.picture(q); after != want {
				t.Errorf("it was done twice: %s, want %s", after, want)
			}
		})
	})
}

// rehearse makes a session of a client prepare the statements of op, since that
// takes answers, and puts the queue back.
func (b *base) rehearse(op operation, q *mq.Queue) {
	b.Helper()
	b.execf("CREATE TABLE %[1]s_q AS TABLE pgmq.q_%[1]s; CREATE TABLE %[1]s_a AS TABLE pgmq.a_%[1]s", q.Name())
	b.ok(stale(op.run(b.Context(), b, q)))
	b.execf(`TRUNCATE pgmq.q_%[1]s, pgmq.a_%[1]s; INSERT INTO pgmq.q_%[1]s OVERRIDING SYSTEM VALUE TABLE %[1]s_q; INSERT INTO pgmq.a_%[1]s TABLE %[1]s_a;
		DROP TABLE %[1]s_q, %[1]s_a`, q.Name())
}
