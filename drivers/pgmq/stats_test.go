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
		s.OldestAge, s.NewestAge, s.ScrapedAt = 24*time.Hour, time.Microsecond, at
		return s
	}
	row := func(visible, invisible, leased, archived int64) values {
		return values{visible, invisible, leased, archived, day, int64(1), int64(99), at}
	}
	none := values{int64(0), int64(0), int64(0)}
	for _, tt := range []struct {
		name            string
		row             values
		pages           int64
		sample, archive values
		want            driver.Stats
	}{
		{"exact", row(5, 7, 3, 2), 0, nil, nil, ages(driver.Stats{Total: 12, Visible: 5, Leased: 3, Delayed: 4, Archived: 2, TotalSent: 99})},
		{"nothing", values{int64(0), int64(0), int64(0), int64(0), nil, nil, int64(0), at}, 0, nil, nil, driver.Stats{OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"no right to the sequence", values{int64(0), int64(0), int64(0), int64(0), nil, nil, nil, at}, 0, nil, nil, driver.Stats{TotalSent: -1, OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"from the future", values{int64(1), int64(0), int64(0), int64(0), int64(-5), int64(-5), int64(1), at}, 0, nil, nil, driver.Stats{Total: 1, Visible: 1, TotalSent: 1, ScrapedAt: at}},
		{"as much as is counted", row(exactUpTo, exactUpTo, 0, exactUpTo), 0, nil, nil, ages(driver.Stats{Total: 2 * exactUpTo, Visible: exactUpTo, Delayed: exactUpTo, Archived: exactUpTo, TotalSent: 99})},

		{"large archive", row(5, 0, 0, over), 4000, nil, values{int64(5000), int64(0), int64(0)}, ages(driver.Stats{Total: 5, Visible: 5, Archived: 50_000, TotalSent: 99, Approximate: true})},
		{"large archive, all of it looked at", row(5, 0, 0, over), 400, nil, values{int64(12_000), int64(0), int64(0)}, ages(driver.Stats{Total: 5, Visible: 5, Archived: 12_000, TotalSent: 99, Approximate: true})},
		{"many visible", row(over, 10, 4, 0), 4000, values{int64(5001), int64(5000), int64(1)}, nil, ages(driver.Stats{Total: 50_010, Visible: 50_000, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many visible, none of them looked at", row(over, 10, 4, 0), 4000, none, nil, ages(driver.Stats{Total: over + 10, Visible: over, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many invisible", row(10, over, over, 0), 4000, values{int64(5001), int64(1), int64(5000)}, nil, ages(driver.Stats{Total: 50_010, Visible: 10, Leased: 50_000, TotalSent: 99, Approximate: true})},
		{"half of them leased", row(exactUpTo, over, over, 0), 4000, values{int64(4000), int64(1000), int64(1500)}, nil, ages(driver.Stats{Total: 40_000, Visible: exactUpTo, Leased: 15_000, Delayed: 15_000, TotalSent: 99, Approximate: true})},
		{"many of both", row(over, over, 0, 0), 4000, values{int64(10_000), int64(7500), int64(0)}, nil, ages(driver.Stats{Total: 100_000, Visible: 75_000, Delayed: 25_000, TotalSent: 99, Approximate: true})},
	} {
		p := (&fake{answer: func(_ context.Context, text string, args values) ([]values, error) {
			switch share := min(100, 100*400/float64(max(tt.pages, 1))); {
			case text == jobs.stats && args[0] == int64(exactUpTo):
				return []values{tt.row}, nil
			case strings.Contains(text, "pg_relation_size"):
				return []values{{tt.pages}}, nil
			case text == jobs.sample && args[0] == share:
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
