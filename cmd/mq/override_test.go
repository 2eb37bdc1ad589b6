package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestByID(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("create", "other")
	d.send(text("1"), text("2"), text("3"), text("4"), text("5"))
	d.must("receive", "w", "-n", "5", "-visibility", "1h")
	d.prints("rescued 1 of 2 messages\n", "rescue", "w", "1", "99", "1")
	d.prints("rescued 1 message\n", "rescue", "w", "5", "-delay", "1h")
	d.prints(`{"done":"archived","count":1,"asked":1,"queue":"w"}`+"\n", "archive", "put", "w", "2", "-reason", "bad", "-o", "json")
	d.stdin = "3\n\n99\n"
	d.prints("moved 1 of 2 messages\n", "move", "w", "other", "-")
	d.prints("deleted 1 message\n", "rm", "w", "4", "-yes")
	d.stdin = ""
	d.prints("rescued 0 messages\n", "rescue", "w", "-")
	if s := d.stats(); s.Visible != 1 || s.Delayed != 1 || s.Leased != 0 || s.Archived != 1 {
		t.Errorf("%+v", s)
	}
	if got := d.must("peek", "other", "-o", "json"); !strings.Contains(got, `"body":3`) {
		t.Errorf("the other queue has %s", got)
	}
	d.prints("deleted 1 message\n", "archive", "rm", "w", "2", "-yes")
	for _, args := range []string{"rescue w 4", "archive put w 4", "move w other 4", "rm w 4 -yes", "archive rm w 4 -yes"} {
		d.fails(exitFailure, "has none of these messages", strings.Fields(args)...)
	}
	d.fails(exitFailure, "queue not found", "move", "w", "nope", "1")
	d.fails(exitFailure, "queue not found", "rm", "-yes", "nope", "1")
}

// TestByIDAsked: nothing is deleted or taken back in bulk without a yes.
func TestByIDAsked(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"))
	d.fails(exitUsage, "give -yes", "rm", "w", "1")
	d.fails(exitUsage, "give -yes", "archive", "rm", "w", "1")
	d.asks, d.stdin = true, "n\n"
	if code, _, stderr := d.run("rm", "w", "1"); code != exitFailure || !strings.Contains(stderr, "Really delete 1 message of w?") || len(d.bodies()) != 1 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestByIDUnsupported(t *testing.T) {
	d := newDesk(t, "rabbitstub")
	for _, args := range []string{"rescue w 1", "archive put w 1", "rm w 1 -yes", "archive rm w 1 -yes"} {
		d.fails(exitFailure, "rabbitstub cannot do that to messages by their ids", strings.Fields(args)...)
	}
	d.fails(exitFailure, "rabbitstub does not store who holds which message (give ids)", "rescue", "w", "-held-by", "x")
	d.fails(exitFailure, "rabbitstub does not count dead letters by reason", "archive", "stats", "w")
}

// consume has a consumer hold n messages until the function that it returns is called.
func (d *desk) consume(n int) (end func()) {
	d.Helper()
	ctx, cancel := context.WithCancel(d.Context())
	hang := mq.HandlerFunc(func(ctx context.Context, _ *mq.Delivery) error { <-ctx.Done(); return ctx.Err() })
	cfg := mq.ConsumerConfig{Concurrency: n, SoftStop: mq.AtOnce, Prefetch: mq.NoPrefetch}
	done := make(chan error)
	go func() { done <- d.client.Queue("w").Consume(ctx, hang, cfg) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			d.Error(err)
		}
	}
}

// TestRescueHeld takes what a consumer reports to hold, and only what is leased.
func TestRescueHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.send(text("1"), text("2"), text("3"))
		end := d.consume(3)
		defer end()
		time.Sleep(15 * time.Second)
		d.must("rm", "w", "2", "-yes")
		d.must("rescue", "w", "3", "-delay", "2h") // no longer leased, and to be left so
		d.prints("rescued 0 messages\n", "rescue", "w", "-older-than", "10m")
		d.prints("rescued 0 messages\n", "rescue", "w", "-held-by", "nobody")
		d.fails(exitUsage, "cannot ask whether to take back 1 message of w: give -yes", "rescue", "w", "-older-than", "5s")
		d.fails(exitUsage, "say which", "rescue", "w")
		d.fails(exitUsage, "ids go with neither", "rescue", "w", "1", "-held-by", "x")
		all, err := d.client.Consumers(t.Context(), "w")
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		host, _, _ := strings.Cut(all[0].Name, "/")
		d.prints("rescued 1 message\n", "rescue", "w", "-held-by", host, "-older-than", "5s", "-yes", "-delay", "1h")
		if s := d.stats(); s.Delayed != 2 || s.Leased != 0 {
			t.Errorf("%+v", s)
		}
	})
}
