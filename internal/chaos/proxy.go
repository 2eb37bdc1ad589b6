package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// proxy is the way of the workers to a server. It can be cut, fall silent, be slow, and
// lead elsewhere.
type proxy struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	pairs  map[*pair]bool
	state  state
	change chan struct{} // closed when the state changes
}

// state is what is wrong with the way.
type state struct {
	silent  bool          // nothing gets through, on new connections either
	refuses bool          // new connections are cut at once
	delay   time.Duration // of each piece
	rate    int           // bytes a second of each direction of a connection
}

// pair is a connection and its continuation.
type pair struct {
	ends   [2]net.Conn
	frozen bool // swallows whatever is sent, forever
	cutIn  int  // bytes until it is cut, 0 for never
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, pairs: make(map[*pair]bool), change: make(chan struct{})}
	go p.serve()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.join(c)
	}
}

func (p *proxy) join(from net.Conn) {
	p.mu.Lock()
	target, refuses := p.target, p.state.refuses
	p.mu.Unlock()
	var to net.Conn
	err := errors.New("refused")
	if !refuses {
		to, err = net.DialTimeout("tcp", target, 5*time.Second)
	}
	if err != nil {
		_ = from.Close()
		return
	}
	one := &pair{ends: [2]net.Conn{from, to}}
	p.mu.Lock()
	p.pairs[one] = true
	p.mu.Unlock()
	go p.pipe(one, from, to)
	p.pipe(one, to, from)
}

// pipe passes on what comes from one end, until one of them ends.
func (p *proxy) pipe(one *pair, from, to net.Conn) {
	defer p.drop(one)
	for buf := make([]byte, 4096); ; {
		n, err := from.Read(buf)
		if err != nil || !p.pass(one, to, buf[:n]) {
			return
		}
	}
}

func (p *proxy) drop(one *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, one)
	for _, c := range one.ends {
		_ = c.Close()
	}
}

// pass passes on a piece, in the state that the way is in. It reports whether the
// connection goes on.
func (p *proxy) pass(one *pair, to io.Writer, piece []byte) bool {
	for {
		p.mu.Lock()
		s, change, frozen, cut := p.state, p.change, one.frozen, false
		if one.cutIn > 0 {
			cut = one.cutIn <= len(piece)
			piece = piece[:min(len(piece), one.cutIn)]
			one.cutIn -= len(piece)
		}
		p.mu.Unlock()
		switch {
		case frozen:
			return true
		case s.silent:
			<-change
			continue
		}
		time.Sleep(s.delay)
		if s.rate > 0 {
			time.Sleep(time.Duration(len(piece)) * time.Second / time.Duration(s.rate))
		}
		_, err := to.Write(piece)
		return err == nil && !cut
	}
}

// set changes the state of the way.
func (p *proxy) set(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	close(p.change)
	p.change = make(chan struct{})
}

// each does something to each connection.
func (p *proxy) each(do func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pairs {
		do(one)
	}
}

func (p *proxy) cut() {
	p.each(func(one *pair) {
		for _, c := range one.ends {
			_ = c.Close()
		}
	})
}

// lead makes new connections lead to another server.
func (p *proxy) lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) close() error {
	err := p.listener.Close()
	p.set(state{})
	p.cut()
	return err
}

// during returns a fault for as long as the way is in a state.
func (p *proxy) during(s state) func(context.Context, pick) (func(context.Context) error, error) {
	return func(context.Context, pick) (func(context.Context) error, error) {
		p.set(s)
		return func(context.Context) error { p.set(state{}); return nil }, nil
	}
}

// faults are what can go wrong with the way.
func (p *proxy) faults() []*fault {
	return []*fault{
		{"connections are cut", 0, time.Second, func(context.Context, pick) (func(context.Context) error, error) {
			p.cut()
			return nil, nil
		}},
		{"connections are cut mid-frame", 500 * time.Millisecond, 2 * time.Second, p.cutWithin},
		{"connections freeze", 0, 2 * time.Second, func(_ context.Context, pick pick) (func(context.Context) error, error) {
			p.each(func(one *pair) { one.frozen = pick.IntN(3) > 0 })
			return nil, nil
		}},
		{"silence", time.Second, 6 * time.Second, p.during(state{silent: true})},
		{"nobody gets through", 500 * time.Millisecond, 4 * time.Second, p.refuse},
		{"a slow way", time.Second, 4 * time.Second, p.during(state{delay: 60 * time.Millisecond})},
		{"a narrow way", time.Second, 4 * time.Second, p.during(state{rate: 20_000})},
	}
}

// cutWithin cuts each connection after a few more bytes.
func (p *proxy) cutWithin(_ context.Context, pick pick) (func(context.Context) error, error) {
	p.each(func(one *pair) { one.cutIn = 1 + pick.IntN(2000) })
	return nil, nil
}

func (p *proxy) refuse(context.Context, pick) (func(context.Context) error, error) {
	p.set(state{refuses: true})
	p.cut()
	return func(context.Context) error { p.set(state{}); return nil }, nil
}
