package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/portmq/mq"
)

func TestCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailure},
		{usagef("x"), exitUsage},
		{fmt.Errorf("more: %w", usagef("x")), exitUsage},
		{mq.ErrInvalid, exitUsage},
		{mq.ErrTooLarge, exitUsage},
		{mq.ErrInvalidReceipt, exitUsage},
		{mq.ErrQueueNotFound, exitFailure},
		{mq.ErrNotSupported, exitFailure},
		{mq.ErrStaleReceipt, exitFailure},
		{fmt.Errorf("%w (sent 3)", errInterrupted), exitInterrupted},
		{context.Canceled, exitFailure}, // somebody else's: no signal has come
		{context.DeadlineExceeded, exitFailure},
		{fmt.Errorf("write: %w", syscall.EPIPE), exitPipe},
	} {
		if got := (&app{started: true}).code(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
	if got := (&app{started: true, interrupted: true}).code(context.Canceled); got != exitInterrupted {
		t.Errorf("after a signal: exit code %d", got)
	}
	if got := new(app).code(errors.New("of cobra")); got != exitUsage {
		t.Errorf("before the command began: exit code %d", got)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"mq: x":               "x",
		"a\nb\r\n\nc\n":       "a; b; c",
		"a: mq: b":            "a: b",
		"no\x1bise\nmq: more": "no\x1bise; more",
	} {
		if got := oneLine(errors.New(in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	var stderr bytes.Buffer
	a := &app{stderr: &stderr, started: true}
	if code := a.exit(nil, errors.New("bad \x1b[31m name")); code != exitFailure || stderr.String() != "mq: bad \\u001b[31m name\n" {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}

// TestProgressInPipe: nothing is drawn where there is no terminal.
func TestProgressInPipe(t *testing.T) {
	var stderr bytes.Buffer
	p := (&app{stderr: &stderr}).newProgress(10, "x", "messages")
	p.add(5)
	p.add(5)
	p.end()
	p.end()
	if stderr.Len() > 0 {
		t.Errorf("draws %q", stderr.String())
	}
}
