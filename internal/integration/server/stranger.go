package server

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
)

// Stranger listens at loopback and hands each connection to serve, in a goroutine of its
// own. With the test both end. It returns its address.
func Stranger(tb testing.TB, serve func(net.Conn)) (addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var running sync.WaitGroup
	over := make(chan struct{})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
				<-over
			})
			running.Go(func() { <-over; _ = conn.Close() })
		}
	})
	tb.Cleanup(func() { _ = l.Close(); close(over); running.Wait() })
	return l.Addr().String()
}

// Silent never says anything.
func Silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// Shows returns a server for Stranger that shows a certificate, and does nothing more.
func Shows(tb testing.TB, c *Certificate) func(net.Conn) {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		tb.Fatal(err)
	}
	return func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
	}
}
