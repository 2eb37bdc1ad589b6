package pgmq

import (
	"context"
	sqldriver "database/sql/driver"
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
	row := func(visible, invisible, leased, archived int64, rows, archivedRows, share sqldriver.Value) values {
		return values{visible, invisible, leased, archived, rows, archivedRows, share, day, int64(1), int64(99), at}
	}
	for _, tt := range []struct {
		name string
		row  values
		want driver.Stats
	}{
		{"exact", row(5, 7, 3, 2, int64(1_000_000), int64(1_000_000), 0.5), ages(driver.Stats{Total: 12, Visible: 5, Leased: 3, Delayed: 4, Archived: 2, TotalSent: 99})},
		{"nothing", values{int64(0), int64(0), int64(0), int64(0), nil, nil, nil, nil, nil, int64(0), at}, driver.Stats{OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"no right to the sequence", values{int64(0), int64(0), int64(0), int64(0), nil, nil, nil, nil, nil, nil, at}, driver.Stats{TotalSent: -1, OldestAge: -1, NewestAge: -1, ScrapedAt: at}},
		{"from the future", values{int64(1), int64(0), int64(0), int64(0), nil, nil, nil, int64(-5), int64(-5), int64(1), at}, driver.Stats{Total: 1, Visible: 1, TotalSent: 1, ScrapedAt: at}},
		{"as much as is counted", row(exactUpTo, exactUpTo, 0, exactUpTo, int64(7), int64(7), 0.5), ages(driver.Stats{Total: 2 * exactUpTo, Visible: exactUpTo, Delayed: exactUpTo, Archived: exactUpTo, TotalSent: 99})},

		{"large archive", row(5, 0, 0, over, int64(5), int64(50_000), nil), ages(driver.Stats{Total: 5, Visible: 5, Archived: 50_000, TotalSent: 99, Approximate: true})},
		{"large archive, never analysed", row(5, 0, 0, over, nil, nil, nil), ages(driver.Stats{Total: 5, Visible: 5, Archived: over, TotalSent: 99, Approximate: true})},
		{"many visible", row(over, 10, 4, 0, int64(50_010), nil, nil), ages(driver.Stats{Total: 50_010, Visible: 50_000, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many visible, never analysed", row(over, 10, 4, 0, nil, nil, nil), ages(driver.Stats{Total: over + 10, Visible: over, Leased: 4, Delayed: 6, TotalSent: 99, Approximate: true})},
		{"many invisible", row(10, over, over, 0, int64(50_010), nil, nil), ages(driver.Stats{Total: 50_010, Visible: 10, Leased: 50_000, TotalSent: 99, Approximate: true})},
		{"half of them leased", row(exactUpTo, over, over/2, 0, int64(40_000), nil, nil), ages(driver.Stats{Total: 40_000, Visible: exactUpTo, Leased: 14_998, Delayed: 15_002, TotalSent: 99, Approximate: true})},
		{"all that is counted visible", row(exactUpTo, over, 0, 0, int64(50_010), nil, 0.9), ages(driver.Stats{Total: 50_010, Visible: exactUpTo, Delayed: 50_010 - exactUpTo, TotalSent: 99, Approximate: true})},
		{"all that is counted invisible", row(over, exactUpTo, 0, 0, int64(50_010), nil, 0.1), ages(driver.Stats{Total: 50_010, Visible: 50_010 - exactUpTo, Delayed: exactUpTo, TotalSent: 99, Approximate: true})},
		{"many of both", row(over, over, 0, 0, int64(100_000), nil, 0.75), ages(driver.Stats{Total: 100_000, Visible: 75_000, Delayed: 25_000, TotalSent: 99, Approximate: true})},
		{"many of both, all visible by the histogram", row(over, over, 0, 0, int64(100_000), nil, 1.0), ages(driver.Stats{Total: 100_000, Visible: 100_000 - over, Delayed: over, TotalSent: 99, Approximate: true})},
		{"many of both, no histogram", row(over, over, 0, 0, int64(100_000), nil, nil), ages(driver.Stats{Total: 100_000, Visible: over, Delayed: 100_000 - over, TotalSent: 99, Approximate: true})},
	} {
		p := (&fake{answer: func(_ context.Context, text string, args values) ([]values, error) {
			if text == jobs.stats && args[0] == int64(exactUpTo) {
				return []values{tt.row}, nil
			}
			return []values{layout113.row()}, nil
		}}).open(t)
		if s, err := p.Stats(t.Context(), "jobs"); err != nil || s != tt.want {
			t.Errorf("%s: Stats is\n%+v\nwant\n%+v: %v", tt.name, s, tt.want, err)
		}
	}
}
