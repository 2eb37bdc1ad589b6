package drivertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/portmq/mq"
)

// modelKey is a key that was taken.
type modelKey struct {
	x    *modelMessage
	ends time.Time // zero if it is held while x is queued
}

// sendOnce checks what came of a message with a key.
func (m *model) sendOnce(msg *mq.Message, id string, first bool, now time.Time) error {
	k, known := m.keys[msg.DedupKey]
	held := known && now.Before(k.ends)
	if known && k.ends.IsZero() {
		held = slices.Contains(m.messages, k.x)
	}
	switch {
	case first && held:
		return fmt.Errorf("key %q was stored, and message %s holds it", msg.DedupKey, k.x.ID)
	case !first && !held:
		return fmt.Errorf("key %q is a duplicate of %s, and free", msg.DedupKey, id)
	case held:
		return m.identify(k.x, id)
	}
	k = modelKey{x: m.add(*msg, now)}
	if msg.DedupFor > 0 {
		k.ends = now.Add(msg.DedupFor)
	}
	m.keys[msg.DedupKey] = k
	return m.identify(k.x, id)
}
