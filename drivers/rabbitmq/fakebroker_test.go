package rabbitmq

import (
	"bufio"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
)

// fakeBroker opens and closes connections and channels. It does no more unless
// a test says so.
type fakeBroker struct {
	net.Listener
	product, version string
	dialled          atomic.Int32
	// on answers a method in another way, if it returns true.
	on func(conn net.Conn, channel uint16, method uint32) bool
}

// listen returns a broker that listens until the test ends.
func listen(t *testing.T, product, version string) *fakeBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := &fakeBroker{Listener: l, product: product, version: version}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			b.dialled.Add(1)
			go b.serve(conn)
		}
	}()
	return b
}

// open returns a provider of the broker.
func (b *fakeBroker) open(t *testing.T) *Provider {
	t.Helper()
	return b.provider(t, "rabbitmq://"+b.Addr().String())
}

func (b *fakeBroker) provider(t *testing.T, dsn string) *Provider {
	t.Helper()
	o, err := parseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(o, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// The methods of AMQP that open and close, as class<<16 | method.
const (
	connectionStart, connectionStartOk = 10<<16 | 10, 10<<16 | 11
	connectionTune                     = 10<<16 | 30
	connectionOpen, connectionOpenOk   = 10<<16 | 40, 10<<16 | 41
	connectionClose, connectionCloseOk = 10<<16 | 50, 10<<16 | 51
	channelOpen, channelOpenOk         = 20<<16 | 10, 20<<16 | 11
	channelClose, channelCloseOk       = 20<<16 | 40, 20<<16 | 41
)

func (b *fakeBroker) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	if _, err := io.CopyN(io.Discard, in, int64(len("AMQP0091"))); err != nil {
		return
	}
	start := append([]byte{0, 9}, longString(b.properties())...)
	start = append(append(start, longString("PLAIN")...), longString("en_US")...)
	answer(conn, 0, connectionStart, start...)
	for {
		channel, method, err := readMethod(in)
		if err != nil {
			return
		}
		if b.on != nil && b.on(conn, channel, method) {
			continue
		}
		switch method {
		case connectionStartOk:
			answer(conn, 0, connectionTune, 0, 0, 0, 2, 0, 0, 0, 0) // frames of 128 KiB
		case connectionOpen:
			answer(conn, 0, connectionOpenOk, 0)
		case channelOpen:
			answer(conn, channel, channelOpenOk, 0, 0, 0, 0)
		case channelClose:
			answer(conn, channel, channelCloseOk)
		case connectionClose:
			answer(conn, 0, connectionCloseOk)
		}
	}
}

// properties are a table of strings.
func (b *fakeBroker) properties() string {
	var table []byte
	for _, p := range [][2]string{{"product", b.product}, {"version", b.version}} {
		table = append(append(table, byte(len(p[0]))), p[0]...)
		table = append(append(table, 'S'), longString(p[1])...)
	}
	return string(table)
}

func longString(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

const frameEnd = 0xce

// answer writes the frame of a method.
func answer(w io.Writer, channel uint16, method uint32, args ...byte) {
	frame(w, 1, channel, append(binary.BigEndian.AppendUint32(nil, method), args...)...)
}

func frame(w io.Writer, kind byte, channel uint16, payload ...byte) {
	b := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	_, _ = w.Write(append(append(b, payload...), frameEnd)) // who does not read has gone
}

// readMethod returns the method of a frame, or 0 if there is none in it.
func readMethod(r io.Reader) (channel uint16, method uint32, err error) {
	var head [7]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(r, frame); err != nil {
		return 0, 0, err
	}
	if head[0] == 1 {
		method = binary.BigEndian.Uint32(frame)
	}
	return binary.BigEndian.Uint16(head[1:]), method, nil
}
