package mq

import (
	"context"
	"errors"

	"github.com/portmq/mq/driver"
)

// BrowseOptions ask for one page of Peek or Archived. The zero value asks for
// the first.
type BrowseOptions struct {
	// Newest shows the newest messages first.
	Newest bool
	// After is the ID of the last record of the page before.
	After string
	// Limit is the length of the page, up to Caps.MaxBatch. Defaults to 100.
	Limit int
	// IDs limits the page to these messages, Caps.MaxBatch at most; nil means all. Messages
	// that do not exist are left out. IDs cannot be combined with After or Limit.
	IDs []string
	// CutBody is how many bytes of each body to return; 0 means all. Record.BodySize is the
	// size of the whole body.
	CutBody int
}

// Peek shows messages whatever their state, oldest first unless o says otherwise,
// without leasing them.
func (q *Queue) Peek(ctx context.Context, o BrowseOptions) ([]Record, error) {
	return q.browse(ctx, "peek", o, false)
}

// Archived shows the queue's archive, oldest message first unless o says otherwise.
func (q *Queue) Archived(ctx context.Context, o BrowseOptions) ([]Record, error) {
	return q.browse(ctx, "archived", o, true)
}

func (q *Queue) browse(ctx context.Context, op string, o BrowseOptions, archive bool) (rs []Record, err error) {
	err = q.do(ctx, &Call{Op: op}, func(ctx context.Context) error {
		browser, err := optional[driver.Browser](q.client.provider)
		if err != nil {
			return err
		}
		r, err := o.request(q.client.caps, archive)
		if err != nil || o.IDs != nil && len(o.IDs) == 0 {
			return err
		}
		return q.client.look(ctx, func(ctx context.Context) error {
			found, err := browser.Browse(ctx, q.name, r)
			rs = records(found, q.client.caps)
			return err
		})
	})
	return rs, err
}

// request validates o.
func (o BrowseOptions) request(caps Caps, archive bool) (r driver.BrowseRequest, err error) {
	limit := min(100, caps.BatchLimit())
	switch {
	case o.CutBody < 0:
		return r, invalid("CutBody %d is negative", o.CutBody)
	case o.IDs != nil && (o.After != "" || o.Limit != 0):
		return r, invalid("IDs cannot be combined with After or Limit")
	case len(o.IDs) > caps.BatchLimit():
		return r, invalid("%d IDs are above the limit of %d", len(o.IDs), caps.BatchLimit())
	case o.IDs != nil:
		limit = len(o.IDs)
	}
	limit, err = checkLimit(caps, "Limit", o.Limit, limit)
	return driver.BrowseRequest{
		Archive: archive, Newest: o.Newest, After: o.After, Limit: limit, IDs: o.IDs, CutBody: o.CutBody,
	}, err
}

// records returns what a provider has shown.
func records(found []driver.Record, caps Caps) []Record {
	rs := make([]Record, len(found))
	for i, r := range found {
		rs[i] = Record{in(r.Message), r.ID, r.State, r.BodySize, r.ReadCount, r.Attempt, r.EnqueuedAt, r.VisibleAt, r.ArchivedAt}
		if !caps.Attempts {
			rs[i].Attempt = r.ReadCount
		}
	}
	return rs
}

// Match selects records: a record must fit all fields that are set. The zero value fits
// every record.
type Match = driver.Match

// SearchOptions say what to search for, and how far.
type SearchOptions struct {
	BrowseOptions // the page to return; IDs must be nil
	Match
	// Archive searches the archive, not the queue.
	Archive bool
	// Scan is how many messages to look at. Defaults to 10,000.
	Scan int
}

// Found is what a Search has found.
type Found struct {
	Records []Record
	Looked  int    // messages looked at
	Last    string // ID of the last of them, the After to go on from
	End     bool   // there are no more messages after Last
}

// defaultScan is how far a Search looks.
const defaultScan = 10_000

// Search looks at up to o.Scan messages, and returns up to o.Limit that match. It returns
// how far it looked: to go on, search again with Found.Last as o.After.
func (q *Queue) Search(ctx context.Context, o SearchOptions) (found Found, err error) {
	err = q.do(ctx, &Call{Op: "search"}, func(ctx context.Context) error {
		r, err := o.request(q.client.caps)
		if err != nil {
			return err
		}
		found, err = q.search(ctx, r)
		return err
	})
	return found, err
}

