package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/portmq/mq/driver"
)

// Browse returns one page of the queue or of its archive. A page ends early where its
// bodies become too large; there is one record at least.
func (p *Provider) Browse(ctx context.Context, name string, r driver.BrowseRequest) (records []driver.Record, err error) {
	after, err := parseAfter(r.After)
	if err != nil {
		return nil, err
	}
	err = p.snapshot(ctx, func(run driver.SQLTx) error {
		q, err := findQueue(ctx, run, name)
		if err != nil {
			return err
		}
		s := newRange(&r, q.id, after)
		if len(r.IDs) > 0 {
			records, _, err = s.page(ctx, run, s.texts.ids, &r, idList(idsOf(q.id, parseIDs(r.IDs))))
		} else {
			records, _, err = s.page(ctx, run, s.texts.search, &r, noMatch[:]...)
		}
		return err
	})
	return records, err
}

// noMatch are the conditions of a search for every message.
var noMatch [8]any

func parseAfter(id string) (number int64, err error) {
	number, ok := parseID(id)
	if !ok && id != "" {
		return 0, fmt.Errorf("%w: BrowseRequest.After %.64q is not an ID", driver.ErrInvalid, id)
	}
	return number, nil
}

// idRange is a part of a queue or of its archive: the rows whose ids are between two others,
// in one order.
type idRange struct {
	texts     *rangeTexts
	newest    bool
	low, high int64 // neither is in it
}

// rangeTexts are the statements that read a range.
type rangeTexts struct{ search, ids, reach string }

func (t rangeTexts) newestFirst() *rangeTexts {
	return &rangeTexts{newestFirst(t.search), newestFirst(t.ids), newestFirst(t.reach)}
}

var (
	oldestMessages = &rangeTexts{statement("search"), statement("browse ids"), statement("reach")}
	newestMessages = oldestMessages.newestFirst()
	oldestArchived = &rangeTexts{statement("search archive"), statement("browse archive ids"), statement("reach archive")}
	newestArchived = oldestArchived.newestFirst()
)

// newRange returns what comes after the message with that number, or everything if it
// is 0.
func newRange(r *driver.BrowseRequest, queue, number int64) idRange {
	s := idRange{texts: textsOf(r), newest: r.Newest, low: messageID(queue, 0), high: messageID(queue+1, 0)}
	if number > 0 {
		s.cut(messageID(queue, number))
	}
	return s
}

func textsOf(r *driver.BrowseRequest) *rangeTexts {
	switch {
	case r.Archive && r.Newest:
		return newestArchived
	case r.Archive:
		return oldestArchived
	case r.Newest:
		return newestMessages
	}
	return oldestMessages
}

// cut leaves what comes behind an id.
func (s *idRange) cut(id int64) {
	if s.newest {
		s.high = id
	} else {
		s.low = id
	}
}

// page returns the records that a statement finds in the range. more says that there are
// others: their bodies were too large.
func (s idRange) page(ctx context.Context, run driver.SQLTx, text string, r *driver.BrowseRequest, args ...any) (records []driver.Record, more bool, err error) {
	rows, err := run.QueryContext(ctx, text, append([]any{s.low, s.high, r.Limit, r.CutBody, now()}, args...)...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close() // it may be left before its end
	size := 0
	for rows.Next() {
		if size >= claimBytes {
			return records, true, nil
		}
		r, err := scanRecord(rows)
		if err != nil {
			return nil, false, err
		}
		size += len(r.Body)
		records = append(records, r)
	}
	return records, false, rows.Err()
}

func scanRecord(rows *sql.Rows) (r driver.Record, err error) {
	var id, due, archived, reads, uncounted, sent int64
	var group, headers sql.NullString
	err = rows.Scan(&id, &due, &archived, &reads, &uncounted, &sent, &r.BodySize, &group, &headers, &r.State, &r.Body)
	if err != nil {
		return r, err
	}
	if r.Headers, err = parseHeaders(headers); err != nil {
		return r, err
	}
	r.Group = group.String
	r.ID = formatID(id)
	r.ReadCount, r.Attempt = int(reads), int(reads-uncounted)
	r.EnqueuedAt, r.VisibleAt = timeOf(sent), timeOf(due)
	if archived != 0 {
		r.ArchivedAt = timeOf(archived)
	}
	return r, nil
}
