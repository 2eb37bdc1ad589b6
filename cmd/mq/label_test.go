package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func TestLabelWriter(t *testing.T) {
	var out bytes.Buffer
	l := &labelWriter{to: lockedWriter{new(sync.Mutex), &out}, label: "w/1: "}
	for _, part := range []string{"one", " two\nthr", "ee\n\n", "four"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Error(n, err)
		}
	}
	l.end()
	l.end()
	if want := "w/1: one two\nw/1: three\nw/1: \nw/1: four\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	_, _ = l.Write(bytes.Repeat([]byte("x"), 3*maxLabelled/2)) // no line is held for ever
	if len(l.rest) >= maxLabelled || !strings.HasPrefix(out.String(), "w/1: x") {
		t.Errorf("it holds %d bytes", len(l.rest))
	}
}
