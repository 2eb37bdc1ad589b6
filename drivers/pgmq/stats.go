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
// read the sequence. Where more than 10,000 messages are leased or delayed, and
// some have a group, Blocked is -1, and Visible has those that are.
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
	if c.due > exactUpTo || c.hidden > exactUpTo {
		live, err = p.sample(ctx, q, q.names.QName, q.texts.sample, exactUpTo)
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
type sample struct{ rows, due, leased, blocked int64 }

func (p *Provider) sample(ctx context.Context, q *queue, table, text string, args ...any) (s sample, err error) {
	var pages int64
	err = p.read(ctx, q, statement("pages", table), nil, func(rows row) error { return rows.Scan(&pages) })
	if err != nil {
		return s, err
	}
	share := min(1, samplePages/float64(max(pages, 1)))
	err = p.read(ctx, q, text, append(args, 100*share), func(rows row) error {
		return rows.Scan(&s.rows, &s.due, &s.leased, &s.blocked)
	})
	all := func(n int64) int64 { return int64(float64(n) / share) }
	return sample{all(s.rows), all(s.due), all(s.leased), all(s.blocked)}, err
}

// counted is the row of {{template "stats"}}.
type counted struct {
	due, hidden, leased, blocked, archived int64 // up to exactUpTo + 1
	grouped                                bool  // some of what is hidden has a group
	lag, oldest, newest, sent              sql.NullInt64
	at                                     time.Time
}

func (c *counted) scan(rows row) error { return rows.Scan(c.dest()...) }

func (c *counted) dest() []any {
	return []any{&c.due, &c.hidden, &c.leased, &c.grouped, &c.blocked, &c.lag, &c.archived, &c.oldest, &c.newest, &c.sent, &c.at}
}

func (c *counted) stats(live, archive sample) driver.Stats {
	s := driver.Stats{
		Leased: c.leased, Blocked: c.blocked, Archived: max(c.archived, archive.rows),
		TotalSent: -1, OldestAge: age(c.oldest), NewestAge: age(c.newest), Lag: c.waited(), ScrapedAt: c.at,
	}
	if c.sent.Valid {
		s.TotalSent = c.sent.Int64
	}
	s.Approximate = max(c.due, c.hidden, c.archived) > exactUpTo
	due, hidden := c.due, c.hidden
	if due > exactUpTo {
		due = max(due, live.due)
		s.Blocked = min(max(c.blocked, live.blocked), due)
	}
	if hidden > exactUpTo { // in the order of vt the first may all be of a kind
		hidden = max(hidden, live.rows-live.due)
		s.Leased = min(max(c.leased, live.leased), hidden)
	}
	s.Delayed, s.Visible, s.Total = hidden-s.Leased, due-s.Blocked, due+hidden
	if c.grouped && c.hidden > exactUpTo { // not all that may block is known
		s.Blocked, s.Visible = -1, due
	}
	return s
}

// waited is the lag. It is unknown if all that was looked at is blocked.
func (c *counted) waited() time.Duration {
	if c.lag.Valid {
		return max(0, time.Duration(c.lag.Int64)*time.Microsecond)
	}
	if c.due > exactUpTo {
		return -1
	}
	return 0
}

// age is -1 if there is no message.
func age(us sql.NullInt64) time.Duration {
	if !us.Valid {
		return -1
	}
	return max(0, time.Duration(us.Int64)*time.Microsecond)
}
