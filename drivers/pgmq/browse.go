package pgmq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/portmq/mq/driver"
)

// Browse reads a page of the queue or of its archive.
func (p *Provider) Browse(ctx context.Context, name string, r driver.BrowseRequest) ([]driver.Record, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	after := int64(-1 << 63)
	if r.After != "" {
		if after, err = parseID(r.After); err != nil {
			return nil, err
		}
	}
	records, err := p.page(ctx, q, after, r, false)
	if err != nil && ctx.Err() == nil && (unprintable(err) || ended(err) != nil) {
		return p.pageWarily(ctx, q, after, r)
	}
	return records, err
}

// page reads a page of the queue or of its archive. A blind one shows no
// bodies, headers and groups.
func (p *Provider) page(ctx context.Context, q *queue, after int64, r driver.BrowseRequest, blind bool) ([]driver.Record, error) {
	text := q.texts.browse
	switch {
	case blind && r.Archive:
		text = statement("browse archive", q.names.archived().blind())
	case blind:
		text = statement("browse", q.names.blind())
	case r.Archive:
		text = q.texts.browseArchive
	}
	var records []driver.Record
	err := p.readWithin(ctx, probeLimit, q.name, text, []any{after, r.Limit}, func(rows row) error {
		record, err := scanRecord(rows)
		records = append(records, record)
		return err
	})
	if err != nil {
		return nil, receiveError(err)
	}
	return records, nil
}

func parseID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not the ID of a message", driver.ErrInvalid, id)
	}
	return n, nil
}

func scanRecord(rows row) (r driver.Record, err error) {
	var id int64
	var reads int32
	var sent, due, archived *time.Time
	var body, headers []byte
	if err := rows.Scan(&id, &reads, &sent, &due, &body, &headers, &archived); err != nil {
		return r, err
	}
	r.ID, r.ReadCount = strconv.FormatInt(id, 10), int(reads)
	r.EnqueuedAt, r.VisibleAt, r.ArchivedAt = timeOf(sent), timeOf(due), timeOf(archived)
	fillRecord(&r, body, headers)
	return r, nil
}

// fillRecord sets what the message holds.
func fillRecord(r *driver.Record, body, headers []byte) {
	var n notes
	r.Body = decodeBody(body)
	r.Headers, r.Group, n = decodeHeaders(headers)
	r.Attempt = n.attempt(r.ReadCount)
}
