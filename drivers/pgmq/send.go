package pgmq

import (
	"context"
	"fmt"
	"strconv"

	"github.com/portmq/mq/driver"
)

// Send inserts msgs with one statement.
func (p *Provider) Send(ctx context.Context, name string, msgs []driver.Message) ([]string, error) {
	q, err := p.attach(ctx, p.pool, name)
	if err != nil {
		return nil, err
	}
	i, err := p.insertion(q, msgs)
	if err != nil {
		return nil, err
	}
	notifies := q.hub.takeNotify()
	ids := make([]string, 0, len(msgs))
	text, args := i.statement(q, notifies)
	if err := p.run(ctx, q, text, args, scanIDs(&ids)); err != nil {
		if notifies { // it was for earlier inserts, too
			q.hub.notifySoon(p)
		}
		return nil, err
	}
	q.hub.inserted(p, notifies)
	return ids, nil
}

func scanIDs(ids *[]string) func(row) error {
	var id int64
	return func(rows row) error {
		err := rows.Scan(&id)
		*ids = append(*ids, strconv.FormatInt(id, 10))
		return err
	}
}

// insertion is what an insert is given: one value each, or arrays.
type insertion struct {
	one                  bool
	delay, body, headers any
	delays, attrs        array
}

// maxInsert keeps a statement within PostgreSQL's protocol.
const maxInsert = 512 << 20

func (p *Provider) insertion(q *queue, msgs []driver.Message) (i insertion, err error) {
	if err := p.checkInsertion(q, msgs); err != nil {
		return i, err
	}
	if i.one = len(msgs) == 1; i.one {
		i.single(msgs[0], p.cfg.ExactBodies)
		return i, nil
	}
	i.batch(msgs, p.cfg.ExactBodies)
	return i, nil
}

// checkInsertion returns why the queue cannot take the messages.
func (p *Provider) checkInsertion(q *queue, msgs []driver.Message) error {
	if err := checkHeaders(msgs); err != nil {
		return err
	}
	size := 0
	for _, m := range msgs {
		if size += len(m.Body); !q.names.Headers && (len(m.Headers) > 0 || m.Group != "") {
			return noHeaders(q)
		}
	}
	if size > maxInsert {
		return fmt.Errorf("%w: a batch of %d MiB; send it in parts", driver.ErrTooLarge, size>>20)
	}
	return nil
}

// due returns when a message is due, in microseconds from the send on.
func due(m *driver.Message) int64 { return micros(m.Delay) - m.HeadStart.Microseconds() }

func noHeaders(q *queue) error {
	return fmt.Errorf("%w: queue %q has no headers, as before PGMQ 1.5 (Install adds them)", driver.ErrNotSupported, q.name)
}

func (i *insertion) single(m driver.Message, exact bool) {
	i.delay, i.body = due(&m), text(encodeBody(m.Body, exact))
	if h, ok := encodeHeaders(m.Headers, m.Group); ok {
		i.headers = h
	}
}

// batch leaves an array out if it would hold nothing.
func (i *insertion) batch(msgs []driver.Message, exact bool) {
	bodies := make(textArray, len(msgs))
	delayed, attributed := false, false
	for n, m := range msgs {
		bodies[n] = encodeBody(m.Body, exact)
		delayed = delayed || m.Delay > 0 || m.HeadStart > 0
		attributed = attributed || len(m.Headers) > 0 || m.Group != ""
	}
	i.body = bodies
	if delayed {
		for _, m := range msgs {
			i.delays.int(due(&m))
		}
		i.delay = i.delays.String()
	}
	if attributed {
		for _, m := range msgs {
			if h, ok := encodeHeaders(m.Headers, m.Group); ok {
				i.attrs.text(h)
			} else {
				i.attrs.null()
			}
		}
		i.headers = i.attrs.String()
	}
}

// statement returns the statement, which may notify as well.
func (i *insertion) statement(q *queue, notify bool) (text string, args []any) {
	args = []any{i.delay, i.body}
	if q.names.Headers {
		args = append(args, i.headers)
	}
	if notify {
		args = append(args, channel(q.name))
	}
	switch {
	case i.one && notify:
		return q.texts.insertOneNotifying, args
	case i.one:
		return q.texts.insertOne, args
	case notify:
		return q.texts.insertNotifying, args
	}
	return q.texts.insert, args
}
