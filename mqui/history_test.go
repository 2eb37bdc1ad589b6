package mqui

import (
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
)

func TestRates(t *testing.T) {
	stats := func(sent, total int64) mq.Stats { return mq.Stats{TotalSent: sent, Total: total} }
	for _, c := range []struct {
		what          string
		before, after mq.Stats
		sent, done    float32
	}{
		{"idle", stats(10, 5), stats(10, 5), 0, 0},
		{"sent alone", stats(10, 5), stats(30, 25), 2, 0},
		{"done alone", stats(10, 5), stats(10, 0), 0, 0.5},
		{"both", stats(0, 0), stats(100, 40), 10, 6},
		{"purged", stats(100, 100), stats(100, 0), 0, 10},
		{"made again", stats(100, 50), stats(0, 0), 0, 5},
		{"redriven past the count", stats(10, 0), stats(10, 20), 0, 0},
		{"unknown", stats(-1, 5), stats(-1, 5), unknown, unknown},
		{"total unknown", stats(0, -1), stats(10, -1), 1, unknown},
	} {
		sent, done := rates(c.before, c.after, 10*time.Second)
		equal(t, c.what+": sent", perSecond(sent), perSecond(c.sent))
		equal(t, c.what+": done", perSecond(done), perSecond(c.done))
	}
	if sent, _ := rates(stats(1, 1), stats(2, 2), 0); known(sent) {
		t.Error("a rate without time")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	for keep, want := range map[bool]int{true: 181, false: 2} {
		h := history{keep: keep}
		begin := time.Now()
		for i := range 1000 {
			h.add(begin.Add(time.Duration(i)*5*time.Second), mq.Stats{TotalSent: int64(i * 10), Archived: int64(i)}, 181)
		}
		equal(t, "points", len(h.points), want)
		equal(t, "grown", h.grown(), int64(want-1))
		sent, done := h.rate()
		equal(t, "sent", sent, 2)
		equal(t, "done", done, 2)
	}
}

// TestStuck needs a whole minute in which nothing is done.
func TestStuck(t *testing.T) {
	run := func(n int, at func(i int) mq.Stats) bool {
		h := history{keep: true}
		begin := time.Now()
		for i := range n {
			h.add(begin.Add(time.Duration(i)*5*time.Second), at(i), 181)
		}
		return h.stuck()
	}
	waiting := func(i int) mq.Stats {
		return mq.Stats{Total: int64(i), TotalSent: int64(i), Visible: int64(i), Lag: time.Duration(i) * 5 * time.Second}
	}
	equal(t, "a minute", run(14, waiting), true)
	equal(t, "less than a minute", run(12, waiting), false)
	equal(t, "nothing waits", run(20, func(i int) mq.Stats { return mq.Stats{} }), false)
	equal(t, "done", run(20, func(i int) mq.Stats { s := waiting(i); s.Total = 1; return s }), false)
	equal(t, "a short lag", run(20, func(i int) mq.Stats { s := waiting(i); s.Lag = time.Second; return s }), false)
	equal(t, "an unknown lag", run(20, func(i int) mq.Stats { s := waiting(i); s.Lag = -1; return s }), true)
	equal(t, "unknown counts", run(20, func(i int) mq.Stats { s := unknownStats(); s.Visible = 5; return s }), false)
	equal(t, "blocked", run(20, func(i int) mq.Stats {
		s := waiting(i)
		s.Visible, s.Blocked, s.Lag, s.OldestAge = 0, 3, 0, time.Hour
		return s
	}), true)
}

func TestWorstFirst(t *testing.T) {
	rows := []row{
		{Queue: "b"},
		{Queue: "a"},
		{Queue: "lag", Stats: mq.Stats{Lag: time.Hour}},
		{Queue: "short", Stats: mq.Stats{Lag: 3 * time.Second}},
		{Queue: "dead", Grown: 1},
		{Queue: "deader", Grown: 9},
		{Queue: "stuck", Stuck: true},
		{Queue: "error", Err: "down"},
	}
	worstFirst(rows)
	var got strings.Builder
	for _, r := range rows {
		got.WriteString(r.Queue + " ")
	}
	equal(t, "order", got.String(), "error stuck deader dead lag a b short ")
}
