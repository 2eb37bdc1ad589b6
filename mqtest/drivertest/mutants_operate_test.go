package drivertest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// operating is the part of a mutant that operators use.
type operating struct {
	search         func(ctx context.Context, queue string, r driver.SearchRequest) (driver.Found, error)
	reasons        func(ctx context.Context, queue string, scan int) ([]driver.ReasonCount, int64, error)
	override       func(ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error)
	removeArchived func(ctx context.Context, queue string, ids []string) (int64, error)
	setPaused      func(ctx context.Context, queue string, paused bool, by string) error
	paused         func(ctx context.Context) ([]driver.Pause, error)
	awaitPause     func(ctx context.Context, d time.Duration) error
	report         func(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error
	consumers      func(ctx context.Context, queue string) ([]driver.ConsumerReport, error)
}

func (m *mutant) Search(ctx context.Context, queue string, r driver.SearchRequest) (driver.Found, error) {
	if m.search == nil {
		return driver.Found{}, driver.ErrNotSupported
	}
	return m.search(ctx, queue, r)
}

func (m *mutant) CountReasons(ctx context.Context, queue string, scan int) ([]driver.ReasonCount, int64, error) {
	return m.reasons(ctx, queue, scan)
}

func (m *mutant) Override(ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
	return m.override(ctx, queue, ids, s)
}

func (m *mutant) RemoveArchived(ctx context.Context, queue string, ids []string) (int64, error) {
	return m.removeArchived(ctx, queue, ids)
}

func (m *mutant) SetPaused(ctx context.Context, queue string, paused bool, by string) error {
	return m.setPaused(ctx, queue, paused, by)
}
func (m *mutant) Paused(ctx context.Context) ([]driver.Pause, error) { return m.paused(ctx) }
func (m *mutant) AwaitPause(ctx context.Context, d time.Duration) error {
	return m.awaitPause(ctx, d)
}

func (m *mutant) Report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	return m.report(ctx, r, ttl)
}

func (m *mutant) Consumers(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
	return m.consumers(ctx, queue)
}

// Searches. The reference provider only browses.

