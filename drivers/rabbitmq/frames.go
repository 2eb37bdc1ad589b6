package rabbitmq

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

// frames is a reader of AMQP frames that changes what amqp091-go cannot read:
// headers that nest deeper than 32 levels, or of types that it does not know. It
// would close the connection, and the broker would give the message to the next
// one, for ever. Such a header becomes one of bytes, its encoding.
type frames struct {
	in   *bufio.Reader
	pass int    // how much of the frame under way is passed on as it is
	out  []byte // the rest of a frame that was looked at
	buf  []byte // where out is

	secured atomic.Bool // the server has answered as one that speaks TLS
}

// errSecured says that plaintext was sent to a port for TLS.
var errSecured = errors.New("the port speaks TLS (use the scheme amqps)")

// headerUnreadable has the encoding of headers that cannot be separated.
const headerUnreadable = "mq-unreadable-headers"

func newFrames(r io.Reader) *frames { return &frames{in: bufio.NewReaderSize(r, 32<<10)} }

// A frame is a type, a channel, the size of the payload, that, and an end.
const (
	frameHead   = 7
	frameOfBody = 2  // the type of frame that announces a body, with its properties
	tlsAlert    = 21 // what TLS has in the place of the type, in an alert of 7 bytes
)

func (f *frames) Read(b []byte) (n int, err error) {
	for {
		switch {
		case len(f.out) > 0:
			n = copy(b, f.out)
			f.out = f.out[n:]
			return n, nil
		case f.pass > 0:
			n, err = f.in.Read(b[:min(len(b), f.pass)])
			f.pass -= n
			return n, err
		}
		if err := f.next(); err != nil {
			return 0, err
		}
	}
}

// next begins a frame.
func (f *frames) next() error {
	head, err := f.in.Peek(frameHead)
	if err != nil {
		return err
	}
	if head[0] == tlsAlert {
		f.secured.Store(true)
		return errSecured
	}
	size := int(binary.BigEndian.Uint32(head[3:])) + frameHead + 1
	if head[0] != frameOfBody || size > 2*frameSize {
		f.pass = size
		return nil
	}
	if cap(f.buf) < size {
		f.buf = make([]byte, size)
	}
	f.buf = f.buf[:size]
	if _, err := io.ReadFull(f.in, f.buf); err != nil {
		return err
	}
	f.out = readable(f.buf)
	return nil
}

// The flags of the headers, and of the properties in front of them.
const (
	flagContentType     = 1 << 15
	flagContentEncoding = 1 << 14
	flagHeaders         = 1 << 13
)

// readable returns a frame that amqp091-go can read.
func readable(frame []byte) []byte {
	const flagsAt = frameHead + 12 // behind class, weight and the body's size
	if len(frame) < flagsAt+3 {
		return frame
	}
	flags := binary.BigEndian.Uint16(frame[flagsAt:])
	at := flagsAt + 2
	for _, flag := range []uint16{flagContentType, flagContentEncoding} {
		if flags&flag != 0 && at < len(frame) {
			at += 1 + int(frame[at])
		}
	}
	if flags&flagHeaders == 0 || at+4 > len(frame) {
		return frame
	}
	size := int(binary.BigEndian.Uint32(frame[at:]))
	if size > len(frame)-at-4 {
		return frame
	}
	table := frame[at+4 : at+4+size]
	if len(frame) <= frameSize && readableTable(table, 0) {
		return frame
	}
	changed := readableFields(table)
	if over := len(frame) - size + len(changed) - frameSize; over > 0 {
		changed = cutLongest(changed, over)
	}
	return replaceTable(frame, at, size, changed)
}

// cutLongest shortens the longest field of a readable table. The broker adds its
// counts to headers that just fitted into a frame, and sends one that is larger
// than was agreed.
func cutLongest(table []byte, over int) []byte {
	start, value, end := 0, 0, 0
	for rest := table; len(rest) > 0; {
		name := 1 + int(rest[0])
		next, _ := skipField(rest[name:], 0)
		if from, to := len(table)-len(rest), len(table)-len(next); to-from > end-start && (rest[name] == 'S' || rest[name] == 'x') {
			start, value, end = from, from+name+5, to
		}
		rest = next
	}
	if end-value < over { // many small ones
		return bytesField(nil, headerUnreadable, table[:len(table)-over-1-len(headerUnreadable)-5])
	}
	out := bytes.Clone(table[:end-over])
	binary.BigEndian.PutUint32(out[value-4:], uint32(end-over-value))
	return append(out, table[end:]...)
}

// readableFields returns a table with what can be read as it is, and all else as
// bytes.
func readableFields(table []byte) (out []byte) {
	for n := 0; len(table) > 0; n++ {
		name := 1 + int(table[0])
		if n >= maxFields-1 || len(table) < name {
			return bytesField(out, headerUnreadable, table)
		}
		rest, ok := skipField(table[name:], 0)
		field := table[name : len(table)-len(rest)]
		switch {
		case ok:
			out = append(out, table[:len(table)-len(rest)]...)
		case rest == nil:
			return bytesField(out, headerUnreadable, table)
		default:
			out = bytesField(out, string(table[1:name]), field)
		}
		table = rest
	}
	return out
}

// bytesField appends a field of bytes.
func bytesField(to []byte, name string, value []byte) []byte {
	to = append(append(to, byte(len(name))), name...)
	to = binary.BigEndian.AppendUint32(append(to, 'x'), uint32(len(value)))
	return append(to, value...)
}

// replaceTable puts another table in the place of that at a position.
func replaceTable(frame []byte, at, size int, table []byte) []byte {
	out := append([]byte(nil), frame[:at]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(table)))
	out = append(append(out, table...), frame[at+4+size:]...)
	binary.BigEndian.PutUint32(out[3:], uint32(len(out)-frameHead-1))
	return out
}

// The limits of amqp091-go.
const (
	maxNesting = 32
	maxFields  = 8 << 10
)

// readableTable reports whether amqp091-go can read the fields of a table.
func readableTable(b []byte, depth int) bool {
	for n := 0; len(b) > 0; n++ {
		name := 1 + int(b[0])
		if n >= maxFields || len(b) < name {
			return false
		}
		var ok bool
		if b, ok = skipField(b[name:], depth); !ok {
			return false
		}
	}
	return depth <= maxNesting
}

func readableArray(b []byte, depth int) bool {
	for n, ok := 0, true; len(b) > 0; n++ {
		if b, ok = skipField(b, depth); !ok || n >= maxFields {
			return false
		}
	}
	return depth <= maxNesting
}

// skipField returns what follows a field, or nil if that is not known, and
// whether the field can be read.
func skipField(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	kind, b := b[0], b[1:]
	size, sized := fieldSize(kind)
	if !sized {
		if len(b) < 4 {
			return nil, false
		}
		size = int(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if size > len(b) || !sized && !bytes.ContainsRune([]byte("AFSx"), rune(kind)) {
		return nil, false
	}
	switch kind {
	case 'A':
		return b[size:], readableArray(b[:size], depth+1)
	case 'F':
		return b[size:], readableTable(b[:size], depth+1)
	}
	return b[size:], true
}

// fieldSize returns the size of a field whose type says it.
func fieldSize(kind byte) (size int, sized bool) {
	switch kind {
	case 'V':
		return 0, true
	case 't', 'B', 'b':
		return 1, true
	case 's', 'u':
		return 2, true
	case 'I', 'i', 'f':
		return 4, true
	case 'D':
		return 5, true
	case 'l', 'd', 'T':
		return 8, true
	}
	return 0, false
}
