package pgmq

import (
	"context"
	"fmt"
	"strconv"

	"github.com/portmq/mq/driver"
)

// Row is a message as it is stored, whichever program has written it. Receive
// and Send do not keep all of that: a header that is a number becomes a text,
// and headers that are not an object do not fit into a driver.Message. What nacks
// have left in the headers is not part of it.
type Row struct {
	ID string
	// Message is the body: JSON as PostgreSQL prints it, with an envelope if
	// there is one. It is nil for SQL's NULL, which JSON's null is not.
	Message []byte
	// Headers are JSON of any type; a group is the member x-pgmq-group. They are
	// nil for SQL's NULL, and if the queue has no column for them.
	Headers []byte
}

// Rows returns the messages of the queue that have one of these ids, in the order
// of their ids. It does not lease them: receive them first, or others may take them
// meanwhile.
//
// Rows and SendRows copy messages between PGMQ queues, also of different
// databases. Unlike the methods of package mq they do not repeat a call that ended
// with driver.ErrBadConn, which says that nothing was done.
func (p *Provider) Rows(ctx context.Context, queue string, ids ...string) ([]Row, error) {
	q, err := p.attachAny(ctx, queue)
	if err != nil {
		return nil, err
	}
	var wanted array
	for _, id := range ids {
		n, err := parseID(id)
		if err != nil {
			return nil, err
		}
		wanted.int(n)
	}
	var rows []Row
	err = p.read(ctx, q, statement("rows", q.names), []any{wanted.String()}, func(found row) error {
		var id int64
		var r Row
		err := found.Scan(&id, &r.Message, &r.Headers)
		r.ID = strconv.FormatInt(id, 10)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, receiveError(err)
	}
	return rows, nil
}

// SendRows stores all rows, or none, as new messages that are visible at once,
// and returns their ids. Row.ID is not used; ages and read counts begin anew.
// Messages and headers that Rows returned read the same again, byte for byte;
// other JSON is normalised as jsonb does.
//
// It returns driver.ErrInvalid if PostgreSQL cannot store a row,
// driver.ErrNotSupported for headers if the queue has no column for them, and
// driver.ErrUnavailable if the rows may or may not have been stored.
func (p *Provider) SendRows(ctx context.Context, queue string, rows ...Row) ([]string, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	q, err := p.attachAny(ctx, queue)
	if err != nil {
		return nil, err
	}
	i, err := insertionOf(q, rows)
	if err != nil {
		return nil, err
	}
	notifies := q.hub.takeNotify()
	ids := make([]string, 0, len(rows))
	text, args := i.statement(q, notifies)
	if err := p.run(ctx, q, text, args, scanIDs(&ids)); err != nil {
		if notifies {
			q.hub.notifySoon(p)
		}
		return nil, err
	}
	q.hub.inserted(p, notifies)
	return ids, nil
}

// insertionOf is Provider.insertion for rows, which need no encoding.
func insertionOf(q *queue, rows []Row) (i insertion, err error) {
	size := 0
	for _, r := range rows {
		if size += len(r.Message) + len(r.Headers); r.Headers != nil && !q.names.Headers {
			return i, noHeaders(q)
		}
	}
	if size > maxInsert {
		return i, fmt.Errorf("%w: a batch of %d MiB; send it in parts", driver.ErrTooLarge, size>>20)
	}
	var bodies array
	for _, r := range rows {
		bodies.json(r.Message)
		i.attrs.json(r.Headers)
	}
	i.body, i.headers = bodies.String(), i.attrs.String()
	return i, nil
}

// json adds JSON, or NULL for nil.
func (a *array) json(b []byte) {
	if b == nil {
		a.null()
	} else {
		addText(a, b)
	}
}

// attachAny is attach for a name that QueueName has not folded yet.
func (p *Provider) attachAny(ctx context.Context, name string) (*queue, error) {
	name, err := p.QueueName(name)
	if err != nil {
		return nil, err
	}
	return p.attach(ctx, p.pool, name)
}