// searching is a provider that searches rightly, except for what ask and answer change.
func searching(ask func(*driver.SearchRequest), answer func(driver.SearchRequest, *driver.Found)) func(*mutant) {
	return func(m *mutant) {
		m.search = func(ctx context.Context, queue string, r driver.SearchRequest) (found driver.Found, err error) {
			asked := r
			if ask != nil {
				ask(&r)
			}
			page := r.BrowseRequest
			page.Limit, page.CutBody = m.Caps().BatchLimit(), 0
			all, err := m.Provider.Browse(ctx, queue, page)
			found.End = true
			for i := range all {
				if found.Looked == r.Scan || len(found.Records) == r.Limit {
					found.End = false
					break
				}
				found.Looked++
				found.Last = all[i].ID
				if r.Match.Fits(&all[i]) {
					all[i].Body = all[i].Body[:min(len(all[i].Body), max(r.CutBody, 1<<20*btoi(r.CutBody == 0)))]
					found.Records = append(found.Records, all[i])
				}
			}
			if answer != nil {
				answer(asked, &found)
			}
			return found, err
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func searchesFor(change func(*driver.SearchRequest)) func(*mutant) { return searching(change, nil) }

func searchAnswers(change func(driver.SearchRequest, *driver.Found)) func(*mutant) {
	return searching(nil, change)
}

// fitting keeps what is found only if keep says so, and so must be found wanting.
func fitting(forget func(*driver.Match), keep func(driver.Match, *driver.Record) bool) func(*mutant) {
	return searching(func(r *driver.SearchRequest) { forget(&r.Match) }, func(r driver.SearchRequest, f *driver.Found) {
		f.Records = slices.DeleteFunc(f.Records, func(rec driver.Record) bool { return !keep(r.Match, &rec) })
	})
}

var operateMutations = []mutation{
	{"newest ignored", "BrowseRequest.Newest", browsing(func(r *driver.BrowseRequest) { r.Newest = false }, nil), "browse/newest browse/newest-archived"},
	{"newest overlap", "BrowseRequest.After", browsing(func(r *driver.BrowseRequest) {
		if r.Newest && r.After != "" {
			r.After = ""
		}
	}, nil), "browse/newest"},
	{"ids ignored", "BrowseRequest.IDs", browsing(func(r *driver.BrowseRequest) { r.IDs = nil }, nil), "browse/ids browse/ids-archived"},
	{"bodies not cut", "BrowseRequest.CutBody", browsing(func(r *driver.BrowseRequest) { r.CutBody = 0 }, nil), "browse/cut browse/cut-archived"},
	{"size of what is left", "Record.BodySize is that of the whole", browsing(nil, func(r *driver.Record) { r.BodySize = len(r.Body) }), "browse/cut"},
	{"leased shown as delayed", "Record.State", browsing(nil, func(r *driver.Record) {
		if r.State == driver.StateLeased {
			r.State = driver.StateDelayed
		}
	}), "browse/states search/fits"},
	{"delayed shown as leased", "Record.State", browsing(nil, func(r *driver.Record) {
		if r.State == driver.StateDelayed {
			r.State = driver.StateLeased
		}
	}), "browse/states"},
	{"search finds all", "Match.Fits", searchesFor(func(r *driver.SearchRequest) { r.Match = driver.Match{} }), "search/fits search/archived"},
	{"headers in any case", "Match.Header", searchesFor(func(r *driver.SearchRequest) {
		r.Match.Header = strings.ToLower(r.Match.Header)
	}), "search/fits"},
	{"text has wildcards", "Match.Text: byte for byte", fitting(func(m *driver.Match) { m.Text = "" }, func(m driver.Match, r *driver.Record) bool {
		return strings.Contains(string(r.Body), strings.Trim(m.Text, "%_"))
	}), "search/fits"},
	{"text in any case", "Match.Text: byte for byte", fitting(func(m *driver.Match) { m.Text = "" }, func(m driver.Match, r *driver.Record) bool {
		return strings.Contains(strings.ToLower(string(r.Body)), m.Text)
	}), "search/fits"},
	{"sent since excludes", "Match.SentSince: not before", searchesFor(func(r *driver.SearchRequest) {
		if !r.Match.SentSince.IsZero() {
			r.Match.SentSince = r.Match.SentSince.Add(1)
		}
	}), "search/fits"},
	{"sent before includes", "Match.SentBefore: before", searchesFor(func(r *driver.SearchRequest) {
		if !r.Match.SentBefore.IsZero() {
			r.Match.SentBefore = r.Match.SentBefore.Add(1)
		}
	}), "search/fits"},
	{"search without end", "SearchRequest.Scan", searchesFor(func(r *driver.SearchRequest) { r.Scan = 1 << 30 }), "search/bounded"},
	{"search finds too much", "SearchRequest.Limit", searchesFor(func(r *driver.SearchRequest) { r.Limit++ }), "search/bounded"},
	{"search counts what it found", "Found.Looked", searchAnswers(func(_ driver.SearchRequest, f *driver.Found) { f.Looked = len(f.Records) }), "search/bounded search/fits"},
	{"search stops at what it found", "Found.Last", searchAnswers(func(_ driver.SearchRequest, f *driver.Found) {
		if n := len(f.Records); n > 0 {
			f.Last = f.Records[n-1].ID
		}
	}), "search/bounded"},
	{"search never ends", "Found.End", searchAnswers(func(_ driver.SearchRequest, f *driver.Found) { f.End = false }), "search/bounded"},
	{"search ends at once", "Found.End", searchAnswers(func(_ driver.SearchRequest, f *driver.Found) { f.End = true }), "search/bounded search/goes-on"},
	{"search in cut bodies", "Search looks at whole bodies", fitting(func(m *driver.Match) { m.Text = "" }, func(m driver.Match, r *driver.Record) bool { return m.Fits(r) }), "search/cut"},
	{"search in order only", "SearchRequest.Newest", searchesFor(func(r *driver.SearchRequest) { r.Newest = false }), "search/fits search/goes-on"},
	{"rarest reason first", "CountReasons: most frequent first", counted(func(cs []driver.ReasonCount) { slices.Reverse(cs) }), "reasons/counted"},
	{"first and last swapped", "ReasonCount.First", counted(func(cs []driver.ReasonCount) {
		for i := range cs {
			cs[i].First, cs[i].Last = cs[i].Last, cs[i].First
		}
	}), "reasons/counted"},
	{"reasons of all", "CountReasons looks at the newest scan messages", func(m *mutant) {
		m.reasons = func(ctx context.Context, queue string, _ int) ([]driver.ReasonCount, int64, error) {
			return m.Provider.CountReasons(ctx, queue, 1<<30)
		}
	}, "reasons/bounded"},

	{"override does nothing", "Overrider.Override", overriding(func(m *mutant, _ context.Context, _ string, ids []string, _ driver.Settlement) (int64, error) {
		return int64(len(ids)), nil
	}), "override/ack override/nack override/nack-wakes override/nack-delay override/archive override/move override/keys override/groups"},
	{"override counts ids", "Override returns how many it has found", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		_, err := m.Provider.Override(ctx, queue, ids, s)
		return int64(len(ids)), err
	}), "override/others"},
	{"override fails for what is gone", "ids that are not in the queue are passed over", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		n, err := m.Provider.Override(ctx, queue, ids, s)
		if err == nil && n < int64(len(ids)) {
			err = driver.ErrMessageNotFound
		}
		return n, err
	}), "override/others"},
	{"override ignores the delay", "OpNack: after s.Delay", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		s.Delay = 0
		return m.Provider.Override(ctx, queue, ids, s)
	}), "override/nack-delay"},
	{"override loses the reason", "OpArchive with s.Reason", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		s.Reason = ""
		return m.Provider.Override(ctx, queue, ids, s)
	}), "override/archive override/move"},
	{"override only of visible ones", "Override acts on messages whatever their state", overridesVisible, "override/ack override/nack override/groups"},
	{"override removes archived", "Override acts on messages of the queue", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		n, err := m.Provider.Override(ctx, queue, ids, s)
		if s.Op == driver.OpArchive {
			_, _ = m.Provider.RemoveArchived(ctx, queue, ids)
		}
		return n, err
	}), "override/archive"},
	{"override of nothing", "Override: a missing queue is ErrQueueNotFound", overriding(func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		n, err := m.Provider.Override(ctx, queue, ids, s)
		return n, replaced(err, driver.ErrQueueNotFound, nil)
	}), "override/missing"},
	{"removes the oldest archived", "RemoveArchived deletes the messages with the given ids", func(m *mutant) {
		m.removeArchived = func(ctx context.Context, queue string, ids []string) (int64, error) {
			rs, err := m.Provider.Browse(ctx, queue, driver.BrowseRequest{Archive: true, Limit: 1, Newest: true})
			if err != nil || len(rs) == 0 {
				return 0, err
			}
			return m.Provider.RemoveArchived(ctx, queue, []string{rs[0].ID})
		}
	}, "override/archived"},

	{"pause forgotten", "Paused returns the queues that are paused", func(m *mutant) {
		m.paused = func(context.Context) ([]driver.Pause, error) { return nil, nil }
	}, "pause/stops pause/before pause/listed"},
	{"all paused", "a pause is one queue's", func(m *mutant) {
		m.paused = func(ctx context.Context) ([]driver.Pause, error) {
			ps, err := m.Provider.Paused(ctx)
			names, _ := m.Provider.ListQueues(ctx)
			for _, name := range names {
				if len(ps) > 0 && !slices.ContainsFunc(ps, func(p driver.Pause) bool { return p.Queue == name }) {
					ps = append(ps, driver.Pause{Queue: name, Since: time.Now()})
				}
			}
			slices.SortFunc(ps, func(a, b driver.Pause) int { return strings.Compare(a.Queue, b.Queue) })
			return ps, err
		}
	}, "pause/others"},
	{"last pause counts", "to pause a queue that is paused changes nothing", func(m *mutant) {
		m.setPaused = func(ctx context.Context, queue string, paused bool, by string) error {
			if err := m.Provider.SetPaused(ctx, queue, false, ""); err != nil || !paused {
				return err
			}
			return m.Provider.SetPaused(ctx, queue, true, by)
		}
	}, "pause/listed"},
	{"resume resumes all", "SetPaused of one queue", func(m *mutant) {
		m.setPaused = func(ctx context.Context, queue string, paused bool, by string) error {
			if ps, _ := m.Provider.Paused(ctx); !paused {
				for _, p := range ps {
					_ = m.Provider.SetPaused(ctx, p.Queue, false, "")
				}
			}
			return m.Provider.SetPaused(ctx, queue, paused, by)
		}
	}, "pause/listed"},
	{"pauses what is missing", "SetPaused: a missing queue is ErrQueueNotFound", func(m *mutant) {
		m.setPaused = func(ctx context.Context, queue string, paused bool, by string) error {
			return replaced(m.Provider.SetPaused(ctx, queue, paused, by), driver.ErrQueueNotFound, nil)
		}
	}, "pause/missing"},
	{"pause outlives the queue", "DropQueue ends the pause", pauseOutlives, "pause/dropped"},
	{"await is deaf", "AwaitPause returns after d at the latest", func(m *mutant) {
		m.awaitPause = func(ctx context.Context, d time.Duration) error { return m.Provider.AwaitPause(ctx, time.Hour) }
	}, "pause/await"},
	{"await ignores its ctx", "AwaitPause returns soon after its ctx ended", func(m *mutant) {
		m.awaitPause = func(_ context.Context, d time.Duration) error {
			return m.Provider.AwaitPause(context.Background(), min(d, time.Minute))
		}
	}, "pause/await"},

	{"reports lost", "Registry", func(m *mutant) {
		m.report = func(context.Context, driver.ConsumerReport, time.Duration) error { return nil }
	}, "report/held report/replaced report/expires report/queues"},
	{"reports stay", "a ttl of 0 removes a report", func(m *mutant) {
		m.report = func(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
			if ttl == 0 {
				ttl = time.Hour
			}
			return m.Provider.Report(ctx, r, ttl)
		}
	}, "report/held report/replaced"},
	{"reports never expire", "Report keeps a report for ttl", func(m *mutant) {
		m.report = func(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
			return m.Provider.Report(ctx, r, 24*time.Hour*time.Duration(btoi(ttl > 0)))
		}
	}, "report/expires"},
	{"reports pile up", "Report replaces an earlier one with the same ID", func(m *mutant) {
		m.report = func(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
			if r.Name != "" {
				r.ID += r.Name
			}
			return m.Provider.Report(ctx, r, ttl)
		}
	}, "report/replaced"},
	{"held messages not reported", "ConsumerReport.Longest", reporting(func(r *driver.ConsumerReport) { r.Longest = nil }), "report/held report/replaced"},
	{"reports of all queues", "Consumers returns the reports on a queue", func(m *mutant) {
		m.consumers = func(ctx context.Context, _ string) ([]driver.ConsumerReport, error) {
			return m.Provider.Consumers(ctx, "")
		}
	}, "report/queues"},
	{"reports upside down", "Consumers: sorted by queue, name and ID", func(m *mutant) {
		m.consumers = func(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
			rs, err := m.Provider.Consumers(ctx, queue)
			slices.Reverse(rs)
			return rs, err
		}
	}, "report/queues"},
	{"reports without a time", "ConsumerReport.At", reporting(func(r *driver.ConsumerReport) { r.At = time.Time{} }), "report/held report/replaced"},
}

