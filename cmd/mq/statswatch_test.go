package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest"
)

// TestStatsRates: 10 messages come in a second, and 3 go.
func TestStatsRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		go func() {
			time.Sleep(100 * time.Millisecond)
			for range 10 {
				d.send(text("1"))
			}
			d.must("receive", "w", "-n", "3", "-ack")
		}()
		code, stdout, stderr := d.runIn(ctx, "stats", "-watch", "-interval", "1s")
		want := `2000-01-01T00:00:00Z, every 1s
QUEUE  VISIBLE  LEASED  DELAYED  BLOCKED  TOTAL  ARCHIVED  SENT/S  DONE/S  SENT  OLDEST  LAG
w      0        0       0        0        0      0         -       -       0     -       0s

2000-01-01T00:00:01Z, every 1s
QUEUE  VISIBLE  LEASED  DELAYED  BLOCKED  TOTAL  ARCHIVED  SENT/S  DONE/S  SENT  OLDEST  LAG
w      7↑       0       0        0        7↑     0         10      3       10    900ms   900ms

`
		if code != exitOK || stderr != "" || stdout != want {
			t.Errorf("exit code %d, %s and\n%s", code, stderr, stdout)
		}
	})
}

func TestRatesOf(t *testing.T) {
	at := func(seconds int, total, sent int64) mq.Stats {
		return mq.Stats{Total: total, TotalSent: sent, ScrapedAt: time.Unix(int64(seconds), 0)}
	}
	for _, tt := range []struct {
		before, now mq.Stats
		sent, done  string
	}{
		{at(0, 5, 10), at(2, 5, 14), "2", "2"},
		{at(0, 5, 10), at(2, 7, 10), "0", "0"}, // redriven ones, or an estimate
		{at(0, 5, 10), at(0, 5, 14), "-", "-"},
		{at(0, 5, -1), at(2, 5, -1), "-", "-"},
		{at(0, -1, 10), at(2, -1, 14), "2", "-"},
		{at(0, 5, 10), at(2, 0, 0), "-", "-"}, // made again
	} {
		if r := ratesOf(tt.before, tt.now); perSecond(r.sent) != tt.sent || perSecond(r.done) != tt.done {
			t.Errorf("from %+v to %+v: %s sent, %s done", tt.before, tt.now, perSecond(r.sent), perSecond(r.done))
		}
	}
}

// TestWatchAway: a watch outlives a backend that is gone for a while, and one that
// hangs; not one that was never there.
func TestWatchAway(t *testing.T) {
	second := func(n int) bool { return n > 1 && n < 5 }
	for name, fault := range map[string]mqtest.Fault{
		"gone":  {Op: "list", When: second, Err: driver.ErrBadConn},
		"hangs": {Op: "list", When: mqtest.Nth(2), Delay: mq.Forever},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, "mem")
				d.suffer(fault)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				code, stdout, stderr := d.runIn(ctx, "stats", "-watch")
				if code != exitOK || strings.Count(stdout, "QUEUE") < 20 || strings.Count(stderr, "\n") != 2 ||
					!strings.Contains(stderr, "(trying again until it answers)\nmq: the backend answers again after ") {
					t.Errorf("exit code %d, %d samples, and it says\n%s", code, strings.Count(stdout, "QUEUE"), stderr)
				}
			})
		})
	}
	d := newDesk(t, "mem")
	d.suffer(mqtest.Fault{Op: "list", Err: driver.ErrBadConn})
	d.fails(exitFailure, "list", "stats", "-watch")
}

// TestWatchAwayEnds: Ctrl-C ends a watch of a backend that hangs at once.
func TestWatchAwayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.suffer(mqtest.Fault{Op: "list", When: func(n int) bool { return n > 1 }, Delay: mq.Forever})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if code, _, stderr := d.runIn(ctx, "stats", "-watch"); code != exitOK || time.Since(start) > 11*time.Second {
			t.Errorf("exit code %d after %v, %s", code, time.Since(start), stderr)
		}
	})
}

// TestStatsUnread: a queue that cannot be read does not hide the others.
func TestStatsUnread(t *testing.T) {
	d := newDesk(t, "mem")
	code, stdout, stderr := d.run("stats", "nope", "w")
	if code != exitFailure || !strings.Contains(stdout, "\nw ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "queue not found") {
		t.Errorf("exit code %d, %q and\n%s", code, stderr, stdout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	code, stdout, stderr = d.runIn(ctx, "stats", "-watch", "nope", "w")
	if code != exitOK || !strings.Contains(stdout, "\nw ") || !strings.Contains(stderr, "queue not found") {
		t.Errorf("exit code %d, %q and\n%s", code, stderr, stdout)
	}
}
