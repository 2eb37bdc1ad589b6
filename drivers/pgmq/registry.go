package pgmq

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// sweepEvery is how many reports there are for one that removes those that have expired.
const sweepEvery = 16

// Report writes the table pgmq.mq_consumers, which is unlogged. Where it cannot, it does
// not try again for a minute.
func (p *Provider) Report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	err := p.check(ctx)
	if err == nil {
		err = p.consumers.refuses()
	}
	if err != nil {
		return err
	}
	if ttl > 0 {
		err = p.report(ctx, r, ttl)
	} else {
		err = p.forgetReport(ctx, r.ID)
	}
	p.consumers.remember(err)
	return err
}

func (p *Provider) report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	r.Name, r.LastError = storable(r.Name), storable(r.LastError)
	report, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := p.ensureTable(ctx, p.pool, &p.consumers); err != nil {
		return err
	}
	text := statement("report", rand.IntN(sweepEvery) == 0)
	return p.writeReport(ctx, text, r.ID, r.Queue, string(report), micros(ttl))
}

// storable leaves out what jsonb does not take.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "") }

func (p *Provider) forgetReport(ctx context.Context, id string) error {
	there, err := p.consumers.exists(ctx, p.pool)
	if err != nil || !there {
		return readErrorOf(ctx, err)
	}
	return p.writeReport(ctx, statement("forget report", nil), id)
}

// writeReport runs a statement. A node that can only be read is no reason to connect to
// another one, as it is for calls that matter.
func (p *Provider) writeReport(ctx context.Context, text string, args ...any) error {
	if err := p.limited(ctx, p.pool, probeLimit, nil, text, args, ignore); err != nil {
		return p.consumers.failed(ctx, err)
	}
	return nil
}

// Consumers reads the table, if it is there.
func (p *Provider) Consumers(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	if there, err := p.consumers.exists(ctx, p.pool); err != nil || !there {
		return nil, readErrorOf(ctx, err)
	}
	var all []driver.ConsumerReport
	err := p.within(ctx, callLimit, statement("consumers", nil), []any{queue}, func(rows row) error {
		r, known, err := scanReport(rows)
		if known {
			all = append(all, r)
		}
		return err
	})
	switch {
	case sqlState(err) == "42P01":
		_ = p.consumers.failed(ctx, err)
		return nil, nil
	case err != nil:
		return nil, p.consumers.failed(ctx, err)
	}
	slices.SortFunc(all, func(a, b driver.ConsumerReport) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// scanReport scans a report, unless it is one that this version does not know.
func scanReport(rows row) (r driver.ConsumerReport, known bool, err error) {
	var id, queue string
	var report []byte
	var seen *time.Time
	if err := rows.Scan(&id, &queue, &report, &seen); err != nil {
		return r, false, err
	}
	known = json.Unmarshal(report, &r) == nil
	r.ID, r.Queue, r.At = id, queue, timeOf(seen)
	return r, known, nil
}
