package drivertest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// Browse and Stats.

var lookMutations = []mutation{
	{"peek leases", "Browse changes nothing", peekLeases(time.Hour), "peek/leaves-alone"},
	{"peek counts", "Browse changes nothing", peekLeases(1), "peek/leaves-alone"},
	{"peek hides leased", "Browse shows records whatever their state", peekHides, "peek/all-states"},
	{"peek shows the youngest first", "Browse: oldest first", peeks(func(rs []driver.Record) []driver.Record { slices.Reverse(rs); return rs }), "peek/pages"},
	{"peek shows too much", "BrowseRequest.Limit", peekOverLimit, "peek/pages"},
	{"pages after anything", "BrowseRequest.After", peeksAfterAnything, "peek/after-no-id"},
	{"pages overlap", "BrowseRequest.After", pagesSkip, "peek/pages archive/pages"},
	{"stats off by one", "Stats counts", counting(func(s *driver.Stats) { s.Visible++; s.Total++ }), "stats/transitions"},
	{"leased counted as visible", "Stats.Leased", counting(func(s *driver.Stats) { s.Visible, s.Leased = s.Visible+s.Leased, 0 }), "stats/transitions"},
	{"delayed not counted", "Stats.Delayed", counting(func(s *driver.Stats) { s.Total, s.Delayed = s.Total-s.Delayed, 0 }), "delay/counted"},
	{"delayed counted as leased", "Stats.Delayed", counting(func(s *driver.Stats) { s.Leased, s.Delayed = s.Leased+s.Delayed, 0 }), "delay/counted"},
	{"archived not counted", "Stats.Archived", counting(func(s *driver.Stats) { s.Archived = 0 }), "archive/counted"},
	{"total sent shrinks", "Stats.TotalSent", counting(func(s *driver.Stats) { s.TotalSent = s.Total }), "stats/total-sent"},
	{"ages swapped", "Stats.OldestAge", counting(func(s *driver.Stats) { s.OldestAge, s.NewestAge = s.NewestAge, s.OldestAge }), "stats/ages"},
	{"age of nothing is 0", "Stats.OldestAge is -1 if the queue is empty", counting(func(s *driver.Stats) { s.OldestAge = max(s.OldestAge, 0) }), "stats/ages"},
	{"lag since the send", "Stats.Lag counts from when a message became due", counting(func(s *driver.Stats) {
		if s.Visible > 0 {
			s.Lag = s.OldestAge
		}
	}), "stats/lag"},
	{"lag of a leased message", "Stats.Lag is 0 if nothing is visible", counting(func(s *driver.Stats) { s.Lag = max(s.Lag, s.OldestAge) }), "stats/lag"},
	{"blocked counted as visible", "Stats.Blocked", counting(func(s *driver.Stats) { s.Visible, s.Blocked = s.Visible+s.Blocked, 0 }), "stats/blocked"},
	{"figure unknown", "Caps.ExactStats: no figure is -1", counting(func(s *driver.Stats) { s.Leased = -1 }), "stats/known"},
}

func peekLeases(visibility time.Duration) func(*mutant) {
	return func(m *mutant) {
		m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
			rs, err := m.Provider.Browse(ctx, queue, r)
			if err == nil && !r.Archive {
				_, err = m.Provider.Receive(ctx, queue, driver.ReceiveRequest{Max: 1, Visibility: visibility})
			}
			return rs, err
		}
	}
}

func peeks(change func([]driver.Record) []driver.Record) func(*mutant) {
	return func(m *mutant) {
		m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
			rs, err := m.Provider.Browse(ctx, queue, r)
			return change(rs), err
		}
	}
}

func peekHides(m *mutant) {
	peeks(func(rs []driver.Record) []driver.Record {
		return slices.DeleteFunc(rs, func(r driver.Record) bool { return r.VisibleAt.After(time.Now()) })
	})(m)
}

func peekOverLimit(m *mutant) {
	m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
		r.Limit++
		return m.Provider.Browse(ctx, queue, r)
	}
}

func peeksAfterAnything(m *mutant) {
	m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
		if _, err := strconv.Atoi(r.After); err != nil {
			r.After = ""
		}
		return m.Provider.Browse(ctx, queue, r)
	}
}

// pagesSkip loses a record between two pages.
func pagesSkip(m *mutant) {
	m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
		rs, err := m.Provider.Browse(ctx, queue, r)
		if r.After != "" && len(rs) > 1 {
			rs = rs[1:]
		}
		return rs, err
	}
}

func counting(change func(*driver.Stats)) func(*mutant) {
	return func(m *mutant) {
		m.stats = func(ctx context.Context, queue string) (driver.Stats, error) {
			s, err := m.Provider.Stats(ctx, queue)
			change(&s)
			return s, err
		}
	}
}
