package pgmq

import (
	"context"
	"database/sql"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portmq/mq/driver"
)

// How many messages one statement of a search looks at. Where it looks at bodies, which
// may be large, the first one shows how long that takes.
const (
	searchRows, firstRows = 10_000, 1000
	quickly               = 250 * time.Millisecond
)

// Search looks at messages in the server, which sends those that fit. It ends early, with
// what it has found, if the next messages cannot be looked at in time.
func (p *Provider) Search(ctx context.Context, name string, r driver.SearchRequest) (driver.Found, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return driver.Found{}, err
	}
	after, err := behind(r.BrowseRequest)
	if err != nil {
		return driver.Found{}, err
	}
	s := search{p: p, q: q, r: r, after: after}
	for most := s.first(); s.goesOn(); {
		start := time.Now()
		err := s.look(ctx, min(most, r.Scan-s.found.Looked))
		switch {
		case p.wantsWary(ctx, err) && ended(err) == nil:
			err = s.lookWarily(ctx)
		case err != nil && ctx.Err() == nil && s.found.Looked > 0 && (ended(err) != nil || sqlState(err) == "57014"):
			return s.found, nil
		}
		if err != nil {
			return driver.Found{}, receiveError(err)
		}
		if time.Since(start) < quickly {
			most = searchRows
		}
	}
	return s.found, nil
}

// search is one under way.
type search struct {
	p     *Provider
	q     *queue
	r     driver.SearchRequest
	after int64 // the last message that it has looked at
	found driver.Found
}

func (s *search) first() int {
	if s.r.Match.Text == "" {
		return searchRows
	}
	return firstRows
}

func (s *search) goesOn() bool {
	return !s.found.End && s.found.Looked < s.r.Scan && len(s.found.Records) < s.r.Limit
}

// look runs one statement, which looks at so many messages at most.
func (s *search) look(ctx context.Context, most int) error {
	args := append([]any{s.after, s.r.Limit - len(s.found.Records), most}, matchArgs(&s.r.Match, s.r.Archive)...)
	if s.r.CutBody > 0 {
		args = append(args, cutAt(s.r.BrowseRequest))
	}
	next := driver.Found{}
	var last sql.NullInt64
	err := s.p.readWithin(ctx, probeLimit, s.q.name, searchStatement(s.q, s.r.BrowseRequest), args, func(rows row) error {
		var c recordRow
		err := rows.Scan(append([]any{&next.Looked, &last, &next.End}, c.dest()...)...)
		if err == nil && c.id.Valid {
			next.Records = append(next.Records, c.record(s.r.CutBody > 0))
		}
		return err
	})
	if err == nil {
		s.add(next, last)
	}
	return err
}

func searchStatement(q *queue, r driver.BrowseRequest) string {
	n := q.names.pagesOf(r)
	n.Rows = "$3"
	if r.CutBody > 0 {
		n.Cut = "$12"
	}
	return statement("search", n)
}

// add adds what a statement has found. One that has looked at nothing is at the end.
func (s *search) add(next driver.Found, last sql.NullInt64) {
	s.found.Records = append(s.found.Records, next.Records...)
	s.found.Looked += next.Looked
	s.found.End = next.End || next.Looked == 0
	if last.Valid {
		s.after, s.found.Last = last.Int64, strconv.FormatInt(last.Int64, 10)
	}
}

// lookWarily looks at some messages of which one cannot be read. That one fits by its
// state and time only.
func (s *search) lookWarily(ctx context.Context) error {
	r := s.r.BrowseRequest
	r.CutBody, r.Limit = 0, min(waryMax, s.r.Scan-s.found.Looked)
	page, err := s.p.pageWarily(ctx, s.q, s.after, r)
	if err != nil {
		return err
	}
	for i := range page {
		if !s.goesOn() {
			return nil
		}
		s.see(&page[i])
	}
	s.found.End = len(page) < r.Limit
	return nil
}

// see looks at a record with a whole body.
func (s *search) see(r *driver.Record) {
	s.found.Looked++
	s.found.Last = r.ID
	s.after, _ = strconv.ParseInt(r.ID, 10, 64)
	if !s.r.Match.Fits(r) {
		return
	}
	if s.r.CutBody > 0 {
		r.Body = r.Body[:min(len(r.Body), s.r.CutBody)]
	}
	s.found.Records = append(s.found.Records, *r)
}

// noState is a state that no message has.
const noState = 99

// matchArgs returns the arguments $4 to $11 of a search.
func matchArgs(m *driver.Match, archive bool) []any {
	args := []any{int(m.State), nil, nil, orNull(m.Group), orNull(m.Reason), nil, nil, nil}
	if m.Header != "" {
		args[1], args[2] = m.Header, m.Value
	}
	if !m.SentSince.IsZero() {
		args[5] = microsUp(m.SentSince)
	}
	if !m.SentBefore.IsZero() {
		args[6] = microsUp(m.SentBefore)
	}
	if m.Text != "" {
		args[7] = hex.EncodeToString([]byte(m.Text))
	}
	if !possible(m) {
		for i := range args {
			args[i] = nil
		}
		args[0] = noState
	}
	return args
}

// possible reports whether a message may have such headers. Their texts are UTF-8 without
// NUL, and those of the driver itself are not shown.
func possible(m *driver.Match) bool {
	for _, text := range []string{m.Header, m.Value, m.Group, m.Reason} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return false
		}
	}
	return m.Header != headerGroup && !new(notes).take([]byte(`"`+m.Header+`"`), nil)
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// microsUp returns t in microseconds since 1970, rounded up.
func microsUp(t time.Time) int64 {
	switch year := t.Year(); {
	case year < -200_000:
		return math.MinInt64
	case year > 200_000:
		return math.MaxInt64
	}
	us := t.UnixMicro()
	if t.Nanosecond()%1000 > 0 {
		us++
	}
	return us
}
