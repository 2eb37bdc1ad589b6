package main

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/portmq/mq"
)

// keep remembers the first batch that was sent, to recognise its copies. origins are
// what their headers name, "" for copies without that header.
func (m *mover) keep(ids, origins []string, ds []*mq.Delivery) {
	if m.copies != nil || len(ids) != len(ds) || len(ids) == 0 {
		return
	}
	m.copies = make(map[string][32]byte, len(ids))
	for i, id := range ids {
		m.copies[id] = digest(origins[i], ds[i].Body)
	}
	m.leased = ds[0].VisibleAt.Add(-m.visibility)
}

// isCopy reports whether a message from the source is one that was sent to the
// target. Its id alone does not show that, nor does a header from an earlier copy:
// the source may hold another message with the same id, and the same body. But
// copies are younger than the lease of the first batch.
func (m *mover) isCopy(d *mq.Delivery) bool {
	sent, ok := m.copies[d.ID]
	young := !d.EnqueuedAt.Before(m.leased.Add(-time.Second)) // RabbitMQ stores whole seconds
	return ok && young && sent == digest(d.Headers[headerCopiedFrom], d.Body)
}

// digest identifies a copy by where it is from and its body.
func digest(origin string, body []byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte(origin), []byte{0}, body))
}
