package pgmq

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// exactUpTo bounds what Stats counts row by row.
const exactUpTo = 10_000

// Stats counts up to 10,000 messages of a kind and estimates above that.
// TotalSent is what the queue's sequence has handed out, so that it counts
// sends that were rolled back; it is -1 if the role may not read the sequence.
func (p *Provider) Stats(ctx context.Context, name string) (driver.Stats, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return driver.Stats{}, err
	}
	var c counted
	err = p.read(ctx, q, q.texts.stats, []any{exactUpTo, "q_" + name}, c.scan)
	if err != nil {
		return driver.Stats{}, err
	}
	return c.stats(), nil
}

// counted is the row of {{template "stats"}}.
type counted struct {
	visible, invisible, leased, archived int64 // up to exactUpTo + 1
	rows, archivedRows                   sql.NullInt64
	share                                sql.NullFloat64 // of vt that are past
	oldest, newest, sent                 sql.NullInt64
	at                                   time.Time
}

func (c *counted) scan(rows row) error {
	return rows.Scan(&c.visible, &c.invisible, &c.leased, &c.archived, &c.rows, &c.archivedRows,
		&c.share, &c.oldest, &c.newest, &c.sent, &c.at)
}

func (c *counted) stats() driver.Stats {
	s := driver.Stats{
		Visible: c.visible, Leased: c.leased, Delayed: c.invisible - c.leased, Archived: c.archived,
		TotalSent: -1, OldestAge: age(c.oldest), NewestAge: age(c.newest), ScrapedAt: c.at,
	}
	if c.sent.Valid {
		s.TotalSent = c.sent.Int64
	}
	if c.archived > exactUpTo {
		s.Archived, s.Approximate = max(c.archived, c.archivedRows.Int64), true
	}
	if c.visible > exactUpTo || c.invisible > exactUpTo {
		s.Approximate = true
		c.estimate(&s)
	}
	s.Total = s.Visible + s.Leased + s.Delayed
	return s
}

// estimate divides the estimated number of rows among what was not counted to
// its end.
func (c *counted) estimate(s *driver.Stats) {
	rows := max(c.rows.Int64, c.visible+c.invisible)
	invisible := c.invisible
	switch {
	case c.visible <= exactUpTo:
		invisible = rows - c.visible
	case c.invisible <= exactUpTo:
		s.Visible = rows - c.invisible
	default:
		s.Visible = min(max(int64(c.share.Float64*float64(rows)), c.visible), rows-c.invisible)
		invisible = rows - s.Visible
	}
	s.Leased = c.leased * invisible / max(c.invisible, 1)
	s.Delayed = invisible - s.Leased
}

// age is -1 if there is no message.
func age(us sql.NullInt64) time.Duration {
	if !us.Valid {
		return -1
	}
	return max(0, time.Duration(us.Int64)*time.Microsecond)
}
