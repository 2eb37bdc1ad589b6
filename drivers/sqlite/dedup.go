package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"math/rand/v2"

	"github.com/portmq/mq/driver"
)

// SendUnique stores the messages whose keys are free, or nothing.
func (p *Provider) SendUnique(ctx context.Context, name string, msgs []driver.Message) (sent []driver.Sent, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, err
	}
	err = p.write(ctx, func(t *txn) error {
		sent, err = t.sendUnique(name, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sent, nil
}

// SendUnique stores the messages whose keys are free. Nobody else can take a key until
// the transaction has ended, since it is the writer.
func (t txProvider) SendUnique(ctx context.Context, name string, msgs []driver.Message) (sent []driver.Sent, err error) {
	rows, err := newRows(msgs)
	if err != nil {
		return nil, t.abort(ctx, err)
	}
	err = t.do(ctx, func(tx *txn) error {
		sent, err = tx.sendUnique(name, rows)
		return err
	})
	return sent, err
}

// sendUnique stores rows whose keys are free.
func (t *txn) sendUnique(name string, rows []row) ([]driver.Sent, error) {
	q, last, err := t.reserve(name, 0, 0)
	if err != nil {
		return nil, err
	}
	if rand.IntN(sweepEvery) == 0 {
		if err := t.forgetKeys(2 * sweepEvery * len(rows)); err != nil {
			return nil, err
		}
	}
	holders, err := t.holders(q.id, rows)
	if err != nil {
		return nil, err
	}
	sent := make([]driver.Sent, len(rows))
	var fresh []row
	var taken [][3]any // key, id, and when it is free
	for i, r := range rows {
		key := r.msg.DedupKey
		if id, held := holders[key]; held {
			sent[i] = driver.Sent{ID: formatID(id), Duplicate: true}
			continue
		}
		fresh = append(fresh, r)
		id := messageID(q.id, last+int64(len(fresh)))
		sent[i].ID = formatID(id)
		if key != "" {
			holders[key] = id
			taken = append(taken, [3]any{key, id, t.ends(r.msg)})
		}
	}
	if len(fresh) == 0 {
		return sent, nil
	}
	if err := t.hold(q.id, taken); err != nil {
		return nil, err
	}
	_, err = t.send(name, fresh)
	return sent, err
}

// holders returns the messages that hold keys of rows, by key. Nobody else takes one
// meanwhile, since the transaction is the writer.
func (t *txn) holders(queue int64, rows []row) (map[string]int64, error) {
	holders := make(map[string]int64, len(rows))
	var keys []string
	for _, r := range rows {
		if r.msg.DedupKey != "" {
			keys = append(keys, r.msg.DedupKey)
		}
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	return holders, t.query(func(rows *sql.Rows) error {
		var key string
		var id int64
		err := rows.Scan(&key, &id)
		holders[key] = id
		return err
	}, sqlHeldKeys, queue, string(list), t.now)
}

// ends returns when the key of a message is free, nil for when it has left the queue.
func (t *txn) ends(m *driver.Message) any {
	if m.DedupFor == driver.WhileQueued {
		return nil
	}
	return later(t.now, m.DedupFor)
}

// hold enters keys.
func (t *txn) hold(queue int64, taken [][3]any) error {
	if len(taken) == 0 {
		return nil
	}
	list, err := json.Marshal(taken)
	if err == nil {
		_, err = t.exec(sqlHoldKeys, queue, string(list))
	}
	return err
}

// sweepEvery is how many sends there are for one that looks for keys to forget.
const sweepEvery = 16

// forgetKeys removes some of the rows of keys that are free: a few more than come, so
// that they do not pile up.
func (t *txn) forgetKeys(n int) error {
	if _, err := t.exec(sqlForgetEnded, t.now, n); err != nil {
		return err
	}
	_, err := t.exec(sqlForgetLeft, rand.Int64(), n)
	return err
}