// browsing changes what is asked of Browse, and each record that it shows.
func browsing(ask func(*driver.BrowseRequest), show func(*driver.Record)) func(*mutant) {
	return func(m *mutant) {
		m.browse = func(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
			if ask != nil {
				ask(&r)
			}
			rs, err := m.Provider.Browse(ctx, queue, r)
			for i := range rs {
				if show != nil {
					show(&rs[i])
				}
			}
			return rs, err
		}
	}
}

func counted(change func([]driver.ReasonCount)) func(*mutant) {
	return func(m *mutant) {
		m.reasons = func(ctx context.Context, queue string, scan int) ([]driver.ReasonCount, int64, error) {
			cs, looked, err := m.Provider.CountReasons(ctx, queue, scan)
			change(cs)
			return cs, looked, err
		}
	}
}

func overriding(act func(m *mutant, ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error)) func(*mutant) {
	return func(m *mutant) {
		m.override = func(ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
			return act(m, ctx, queue, ids, s)
		}
	}
}

func overridesVisible(m *mutant) {
	m.override = func(ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
		rs, err := m.Provider.Browse(ctx, queue, driver.BrowseRequest{IDs: ids, Limit: max(1, len(ids))})
		if err != nil {
			return 0, err
		}
		var visible []string
		for _, r := range rs {
			if r.State == driver.StateVisible {
				visible = append(visible, r.ID)
			}
		}
		return m.Provider.Override(ctx, queue, visible, s)
	}
}

func pauseOutlives(m *mutant) {
	left := make(map[string]bool)
	m.drop = func(ctx context.Context, queue string) error {
		ps, _ := m.Provider.Paused(ctx)
		left[queue] = slices.ContainsFunc(ps, func(p driver.Pause) bool { return p.Queue == queue })
		return m.Provider.DropQueue(ctx, queue)
	}
	m.ensure = func(ctx context.Context, queue string, o driver.QueueOptions) error {
		err := m.Provider.EnsureQueue(ctx, queue, o)
		if err == nil && left[queue] {
			err = m.Provider.SetPaused(ctx, queue, true, "")
		}
		return err
	}
}

func reporting(change func(*driver.ConsumerReport)) func(*mutant) {
	return func(m *mutant) {
		m.consumers = func(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
			rs, err := m.Provider.Consumers(ctx, queue)
			for i := range rs {
				change(&rs[i])
			}
			return rs, err
		}
	}
}