// request validates o.
func (o SearchOptions) request(caps Caps) (driver.SearchRequest, error) {
	page, err := o.BrowseOptions.request(caps, o.Archive)
	r := driver.SearchRequest{BrowseRequest: page, Match: o.Match, Scan: o.Scan}
	switch {
	case err != nil:
		return r, err
	case o.IDs != nil:
		return r, invalid("a search takes no IDs (see Peek and Archived)")
	case o.Scan < 0:
		return r, invalid("Scan %d is negative", o.Scan)
	case o.Scan == 0:
		r.Scan = defaultScan
	}
	if !isText(o.Header) || !isText(o.Value) || !isText(o.Group) || !isText(o.Reason) {
		return r, invalid("a name, value, group or reason to search for has a NUL or is not UTF-8")
	}
	return r, nil
}

func (q *Queue) search(ctx context.Context, r driver.SearchRequest) (Found, error) {
	browser, err := optional[driver.Browser](q.client.provider)
	if err != nil {
		return Found{}, err
	}
	if s, ok := q.client.provider.(driver.Searcher); ok {
		var found driver.Found
		err := q.client.look(ctx, func(ctx context.Context) (err error) {
			found, err = s.Search(ctx, q.name, r)
			return err
		})
		if !errors.Is(err, ErrNotSupported) {
			return Found{records(found.Records, q.client.caps), found.Looked, found.Last, found.End}, err
		}
	}
	return q.searchPages(ctx, browser, r)
}

// searchPage is how many whole bodies are held at a time.
const searchPage = 100

// searchPages searches where the provider only browses.
func (q *Queue) searchPages(ctx context.Context, b driver.Browser, r driver.SearchRequest) (found Found, err error) {
	found.Last = r.After
	for page := r.BrowseRequest; len(found.Records) < r.Limit && found.Looked < r.Scan && !found.End; {
		page.After, page.Limit = found.Last, min(searchPage, r.Scan-found.Looked, q.client.caps.BatchLimit())
		if r.Match.Text != "" {
			page.CutBody = 0
		}
		var rs []driver.Record
		err := q.client.look(ctx, func(ctx context.Context) (err error) {
			rs, err = b.Browse(ctx, q.name, page)
			return err
		})
		if err != nil {
			return found, err
		}
		found.End = len(rs) < page.Limit
		found.add(rs, r, q.client.caps)
	}
	return found, nil
}

// add looks at one page, up to the last record that is wanted.
func (f *Found) add(rs []driver.Record, r driver.SearchRequest, caps Caps) {
	for i := range rs {
		if len(f.Records) == r.Limit {
			f.End = false
			return
		}
		f.Looked++
		f.Last = rs[i].ID
		if !r.Match.Fits(&rs[i]) {
			continue
		}
		if n := r.CutBody; n > 0 && len(rs[i].Body) > n {
			rs[i].Body = rs[i].Body[:n]
		}
		f.Records = append(f.Records, records(rs[i:i+1], caps)...)
	}
}

// ReasonCount is how many archived messages have a reason.
type ReasonCount = driver.ReasonCount

// Reasons counts the newest scan messages of the archive by reason, the most frequent
// first. looked is how many messages it has counted: the whole archive if that is less
// than scan. A scan of 0 means 10,000.
func (q *Queue) Reasons(ctx context.Context, scan int) (counts []ReasonCount, looked int64, err error) {
	err = q.do(ctx, &Call{Op: "reasons"}, func(ctx context.Context) error {
		r, err := optional[driver.ReasonCounter](q.client.provider)
		switch {
		case err != nil:
			return err
		case scan < 0:
			return invalid("scan %d is negative", scan)
		case scan == 0:
			scan = defaultScan
		}
		return q.client.look(ctx, func(ctx context.Context) (err error) {
			counts, looked, err = r.CountReasons(ctx, q.name, scan)
			return err
		})
	})
	return counts, looked, err
}
