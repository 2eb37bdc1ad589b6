package sqlite

import (
	"context"
	"encoding/json"

	"github.com/portmq/mq/driver"
)

// inlineBody is up to how many bytes a body is in the message's row, which each lease
// writes again. Larger ones have rows of their own.
const inlineBody = 2 << 10

// Send stores all messages or none.
func (p *Provider) Send(ctx context.Context, name string, msgs []driver.Message) (ids []string, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, err
	}
	err = p.write(ctx, func(t *txn) error {
		ids, err = t.send(name, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// row is a message to be stored.
type row struct {
	msg     *driver.Message
	headers any // its text, or nil
}

func newRows(msgs []driver.Message) ([]row, error) {
	rows := make([]row, len(msgs))
	for i := range msgs {
		rows[i].msg = &msgs[i]
		if len(msgs[i].Headers) == 0 {
			continue
		}
		text, err := json.Marshal(msgs[i].Headers)
		if err != nil {
			return nil, err
		}
		rows[i].headers = string(text)
	}
	return rows, nil
}

// send stores rows and returns their ids.
func (t *txn) send(name string, rows []row) ([]string, error) {
	grouped := 0
	for i := range rows {
		if rows[i].msg.Group != "" {
			grouped = 1
		}
	}
	q, last, err := t.reserve(name, int64(len(rows)), grouped)
	if err != nil {
		return nil, err
	}
	first := last - int64(len(rows)) + 1
	if err := t.insert(q.id, first, rows); err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i := range ids {
		ids[i] = formatID(first + int64(i))
	}
	t.wake(name)
	return ids, t.enter(q, first, last)
}

// reserve counts n more messages into the queue and returns the number of the last.
func (t *txn) reserve(name string, n int64, grouped int) (q queueRow, last int64, err error) {
	var found bool
	err = t.query(into(&found, &q.id, &q.mark, &q.groupings, &last), sqlReserve, name, n, grouped)
	if err == nil && !found {
		err = driver.ErrQueueNotFound
	}
	return q, last, err
}

// insert inserts rows, many at a time.
func (t *txn) insert(queue, number int64, rows []row) error {
	var args []any
	for len(rows) > 0 {
		n := insertRows[0]
		for _, n = range insertRows {
			if n <= len(rows) {
				break
			}
		}
		args = append(args[:0], queue, t.now)
		for i := range rows[:n] {
			id := messageID(queue, number+int64(i))
			a, err := t.arguments(queue, id, &rows[i])
			if err != nil {
				return err
			}
			args = append(args, a...)
		}
		if _, err := t.exec(inserts[n], args...); err != nil {
			return err
		}
		rows, number = rows[n:], number+int64(n)
	}
	return nil
}

// arguments returns what is inserted for a row. A large body is stored on the way.
func (t *txn) arguments(queue, id int64, r *row) ([]any, error) {
	m := r.msg
	due := later(t.now, m.Delay) - m.HeadStart.Microseconds()
	t.hide(queue, due, false, 1)
	var group, body any = nil, m.Body
	if m.Group != "" {
		group = m.Group
	}
	if m.Body == nil {
		body = []byte{}
	}
	if len(m.Body) > inlineBody {
		body = nil
		if _, err := t.exec(sqlInsertBody, id, m.Body); err != nil {
			return nil, err
		}
	}
	return []any{id, due, len(m.Body), group, r.headers, body}, nil
}
