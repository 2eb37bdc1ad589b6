package drivertest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

var dedupMutations = []mutation{
	{"keys ignored", "Deduplicator: a second send with a key stores nothing", sendsAll, "dedup/first"},
	{"duplicates unnoticed", "Sent.Duplicate", unique(func(_ *driver.Message) {}, func(s *driver.Sent) { s.Duplicate = false }), "dedup/first"},
	{"duplicates of nobody", "Sent.ID is that of the message that holds the key", unique(func(_ *driver.Message) {}, func(s *driver.Sent) {
		if s.Duplicate {
			s.ID = "0"
		}
	}), "dedup/first"},
	{"keys folded", "other keys are other messages", unique(func(m *driver.Message) { m.DedupKey = strings.ToLower(m.DedupKey) }, nil), "dedup/apart"},
	{"keys trimmed", "other keys are other messages", unique(func(m *driver.Message) { m.DedupKey = strings.TrimSpace(m.DedupKey) }, nil), "dedup/apart"},
	{"keys held for ever", "after DedupFor the key is free", unique(func(m *driver.Message) {
		if m.DedupFor > 0 {
			m.DedupFor += 24 * time.Hour
		}
	}, nil), "dedup/ends"},
	{"keys held while queued", "a key is held for DedupFor, however soon its message is done", unique(func(m *driver.Message) { m.DedupFor = driver.WhileQueued }, nil), "dedup/done"},
	{"WhileQueued is an hour", "WhileQueued frees the key when the message leaves", unique(func(m *driver.Message) { m.DedupFor = time.Hour }, nil), "dedup/while-queued-left"},
	{"WhileQueued is no time", "WhileQueued holds the key while the message is in the queue", unique(func(m *driver.Message) {
		if m.DedupFor < 0 {
			m.DedupFor = 1
		}
	}, nil), "dedup/while-queued"},
	{"a key for the whole batch", "the messages with free keys are stored", oneKey, "dedup/batch"},
	{"keys for duplicates", "a duplicate does not prolong how long the key is held", prolongs, "dedup/not-prolonged"},
	{"a duplicate aborts", "a duplicate in a transaction does not abort it", txRefusesDuplicates, "dedup/tx-duplicate"},
}

func sendsAll(m *mutant) {
	m.unique = func(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
		ids, err := m.Provider.Send(ctx, queue, msgs)
		sent := make([]driver.Sent, len(ids))
		for i, id := range ids {
			sent[i].ID = id
		}
		return sent, err
	}
}

// unique changes what SendUnique gets and answers.
func unique(in func(*driver.Message), out func(*driver.Sent)) func(*mutant) {
	return func(m *mutant) {
		m.unique = func(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
			msgs = append([]driver.Message(nil), msgs...)
			for i := range msgs {
				if msgs[i].DedupKey != "" {
					in(&msgs[i])
				}
			}
			sent, err := m.Provider.SendUnique(ctx, queue, msgs)
			for i := range sent {
				if out != nil {
					out(&sent[i])
				}
			}
			return sent, err
		}
	}
}

func oneKey(m *mutant) {
	m.unique = func(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
		msgs = append([]driver.Message(nil), msgs...)
		for i := range msgs {
			msgs[i].DedupKey, msgs[i].DedupFor = msgs[0].DedupKey, msgs[0].DedupFor
		}
		return m.Provider.SendUnique(ctx, queue, msgs)
	}
}

// prolongs holds a key for as long as its last duplicate asks.
func prolongs(m *mutant) {
	ends := make(map[string]time.Time)
	m.unique = func(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		sent, err := m.Provider.SendUnique(ctx, queue, msgs)
		for i := range sent {
			key := queue + "/" + msgs[i].DedupKey
			if sent[i].Duplicate = sent[i].Duplicate || time.Now().Before(ends[key]); sent[i].Duplicate {
				ends[key] = time.Now().Add(msgs[i].DedupFor)
			}
		}
		return sent, err
	}
}

func txRefusesDuplicates(m *mutant) {
	m.tx = func(tx driver.SQLTx) (driver.TxProvider, error) {
		p, err := m.Provider.Tx(tx)
		return txRefusing{p}, err
	}
}

type txRefusing struct{ driver.TxProvider }

func (t txRefusing) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	sent, err := t.TxProvider.(driver.Deduplicator).SendUnique(ctx, queue, msgs)
	for _, s := range sent {
		if s.Duplicate {
			return nil, errors.New("duplicate")
		}
	}
	return sent, err
}
