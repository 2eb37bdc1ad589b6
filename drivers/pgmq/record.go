package pgmq

import (
	"database/sql"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// recordRow is a row of {{template "record"}}. All of it is NULL where a search has found
// nothing.
type recordRow struct {
	id, reads           sql.NullInt64
	sent, due, archived *time.Time
	contents
	state int
}

// contents are what a message holds.
type contents struct {
	body, headers []byte
	size          sql.NullInt64 // of the body, if that was cut
}

func (c *recordRow) dest() []any {
	return []any{&c.id, &c.reads, &c.sent, &c.due, &c.body, &c.headers, &c.state, &c.size, &c.archived}
}

func scanRecord(rows row, cut bool) (r driver.Record, err error) {
	var c recordRow
	if err := rows.Scan(c.dest()...); err != nil {
		return r, err
	}
	return c.record(cut), nil
}

func (c *recordRow) record(cut bool) driver.Record {
	r := driver.Record{
		ID: strconv.FormatInt(c.id.Int64, 10), State: driver.State(c.state), ReadCount: int(c.reads.Int64),
		EnqueuedAt: timeOf(c.sent), VisibleAt: timeOf(c.due), ArchivedAt: timeOf(c.archived),
	}
	c.fill(&r, cut)
	return r
}

// fill sets what the message holds. The server has decoded bodies that it cut.
func (c *contents) fill(r *driver.Record, cut bool) {
	var n notes
	if cut {
		r.Body, r.BodySize = c.body, int(c.size.Int64)
	} else {
		r.Body = decodeBody(c.body)
		r.BodySize = len(r.Body)
	}
	r.Headers, r.Group, n = decodeHeaders(c.headers)
	r.Attempt = n.attempt(r.ReadCount)
}
