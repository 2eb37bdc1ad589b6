package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/portmq/mq/driver"
)

// Search looks at the messages of one moment.
func (p *Provider) Search(ctx context.Context, name string, r driver.SearchRequest) (found driver.Found, err error) {
	after, err := parseAfter(r.After)
	if err != nil {
		return found, err
	}
	err = p.snapshot(ctx, func(run driver.SQLTx) error {
		q, err := findQueue(ctx, run, name)
		if err == nil {
			found, err = newRange(&r.BrowseRequest, q.id, after).search(ctx, run, &r)
		}
		return err
	})
	return found, err
}

// search reads r.Scan rows twice: once to see how far they go, so that the one statement
// that filters them can stop at r.Limit.
func (s idRange) search(ctx context.Context, run driver.SQLTx, r *driver.SearchRequest) (found driver.Found, err error) {
	last, err := s.reach(ctx, run, r.Scan, &found.Looked)
	if err != nil || found.Looked == 0 {
		return driver.Found{End: true}, err
	}
	part := s
	part.end(last)
	var more bool
	found.Records, more, err = part.page(ctx, run, s.texts.search, &r.BrowseRequest, conditions(&r.Match)...)
	if n := len(found.Records); err == nil && (more || n == r.Limit) {
		number, _ := parseID(found.Records[n-1].ID)
		last = last&^maxNumber | number
		part.end(last)
		_, err = part.reach(ctx, run, r.Scan, &found.Looked)
	}
	if err != nil {
		return driver.Found{}, err
	}
	found.Last = formatID(last)
	s.cut(last)
	var left int
	_, err = s.reach(ctx, run, 1, &left)
	found.End = left == 0
	return found, err
}

// reach counts the first n rows of the range, and returns the id of the last of them.
func (s idRange) reach(ctx context.Context, run driver.SQLTx, n int, count *int) (last int64, err error) {
	var low, high int64
	var there bool
	err = query(ctx, run, into(&there, count, &low, &high), s.texts.reach, s.low, s.high, n)
	if s.newest {
		return low, err
	}
	return high, err
}

// end makes a row the last one of the range.
func (s *idRange) end(id int64) {
	if s.newest {
		s.low = id - 1
	} else {
		s.high = id + 1
	}
}

// conditions are the parameters of a search.
func conditions(m *driver.Match) []any {
	c := noMatch
	if m.State != driver.AnyState {
		c[0] = int64(m.State)
	}
	if m.Header != "" {
		c[1], c[2] = m.Header, m.Value
	}
	if m.Group != "" {
		c[3] = m.Group
	}
	c[4], c[5] = ceiling(m.SentSince), ceiling(m.SentBefore)
	if m.Reason != "" {
		c[6] = m.Reason
	}
	if m.Text != "" {
		c[7] = []byte(m.Text)
	}
	return c[:]
}

// ceiling returns a time in microseconds, rounded up, or nil if there is none.
func ceiling(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Add(time.Microsecond - 1).UnixMicro()
}

// CountReasons counts in the order of ids.
func (p *Provider) CountReasons(ctx context.Context, name string, scan int) (counts []driver.ReasonCount, looked int64, err error) {
	err = p.read(ctx, func(run driver.SQLTx) error {
		q, err := findQueue(ctx, run, name)
		if err != nil {
			return err
		}
		counts, looked = nil, 0
		return query(ctx, run, func(rows *sql.Rows) error {
			c, err := scanReason(rows)
			counts = append(counts, c)
			looked += c.Count
			return err
		}, sqlReasons, messageID(q.id, 0), messageID(q.id+1, 0), scan)
	})
	return counts, looked, err
}

func scanReason(rows *sql.Rows) (c driver.ReasonCount, err error) {
	var first, last int64
	err = rows.Scan(&c.Reason, &c.Count, &first, &last)
	c.First, c.Last = timeOf(first), timeOf(last)
	return c, err
}
