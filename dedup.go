package mq

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portmq/mq/driver"
)

// The default and the limit of Message.DedupFor.
const (
	defaultDedupFor = 5 * time.Minute
	maxDedupFor     = 366 * 24 * time.Hour
)

// Dedup sets the message's DedupKey and DedupFor; 0 is the default of 5 minutes.
func Dedup(key string, d time.Duration) SendOption {
	return func(m *Message) { m.DedupKey, m.DedupFor = key, d }
}

// checkDedup checks the key of a message.
func checkDedup(m *Message) error {
	switch {
	case m.DedupKey == "" && m.DedupFor != 0:
		return invalid("DedupFor without a DedupKey")
	case len(m.DedupKey) > 255:
		return invalid("DedupKey has %d bytes, the limit is 255", len(m.DedupKey))
	case !isText(m.DedupKey):
		return invalid("DedupKey has a NUL or is not UTF-8")
	case m.DedupFor < 0 && m.DedupFor != WhileQueued, m.DedupFor > maxDedupFor:
		return invalid("DedupFor %v is not between 0 and %v (see WhileQueued)", m.DedupFor, maxDedupFor)
	}
	return nil
}

// SendOnce is Send for a message with a DedupKey, and says whether it was the first:
// whether it has been stored. Otherwise the ID is that of the message that holds the
// key, which may be done by now.
func (q *Queue) SendOnce(ctx context.Context, m *Message) (id string, first bool, err error) {
	return once(m, func() ([]string, []bool, error) { return q.sendAll(ctx, []*Message{m}) })
}

// SendOnce is Queue.SendOnce inside the transaction. A message that it stores holds its
// key from now on, and for good if the transaction commits; a duplicate leaves the
// transaction as it was. Other senders of the key wait until then.
func (t *TxQueue) SendOnce(ctx context.Context, m *Message) (id string, first bool, err error) {
	return once(m, func() ([]string, []bool, error) { return t.sendAll(ctx, []*Message{m}) })
}

// SendOnce is Queue.SendOnce for a value. The key comes from Dedup.
func (t TypedQueue[T]) SendOnce(ctx context.Context, v T, opts ...SendOption) (id string, first bool, err error) {
	m, err := t.Encode(v, opts...)
	if err != nil {
		return "", false, err
	}
	return t.q.SendOnce(ctx, m)
}

func once(m *Message, send func() ([]string, []bool, error)) (id string, first bool, err error) {
	if m != nil && m.DedupKey == "" {
		return "", false, &Error{Op: "send", Err: invalid("SendOnce needs a DedupKey")}
	}
	ids, duplicate, err := send()
	if id, err = single(ids, err); err != nil {
		return "", false, err
	}
	return id, len(duplicate) == 0 || !duplicate[0], nil
}

// keyed reports whether one of the messages has a key.
func keyed(msgs []driver.Message) bool {
	return slices.ContainsFunc(msgs, func(m driver.Message) bool { return m.DedupKey != "" })
}

// maxUnique is how many messages of several callers share a call: a backend may need a
// lock for each key.
const maxUnique = 48

// unique is a message in the lane of those with keys, and where its caller learns
// whether it was a duplicate. Only a caller whose part has landed looks there.
type unique struct {
	driver.Message
	duplicate *bool
}

// store carries messages to the provider.
func (q *Queue) store(ctx context.Context, msgs []driver.Message) (ids []string, duplicate []bool, err error) {
	if !keyed(msgs) {
		ids, err = q.lanes.send.do(ctx, msgs)
		return ids, nil, err
	}
	if _, err := optional[driver.Deduplicator](q.client.provider); err != nil {
		return nil, nil, unsupported("Message.DedupKey")
	}
	duplicate, items := make([]bool, len(msgs)), make([]unique, len(msgs))
	for i, m := range msgs {
		items[i] = unique{m, &duplicate[i]}
	}
	ids, err = q.lanes.unique.do(ctx, items)
	if batch := (*BatchError)(nil); err != nil && !errors.As(err, &batch) {
		return ids, nil, err
	}
	return ids, duplicate, err
}

// flyUnique is flySend for messages with keys.
func (c *Client) flyUnique(ctx context.Context, queue string, items []unique) (ids []string, err error) {
	d, err := optional[driver.Deduplicator](c.provider)
	if err != nil {
		return nil, theirs(err)
	}
	msgs := make([]driver.Message, len(items))
	for i := range items {
		msgs[i] = items[i].Message
	}
	err = try(ctx, func(ctx context.Context) error {
		sent, err := d.SendUnique(ctx, queue, msgs)
		if ids, err = idsOf(sent, len(msgs), err); ids == nil {
			return err
		}
		for i, s := range sent {
			*items[i].duplicate = s.Duplicate
		}
		return err
	})
	return ids, err
}

// idsOf returns the ids of what a provider has sent.
func idsOf(sent []driver.Sent, n int, err error) ([]string, error) {
	if len(sent) != n {
		return nil, cmp.Or(err, wrongCount(len(sent), n))
	}
	ids := make([]string, n)
	for i, s := range sent {
		ids[i] = s.ID
	}
	return ids, err
}

func cloneUnique(items []unique) []unique {
	out := slices.Clone(items)
	for i := range out {
		out[i].Message = cloneMessages([]driver.Message{out[i].Message})[0]
	}
	return out
}
