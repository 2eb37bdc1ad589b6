package faults

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// TestWrongClock runs a client in the year 2000, where a bubble begins: only
// the server's clock decides what is visible, leased and how old.
func TestWrongClock(t *testing.T) {
	outside := newBase(t)
	outside.queue(outside.client(), "jobs")
	eachLibrary(t, func(t *testing.T, library string) {
		outside.exec("TRUNCATE pgmq.q_jobs")
		synctest.Test(t, func(t *testing.T) {
			if y := time.Now().Year(); y != 2000 {
				t.Fatalf("it is %d", y)
			}
			b := outside.of(t)
			b.wrongClock(b.client("driver=" + library).Queue("jobs"))
		})
	})
}

func (b *base) wrongClock(q *mq.Queue) {
	b.Helper()
	_, err := q.SendAll(b.Context(), []*mq.Message{{}, {Delay: time.Hour}})
	b.ok(err)
	d := b.one(q)
	if held := d.VisibleAt.Sub(d.EnqueuedAt); d.EnqueuedAt.Year() == 2000 || held < time.Hour || held > 61*time.Minute {
		b.Errorf("sent at %v, leased until %v", d.EnqueuedAt, d.VisibleAt)
	}
	b.ok(d.Extend(b.Context(), time.Minute))
	s, err := q.Stats(b.Context())
	b.ok(err)
	if s.Leased != 1 || s.Delayed != 1 || s.OldestAge > time.Minute || s.ScrapedAt.Year() == 2000 {
		b.Errorf("stats %+v", s)
	}
	b.ok(d.Nack(b.Context(), 0))
	b.ok(b.one(q).Archive(b.Context(), ""))
	n, err := q.PurgeArchive(b.Context(), time.Minute)
	if b.ok(err); n != 0 {
		b.Error("purged what was archived just now")
	}
}
