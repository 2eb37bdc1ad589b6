package pgmq

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// exactUpTo bounds what Stats counts row by row.
const exactUpTo = 10_000

// samplePages is how many pages of a table are looked at for an estimate.
const samplePages = 400

// Stats counts up to 10,000 messages of a kind and estimates above that, from
// some pages of the table. TotalSent is what the queue's sequence has handed out,
// so that it counts sends that were rolled back; it is -1 if the role may not
// read the sequence.
func (p *Provider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return driver.Stats{}, err
	}
	var c counted
	if err := p.read(ctx, q, q.texts.stats, []any{exactUpTo}, c.scan); err != nil {
		return driver.Stats{}, err
	}
	var live, archive sample
	if c.visible > exactUpTo || c.invisible > exactUpTo {
		live, err = p.sample(ctx, q, q.names.QName, q.texts.sample)
	}
	if err == nil && c.archived > exactUpTo {
		archive, err = p.sample(ctx, q, q.names.AName, q.texts.sampleArchive)
	}
	if err != nil {
		return driver.Stats{}, err
	}
	return c.stats(live, archive), nil
}

// sample estimates what is in a table.
type sample struct{ rows, visible, leased int64 }

func (p *Provider) sample(ctx context.Context, q *queue, table, text string) (s sample, err error) {
	var pages int64
	err = p.read(ctx, q, statement("pages", table), nil, func(rows row) error { return rows.Scan(&pages) })
	if err != nil {
		return s, err
	}
	share := min(1, samplePages/float64(max(pages, 1)))
	err = p.read(ctx, q, text, []any{100 * share}, func(rows row) error { return rows.Scan(&s.rows, &s.visible, &s.leased) })
	all := func(n int64) int64 { return int64(float64(n) / share) }
	return sample{all(s.rows), all(s.visible), all(s.leased)}, err
}

// counted is the row of {{template "stats"}}.
type counted struct {
	visible, invisible, leased, archived int64 // up to exactUpTo + 1
	oldest, newest, sent                 sql.NullInt64
	at                                   time.Time
}

func (c *counted) scan(rows row) error {
	return rows.Scan(&c.visible, &c.invisible, &c.leased, &c.archived, &c.oldest, &c.newest, &c.sent, &c.at)
}

func (c *counted) stats(live, archive sample) driver.Stats {
	s := driver.Stats{
		Visible: c.visible, Leased: c.leased, Delayed: c.invisible - c.leased, Archived: max(c.archived, archive.rows),
		TotalSent: -1, OldestAge: age(c.oldest), NewestAge: age(c.newest), ScrapedAt: c.at,
	}
	if c.sent.Valid {
		s.TotalSent = c.sent.Int64
	}
	s.Approximate = max(c.visible, c.invisible, c.archived) > exactUpTo
	if c.visible > exactUpTo {
		s.Visible = max(c.visible, live.visible)
	}
	if c.invisible > exactUpTo { // in the order of vt the first may all be of a kind
		invisible := max(c.invisible, live.rows-live.visible)
		s.Leased = min(max(c.leased, live.leased), invisible)
		s.Delayed = invisible - s.Leased
	}
	s.Total = s.Visible + s.Leased + s.Delayed
	return s
}

// age is -1 if there is no message.
func age(us sql.NullInt64) time.Duration {
	if !us.Valid {
		return -1
	}
	return max(0, time.Duration(us.Int64)*time.Microsecond)
}
