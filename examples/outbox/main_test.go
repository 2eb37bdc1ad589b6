package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"-h", 0, "Usage of outbox"},
		{"", 2, "Usage of outbox"},
		{"-dsn pgmq://x -orders -1", 2, "Usage of outbox"},
		{"-dsn pgmq://x y", 2, "Usage of outbox"},
		{"-nosuch", 2, "flag provided but not defined: -nosuch"},
		{"-dsn mem://u:s3cret@x", 1, `outbox: mq: unknown driver "mem" (forgotten import? have: pgmq, sqlite)`},
		{"-dsn pgmq://u:s3cret@x/shop?sslmod=disable", 1, `outbox: mq: open pgmq://u:***@x/shop?sslmod=disable: unknown parameter "sslmod"`},
		{"-dsn pgmq://u:s3cret@127.0.0.1:1/shop", 1, "outbox: failed to connect to "},
		{"-dsn sqlite:///nonexistent/shop.db", 1, "outbox: unable to open database file"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("outbox %s: exit %d, stderr %q, want %d, %q", tt.args, code, &stderr, tt.code, tt.stderr)
		}
		if strings.Contains(stdout.String()+stderr.String(), "s3cret") {
			t.Errorf("outbox %s: shows the password: %q", tt.args, &stderr)
		}
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		report
		want string
	}{
		{report{placed: 4, declined: 1, orders: 9, shipped: 9}, ""},
		{report{orders: 9, shipped: 8, waiting: 1}, "1 orders have no message"},
		{report{double: 2, strays: 3}, "2 orders were shipped more than once\n3 messages have no order"},
	} {
		got := ""
		if err := tt.err(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.report, got, tt.want)
		}
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"-dsn", "pgmq://127.0.0.1:1/shop"}, &stdout, &stderr)
	if code != 130 || !strings.HasPrefix(stderr.String(), "outbox: interrupted: ") {
		t.Errorf("exit %d, stderr %q", code, &stderr)
	}
}
