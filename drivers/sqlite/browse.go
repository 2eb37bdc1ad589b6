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
	after, ok := parseID(r.After)
	if !ok && r.After != "" {
		return nil, fmt.Errorf("%w: BrowseRequest.After %.64q is not an ID", driver.ErrInvalid, r.After)
	}
	text := sqlBrowse
	if r.Archive {
		text = sqlBrowseArchive
	}
	err = p.read(ctx, func(run driver.SQLTx) error {
		var q queueRow
		var found bool
		if err := query(ctx, run, into(&found, &q.id, &q.mark, &q.groupings), sqlQueue, name); err != nil {
			return err
		}
		if !found {
			return driver.ErrQueueNotFound
		}
		records, err = page(ctx, run, text, messageID(q.id, after), messageID(q.id+1, 0), r.Limit)
		return err
	})
	return records, err
}

func page(ctx context.Context, run driver.SQLTx, text string, after, before int64, limit int) (records []driver.Record, err error) {
	rows, err := run.QueryContext(ctx, text, after, before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // it may be left before its end
	size := 0
	for (size < claimBytes || len(records) == 0) && rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		size += len(r.Body)
		records = append(records, r)
	}
	return records, rows.Err()
}

func scanRecord(rows *sql.Rows) (r driver.Record, err error) {
	var id, due, archived, reads, uncounted, sent int64
	var group, headers sql.NullString
	var apart []byte
	if err := rows.Scan(&id, &due, &archived, &reads, &uncounted, &sent, &group, &headers, &r.Body, &apart); err != nil {
		return r, err
	}
	if apart != nil {
		r.Body = apart
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
