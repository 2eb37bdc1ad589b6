package pgmq

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/portmq/mq/driver"
)

// Browse reads a page of the queue or of its archive. A body that is cut is cut by the
// server, which reads and decodes the whole of it.
func (p *Provider) Browse(ctx context.Context, name string, r driver.BrowseRequest) ([]driver.Record, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	after, err := behind(r)
	if err != nil {
		return nil, err
	}
	records, err := p.page(ctx, q, after, r, false)
	if p.wantsWary(ctx, err) {
		return p.pageWarily(ctx, q, after, r)
	}
	return records, err
}

// wantsWary reports whether err may be due to what one row holds, so that rows are to be
// read one by one.
func (p *Provider) wantsWary(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && (unprintable(err) || ended(err) != nil)
}

// behind returns the id that a page begins behind.
func behind(r driver.BrowseRequest) (int64, error) {
	switch {
	case r.After != "":
		return parseID(r.After)
	case r.Newest:
		return math.MaxInt64, nil
	}
	return math.MinInt64, nil
}

// page reads a page of the queue or of its archive. A blind one shows no
// bodies, headers and groups.
func (p *Provider) page(ctx context.Context, q *queue, after int64, r driver.BrowseRequest, blind bool) ([]driver.Record, error) {
	text, args := pageStatement(q, after, r, blind)
	var records []driver.Record
	err := p.readWithin(ctx, probeLimit, q.name, text, args, func(rows row) error {
		record, err := scanRecord(rows, r.CutBody > 0)
		records = append(records, record)
		return err
	})
	if err != nil {
		return nil, receiveError(err)
	}
	return records, nil
}

func pageStatement(q *queue, after int64, r driver.BrowseRequest, blind bool) (text string, args []any) {
	n := q.names.pagesOf(r).pages()
	n.Blind, args = blind, []any{after, r.Limit}
	if len(r.IDs) > 0 {
		n.ByID, args = true, append(args, idArray(r.IDs))
	}
	if r.CutBody > 0 && !blind {
		args = append(args, cutAt(r))
		n.Cut = "$" + strconv.Itoa(len(args))
	}
	switch {
	case n.ByID || n.Newest || n.Blind || n.Cut != "":
		return statement("browse", n), args
	case r.Archive:
		return q.texts.browseArchive, args
	}
	return q.texts.browse, args
}

// pagesOf returns the names for statements that read the queue or its archive, in the
// order that r asks for.
func (n tableNames) pagesOf(r driver.BrowseRequest) tableNames {
	if r.Archive {
		n = n.archived()
	}
	n.Newest = r.Newest
	return n
}

// cutAt returns r.CutBody as the server takes it. No body is as large as the most.
func cutAt(r driver.BrowseRequest) int { return min(r.CutBody, 1<<30) }

func parseID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not the ID of a message", driver.ErrInvalid, id)
	}
	return n, nil
}
