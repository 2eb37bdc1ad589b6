package mem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// holder is a key that is held.
type holder struct {
	key  string
	id   uint64  // of the message
	ends int64   // when the key is free; never if that is when the message leaves
	slot int32   // in keys.ends
	tx   *Tx     // which has taken the key and has not ended, or nil
	last *holder // whose message tx has settled; it holds the key again if tx is rolled back
	left bool    // the message has left the queue
}

func (h *holder) before(o *holder) bool { return h.ends < o.ends }
func (h *holder) place() *int32         { return &h.slot }

// keys are the keys of a queue.
type keys struct {
	held map[string]*holder
	ends heap[*holder] // those that end by themselves
}

// expire forgets the keys whose time is over.
func (k *keys) expire(now int64) {
	for k.ends.len() > 0 && k.ends.min().ends <= now {
		k.free(k.ends.min())
	}
}

// free frees a key. One that is free already may be held anew by then.
func (k *keys) free(h *holder) {
	h.left = true
	if k.held[h.key] != h {
		return
	}
	delete(k.held, h.key)
	if h.ends != never {
		k.ends.remove(h)
	}
}

// left frees the keys of all messages in the queue, which are being purged.
func (k *keys) left() {
	for _, h := range k.held {
		if h.ends == never && h.tx == nil {
			k.free(h)
		}
	}
}

// hold takes the key of a message with the given id.
func (k *keys) hold(m *driver.Message, id uint64, now int64, tx *Tx) *holder {
	h := &holder{key: m.DedupKey, id: id, ends: never, tx: tx}
	if k.held == nil {
		k.held = make(map[string]*holder)
	}
	k.held[h.key] = h
	if m.DedupFor != driver.WhileQueued {
		h.ends = later(now, m.DedupFor)
		k.ends.push(h)
	}
	return h
}

// SendUnique appends the messages whose keys are free.
func (p *Provider) SendUnique(ctx context.Context, name string, msgs []driver.Message) ([]driver.Sent, error) {
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	added := newMessages(msgs)
	q, err := p.lockFree(ctx, name, msgs, nil)
	if err != nil {
		return nil, err
	}
	defer q.unlock()
	return q.sendUnique(added, msgs, nil, func(i int) { q.insert(added[i], due(&msgs[i])) }), nil
}

// sendUnique calls store for each message that is not a duplicate.
func (q *queue) sendUnique(added []*message, msgs []driver.Message, tx *Tx, store func(i int)) []driver.Sent {
	sent := make([]driver.Sent, len(msgs))
	for i, m := range added {
		key := msgs[i].DedupKey
		h := q.keys.held[key]
		if h != nil && key != "" && !tx.settles(q, h) {
			sent[i] = driver.Sent{ID: formatID(h.id), Duplicate: true}
			continue
		}
		q.reserve(m)
		if key != "" {
			m.holder = q.keys.hold(&msgs[i], m.id, q.now, tx)
			m.holder.last = h
		}
		store(i)
		sent[i].ID = formatID(m.id)
	}
	return sent
}

// keyPatience is how long a send waits for a transaction that has taken its key.
const keyPatience = 10 * time.Second

// lockFree locks a queue when none of the messages' keys is taken by an open transaction
// other than tx.
func (p *Provider) lockFree(ctx context.Context, name string, msgs []driver.Message, tx *Tx) (*queue, error) {
	patience := time.NewTimer(keyPatience)
	defer patience.Stop()
	for {
		q, err := p.lock(ctx, name)
		if err != nil {
			return nil, err
		}
		q.keys.expire(q.now)
		other := q.keys.taken(msgs, tx)
		if other == nil {
			return q, nil
		}
		q.unlock()
		select {
		case <-other.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.done:
			return nil, driver.ErrClosed
		case <-patience.C:
			return nil, fmt.Errorf("%w: an open transaction has sent a message with the same DedupKey", driver.ErrBadConn)
		}
	}
}

// taken returns the open transaction, other than tx, that has taken one of the keys.
func (k *keys) taken(msgs []driver.Message, tx *Tx) *Tx {
	for i := range msgs {
		if h := k.held[msgs[i].DedupKey]; h != nil && h.tx != nil && h.tx != tx {
			return h.tx
		}
	}
	return nil
}

// SendUnique takes keys at once, for as long as the transaction lasts.
func (t txProvider) SendUnique(ctx context.Context, name string, msgs []driver.Message) (sent []driver.Sent, err error) {
	added := newMessages(msgs)
	err = t.locked(func() (*queue, error) { return t.p.lockFree(ctx, name, msgs, t.tx) }, func(q *queue) error {
		sent = q.sendUnique(added, msgs, t.tx, func(i int) {
			t.tx.steps = append(t.tx.steps, step{queue: q, m: added[i], delay: due(&msgs[i])})
		})
		return nil
	})
	return sent, err
}

// settles reports whether the transaction takes the message of h out of the queue, which
// frees a key that is held until then.
func (tx *Tx) settles(q *queue, h *holder) bool {
	if tx == nil || h.ends != never {
		return false
	}
	for i := range tx.steps {
		s := &tx.steps[i]
		if s.settle != nil && s.queue == q && s.m.id == h.id && s.settle.Op != driver.OpNack {
			return true
		}
	}
	return false
}

// releaseKeys frees the keys that the transaction, which is rolled back, has taken.
func (tx *Tx) releaseKeys() {
	for i := range slices.Backward(tx.steps) {
		s := &tx.steps[i]
		if s.settle != nil || s.m.holder == nil {
			continue
		}
		s.queue.lock()
		s.queue.keys.giveBack(s.m.holder)
		s.queue.unlock()
	}
}

// giveBack frees a key that a transaction has taken, or lets the message hold it again
// that did before.
func (k *keys) giveBack(h *holder) {
	if k.held[h.key] != h {
		return
	}
	k.free(h)
	if h.last != nil && !h.last.left {
		k.held[h.key] = h.last
	}
}
