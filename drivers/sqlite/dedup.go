package sqlite

import (
	"context"
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
	sent := make([]driver.Sent, len(rows))
	own := make(map[string]string) // ids by key: the messages are not in the table yet
	var fresh []row
	for i, r := range rows {
		id := messageID(q.id, last+1+int64(len(fresh)))
		if sent[i], err = t.takeKey(q.id, id, r.msg, own); err != nil {
			return nil, err
		}
		if !sent[i].Duplicate {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return sent, nil
	}
	_, err = t.send(name, fresh)
	return sent, err
}

// takeKey takes the key of a message, which will have the id if it is stored.
func (t *txn) takeKey(queue, id int64, m *driver.Message, own map[string]string) (driver.Sent, error) {
	mine := driver.Sent{ID: formatID(id)}
	if m.DedupKey == "" {
		return mine, nil
	}
	if first, again := own[m.DedupKey]; again {
		return driver.Sent{ID: first, Duplicate: true}, nil
	}
	var ends any
	if m.DedupFor != driver.WhileQueued {
		ends = later(t.now, m.DedupFor)
	}
	var taken bool
	if err := t.query(into(&taken, &id), sqlTakeKey, queue, m.DedupKey, id, ends, t.now); err != nil {
		return mine, err
	}
	if taken {
		own[m.DedupKey] = mine.ID
		return mine, nil
	}
	err := t.query(into(&taken, &id), sqlHolder, queue, m.DedupKey)
	return driver.Sent{ID: formatID(id), Duplicate: true}, err
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
