package main

import "bytes"

// maxLabelled is how much of a line is waited for.
const maxLabelled = 64 << 10

// labelWriter writes whole lines, each with a label in front of it.
type labelWriter struct {
	to    lockedWriter
	label string
	rest  []byte // of a line that has not ended
}

func (l *labelWriter) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	var out []byte
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLabelled {
			break
		}
		if i < 0 {
			i = len(l.rest)
		}
		out = append(append(append(out, l.label...), l.rest[:i]...), '\n')
		l.rest = l.rest[min(i+1, len(l.rest)):]
	}
	if len(out) == 0 {
		return len(b), nil
	}
	_, err := l.to.Write(out)
	return len(b), err
}

// end writes a last line that has no end.
func (l *labelWriter) end() {
	if len(l.rest) > 0 {
		_, _ = l.Write([]byte("\n"))
	}
}
