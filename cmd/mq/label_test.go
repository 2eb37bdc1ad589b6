//go:build unix

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

// TestWorkLabels: it is said whose standard error it is if several commands run.
func TestWorkLabels(t *testing.T) {
	for _, tt := range []struct{ c, want string }{{"1", "oops\n"}, {"2", "w/1: oops\n"}} {
		d := newDesk(t, "mem")
		d.send(text("x"))
		_, stdout, stderr := d.work("-c", tt.c, "--", "sh", "-c", "echo out; printf oops >&2")
		if stdout != "out\n" || !strings.HasPrefix(stderr, strings.TrimSuffix(tt.want, "\n")) || strings.HasPrefix(stderr, "w/") != (tt.c == "2") {
			t.Errorf("-c %s: %q and %q", tt.c, stdout, stderr)
		}
		if err := d.client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
