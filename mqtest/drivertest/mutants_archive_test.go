package drivertest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// Rule 5.

var archiveMutations = []mutation{
	{"archive drops the body", "5: the body is kept", archiving(func(r *driver.Record) { r.Body = nil }), "archive/keeps-all"},
	{"archive drops headers", "5: headers are kept", archiving(func(r *driver.Record) {
		maps.DeleteFunc(r.Headers, func(k, _ string) bool { return k != driver.HeaderReason })
	}), "archive/keeps-all"},
	{"archive drops the read count", "5: the read count is kept", archiving(func(r *driver.Record) { r.ReadCount = 0 }), "archive/keeps-all"},
	{"archive drops the reason", "5: the reason is kept", archiving(func(r *driver.Record) { delete(r.Headers, driver.HeaderReason) }), "archive/keeps-all archive/reasons"},
	{"archive drops EnqueuedAt", "5: times are kept", archiving(func(r *driver.Record) { r.EnqueuedAt = r.ArchivedAt }), "archive/keeps-all"},
	{"archive drops ArchivedAt", "Record.ArchivedAt", archiving(func(r *driver.Record) { r.ArchivedAt = time.Time{} }), "archive/keeps-all"},
	{"archive deletes", "5: archive loses nothing", settling(func(_ *mutant, s *driver.Settlement) { s.Op = max(s.Op%driver.OpArchive, driver.OpAck) }), "archive/"},
	{"archive leaves in the queue", "OpArchive sets the message aside", archiveNacks, "archive/settles"},
}

func archiveNacks(m *mutant) {
	settling(func(_ *mutant, s *driver.Settlement) {
		if s.Op == driver.OpArchive {
			*s = driver.Settlement{Receipt: s.Receipt, Op: driver.OpNack}
		}
	})(m)
}

// Rule 6.

var redriveMutations = []mutation{
	{"redrive keeps the id", "6: a new ID", showing(keepID), "redrive/new-message"},
	{"redrive loses the origin", "6: header mq-origin", showing(func(d *driver.Delivery) { delete(d.Headers, driver.HeaderOrigin) }), "redrive/new-message"},
	{"redrive keeps the read count", "6: read count 0", showing(countOn), "redrive/new-message"},
	{"redrive miscounts", "Redrive returns how many", redriveMiscounts, "redrive/all"},
	{"redrive ignores the ids", "Redrive moves those with the given ids", redrivesAll, "redrive/ids"},
	{"redrive ignores the limit", "Redrive moves limit at most", redrivesWithoutLimit, "redrive/limit"},
	{"move loses the reason", "6: a move keeps the reason", settling(func(_ *mutant, s *driver.Settlement) { s.Reason = "" }), "move/new-message"},
	{"move loses the origin", "6: header mq-origin", showing(func(d *driver.Delivery) { delete(d.Headers, driver.HeaderOrigin) }), "move/new-message"},
	{"move keeps the read count", "6: read count 0", showing(countOn), "move/new-message"},
	{"move to nowhere fails all", "1: in a batch the rest takes effect", moveFailsAll, "move/missing"},
	{"move to nowhere loses", "a move that fails has no effect", movesToNowhere, "move/missing"},
}

func keepID(d *driver.Delivery) {
	if _, id, ok := strings.Cut(d.Headers[driver.HeaderOrigin], "/"); ok {
		d.ID = id
	}
}

func countOn(d *driver.Delivery) {
	if d.Headers[driver.HeaderOrigin] != "" {
		d.ReadCount++
	}
}

func redriveMiscounts(m *mutant) {
	m.redrive = func(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
		n, err := m.Provider.Redrive(ctx, queue, ids, limit)
		return n + 1, err
	}
}

func redrivesAll(m *mutant) {
	m.redrive = func(ctx context.Context, queue string, _ []string, limit int) (int64, error) {
		return m.Provider.Redrive(ctx, queue, nil, limit)
	}
}

func redrivesWithoutLimit(m *mutant) {
	m.redrive = func(ctx context.Context, queue string, ids []string, _ int) (int64, error) {
		return m.Provider.Redrive(ctx, queue, ids, 1000)
	}
}

func moveFailsAll(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		for _, item := range s {
			if item.Op == driver.OpMove {
				if _, err := m.Provider.Stats(ctx, item.To); err != nil {
					return err
				}
			}
		}
		return m.Provider.Settle(ctx, queue, s)
	}
}

func movesToNowhere(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return perItem(len(s), func(i int) error {
			err := m.Provider.Settle(ctx, queue, s[i:i+1])
			if errors.Is(err, driver.ErrQueueNotFound) {
				_ = m.Provider.Settle(ctx, queue, []driver.Settlement{{Receipt: s[i].Receipt, Op: driver.OpAck}})
			}
			return err
		})
	}
}
