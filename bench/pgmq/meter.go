package main

import (
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// meter stands between a client and the server and counts queries: the
// server's statistics would count its own housekeeping as well.
type meter struct {
	url      *url.URL // of the same database, through the meter
	server   string
	queries  atomic.Int64
	listener net.Listener
	relays   sync.WaitGroup
}

func openMeter(u *url.URL) (*meter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	through := *u
	through.Host = listener.Addr().String()
	q := through.Query()
	q.Set("sslmode", "disable") // what is encrypted cannot be counted
	through.RawQuery = q.Encode()
	m := &meter{url: &through, listener: listener, server: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432"))}
	m.relays.Go(m.accept)
	return m, nil
}

// close waits until the client is gone.
func (m *meter) close() {
	_ = m.listener.Close()
	m.relays.Wait()
}

func (m *meter) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.relays.Go(func() { m.relay(client) })
	}
}

// relay connects one client with the server until either hangs up.
func (m *meter) relay(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", m.server)
	if err != nil {
		return
	}
	m.relays.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	countQueries(server, client, &m.queries)
	_ = server.Close()
}

// countQueries copies what a client says, and counts the messages Query and
// Execute. A message is a type, a length that includes itself, and the rest;
// the first one, StartupMessage, has no type.
func countQueries(server io.Writer, client io.Reader, queries *atomic.Int64) {
	head := make([]byte, 4, 5)
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		if len(head) == 5 && (head[0] == 'Q' || head[0] == 'E') {
			queries.Add(1)
		}
		length := binary.BigEndian.Uint32(head[len(head)-4:])
		if _, err := server.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(server, client, int64(length)-4); err != nil {
			return
		}
		head = head[:5]
	}
}
