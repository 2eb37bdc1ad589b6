package pgmq

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestStats checks exact figures, and estimates where there is too much to
// count: more than exactUpTo.
func TestStats(t *testing.T) {
	const over = exactUpTo + 1
	at := sentAt
	day := int64(24 * time.Hour / time.Microsecond)
	ages := func(s driver.Stats) driver.Stats {
		s.OldestAge, s.NewestAge, s.Lag, s.ScrapedAt = 24*time.Hour, time.Microsecond, max(s.Lag, 7*time.Microsecond), at
		return s
	}
	row := func(due, hidden, leased, archived int64) values {
		return values{due, hidden, leased, false, int64(0), int64(7), archived, day, int64(1), int64(99), at}
	}
	grouped := func(due, hidden, blocked int64, lag any) values {
		return values{due, hidden, hidden, true, blocked, lag, int64(0), day, int64(1), int64(99), at}
	}
	empty := func(sent any) values {
		return values{int64(0), int64(0), int64(0), false, int64(0), nil, int64(0), nil, nil, sent, at}
	}
	none := values{int64(0), int64(0), int64(0), int64(0)}
	for _, tt := range []struct {
		name            string
		row             values
		pages           int64
		sample, archive values
		want            driver.Stats
	}{
		{"exact", row(5, 7, 3, 2), 0, nil, nil, ages(driver.Stats{Total: 12, Visible: 5, Leased: 3, Delayed: 4, Archived: 2, TotalSent: 99})},
		{"nothing", empty(int64(0)), 0, nil, nil, driver.Stats{OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"no right to the sequence", empty(nil), 0, nil, nil, driver.Stats{TotalSent: -1, OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"from the future", values{int64(1), int64(0), int64(0), false, int64(0), int64(-5), int64(0), int64(-5), int64(-5), int64(1), at}, 0, nil, nil, driver.Stats{Total: 1, Visible: 1, TotalSent: 1, ScrapedAt: at}},
		{"as much as is counted", row(exactUpTo, exactUpTo, 0, exactUpTo), 0, nil, nil, ages(driver.Stats{Total: 2 * exactUpTo, Visible: exactUpTo, Delayed: exactUpTo, Archived: exactUpTo, TotalSent: 99})},

		{"large archive", row(5, 0, 0, over), 4000, nil, values{int64(5000), int64(0), int64(0), int64(0)}, ages(driver.Stats{Total: 5, Visible: 5, Archived: 50_000, TotalSent: 99, Approximate: true})},
		{"large archive, all of it looked at", row(5, 0, 0, over), 400, nil, values{int64(12000), int64(0), int64(0), int64(0)}, ages(driver.Stats{Total: 5, Visible: 5, Archived: 12_000, TotalSent: 99, Approximate: true})},
		{"many visible", row(over, 10, 4, 0), 4000, values{int64(5001), int64(5000), int64(1), int64(0)}, nil, ages(driver.Stats{Total: 50_010, Visible: 50_000, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many visible, none of them looked at", row(over, 10, 4, 0), 4000, none, nil, ages(driver.Stats{Total: over + 10, Visible: over, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many invisible", row(10, over, over, 0), 4000, values{int64(5001), int64(1), int64(5000), int64(0)}, nil, ages(driver.Stats{Total: 50_010, Visible: 10, Leased: 50_000, TotalSent: 99, Approximate: true})},
		{"half of them leased", row(exactUpTo, over, over, 0), 4000, values{int64(4000), int64(1000), int64(1500), int64(0)}, nil, ages(driver.Stats{Total: 40_000, Visible: exactUpTo, Leased: 15_000, Delayed: 15_000, TotalSent: 99, Approximate: true})},
		{"many of both", row(over, over, 0, 0), 4000, values{int64(10000), int64(7500), int64(0), int64(0)}, nil, ages(driver.Stats{Total: 100_000, Visible: 75_000, Delayed: 25_000, TotalSent: 99, Approximate: true})},

		{"blocked", grouped(5, 2, 3, int64(9)), 0, nil, nil, ages(driver.Stats{Total: 7, Visible: 2, Leased: 2, Blocked: 3, TotalSent: 99, Lag: 9 * time.Microsecond})},
		{"all blocked", grouped(5, 2, 5, nil), 0, nil, nil, driver.Stats{Total: 7, Leased: 2, Blocked: 5, TotalSent: 99, OldestAge: 24 * time.Hour, NewestAge: time.Microsecond, ScrapedAt: at}},
		{"many blocked", grouped(over, 2, over, nil), 4000, values{int64(5000), int64(5000), int64(0), int64(3000)}, nil, driver.Stats{
			Total: 50_002, Visible: 20_000, Leased: 2, Blocked: 30_000, TotalSent: 99, OldestAge: 24 * time.Hour, NewestAge: time.Microsecond, Lag: -1, Approximate: true, ScrapedAt: at,
		}},
		{"blocked by many", grouped(5, over, 3, int64(7)), 4000, values{int64(5000), int64(0), int64(5000), int64(0)}, nil, ages(driver.Stats{
			Total: 50_005, Visible: 5, Leased: 50_000, Blocked: -1, TotalSent: 99, Approximate: true,
		})},
	} {
		p := (&fake{answer: func(_ context.Context, text string, args values) ([]values, error) {
			switch share := min(100, 100*400/float64(max(tt.pages, 1))); {
			case text == jobs.stats && args[0] == int64(exactUpTo):
				return []values{tt.row}, nil
			case strings.Contains(text, "pg_relation_size"):
				return []values{{tt.pages}}, nil
			case text == jobs.sample && args[0] == int64(exactUpTo) && args[1] == share:
				return []values{tt.sample}, nil
			case text == jobs.sampleArchive && args[0] == share:
				return []values{tt.archive}, nil
			}
			return []values{layout113.row()}, nil
		}}).open(t)
		if s, err := p.Stats(t.Context(), "jobs"); err != nil || s != tt.want {
			t.Errorf("%s: Stats is\n%+v\nwant\n%+v: %v", tt.name, s, tt.want, err)
		}
	}
}
