package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestArchivePurgeReason(t *testing.T) {
	d := newDesk(t, "mem")
	d.send(text("1"), text("2"), text("3"))
	r := d.receipts("3")
	d.must("archive", "-reason", "card declined", r[0], r[1])
	d.must("archive", "-reason", "bank: 500", r[2])
	d.fails(exitUsage, "delete the archived messages with the reason card of w: give -yes", "archive", "purge", "w", "-reason", "card")
	d.prints("purged 0 messages\n", "archive", "purge", "w", "-reason", "card", "-older-than", "1h", "-yes")
	d.prints("purged 2 messages\n", "archive", "purge", "w", "-reason", "card", "-yes")
	if s := d.stats(); s.Archived != 1 {
		t.Errorf("%+v", s)
	}
}

// TestEachArchived: batches, a limit, and nothing that came after the begin.
func TestEachArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		const n = 2500
		archive := func() {
			d.send(slices.Repeat([]mq.Message{text("1")}, n)...)
			if err := rejectAll(t.Context(), d.client.Queue("w")); err != nil {
				t.Fatal(err)
			}
		}
		archive()
		begin := time.Now()
		archive()
		for _, limit := range []int64{1, 1000, 1500, math.MaxInt64} {
			calls, ids := 0, make(map[string]bool)
			done, err := eachArchived(t.Context(), d.client.Queue("w"), begin, "bad", limit, func(_ context.Context, part []string) (int64, error) {
				calls++
				for _, id := range part {
					ids[id] = true
				}
				return int64(len(part)), nil
			})
			if want := min(limit, n); done != want || int64(len(ids)) != want || calls > 3 || err != nil {
				t.Errorf("limit %d: %d of %d in %d calls, %v", limit, done, len(ids), calls, err)
			}
		}
		done, err := eachArchived(t.Context(), d.client.Queue("w"), begin, "bad", n, func(context.Context, []string) (int64, error) {
			return 1, errors.New("no")
		})
		if done != 1 || err == nil {
			t.Errorf("it goes on after an error: %d, %v", done, err)
		}
	})
}
