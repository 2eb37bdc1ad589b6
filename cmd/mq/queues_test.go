package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestQueues(t *testing.T) {
	d := newDesk(t, "mem")
	d.prints("QUEUE\na\nb\n", "create", "a", "B")
	d.prints("QUEUE\na\nb\nw\n", "ls")
	d.prints("{\"queue\":\"a\"}\n{\"queue\":\"b\"}\n{\"queue\":\"w\"}\n", "ls", "-o", "json")
	d.prints("QUEUE\nx-y\n", "create", "-any-name", "x-y")
	d.prints("DROPPED\na\nx-y\n", "drop", "-yes", "a", "x-y")
	d.fails(exitFailure, "queue not found", "drop", "-yes", "w", "a")
	d.prints("QUEUE\nb\nw\n", "ls")
}

func TestStats(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"), mq.Message{Body: []byte("3"), Delay: time.Hour})
	d.must("receive", "w", "-visibility", "1h")
	d.prints(`
QUEUE  VISIBLE  LEASED  DELAYED  BLOCKED  TOTAL  ARCHIVED  SENT  OLDEST  LAG
w  1  1  1  0  3  0  3  AGE  AGE
`, "stats")
	d.prints(`
{"queue":"w","total":3,"visible":1,"leased":1,"delayed":1,"blocked":0,"archived":0,"total_sent":3,"oldest_age_seconds":0,"newest_age_seconds":0,"lag_seconds":0,"scraped_at":"TIME"}
`, "stats", "-o", "json", "w")
}

// TestStatsUnknown: what a provider cannot tell is neither 0 nor -1.
func TestStatsUnknown(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	d.send(text("1"))
	d.prints(`
QUEUE  VISIBLE  LEASED  DELAYED  BLOCKED  TOTAL  ARCHIVED  SENT  OLDEST  LAG
w  1  -  -  0  -  0  -  -  -
`, "stats", "w")
	d.prints(`{"queue":"w","visible":1,"blocked":0,"archived":0,"scraped_at":"TIME"}`+"\n", "stats", "-o", "json", "w")
	d.fails(exitFailure, "cannot list queues", "stats")
	d.fails(exitFailure, "cannot list queues", "ls")
}

func TestStatsWatch(t *testing.T) {
	for _, format := range []string{"table", "json"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, "mem")
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			code, stdout, stderr := d.runIn(ctx, "stats", "-watch", "-interval", "100ms", "-o", format)
			if code != exitOK || stderr != "" || strings.Count(stdout, "w") < 5 {
				t.Errorf("exit code %d, %q and %q", code, stdout, stderr)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
	}{
		{"y\n", exitOK},
		{"YES\n", exitOK},
		{"n\n", exitFailure},
		{"\n", exitFailure},
		{"", exitFailure},
	} {
		for _, command := range [][]string{{"purge", "w"}, {"archive", "purge", "w"}, {"drop", "w"}} {
			d := newDesk(t, "mem")
			d.send(text("1"))
			d.asks, d.stdin = true, tt.answer
			code, _, stderr := d.run(command...)
			if code != tt.code || !strings.HasPrefix(stderr, "Really ") {
				t.Errorf("mq %q, answered %q: exit code %d, %q", command, tt.answer, code, stderr)
			}
			if tt.code != exitOK && !slices.Equal(d.bodies(), []string{"1"}) {
				t.Errorf("mq %q, answered %q, did something", command, tt.answer)
			}
			if err := d.client.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestInputInterrupted: a signal ends what waits for an answer, or for receipts.
func TestInputInterrupted(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"purge w", "Really remove all messages of w? [y/N] \nmq: interrupted (nothing was changed)\n"},
		{"drop w", "Really drop w with all messages and archives? [y/N] \nmq: interrupted (nothing was changed)\n"},
		{"ack -", "mq: interrupted (nothing was acked)\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, "mem")
			d.asks = true
			code, stderr := d.interrupt("", strings.Fields(tt.args)...)
			if code != exitInterrupted || stderr != tt.want {
				t.Errorf("mq %s: exit code %d, %q", tt.args, code, stderr)
			}
		})
	}
}

// interrupt runs a command line in a bubble until it waits for more input than
// this, and then interrupts it.
func (d *desk) interrupt(input string, args ...string) (code int, stderr string) {
	d.Helper()
	in, out := io.Pipe()
	d.input = in
	ctx, interrupt := context.WithCancelCause(d.Context())
	go func() {
		_, _ = io.WriteString(out, input)
		synctest.Wait()
		interrupt(errInterrupted)
	}()
	code, _, stderr = d.runIn(ctx, args...)
	_ = out.Close()
	return code, stderr
}

func TestPurge(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"))
	d.prints("purged 2 messages\n", "purge", "-yes", "w")
	d.prints("{\"done\":\"purged\",\"count\":0,\"queue\":\"w\"}\n", "purge", "-yes", "w", "-o", "json")
}
