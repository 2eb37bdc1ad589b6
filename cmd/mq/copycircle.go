package main

import (
	"crypto/sha256"
	"slices"

	"github.com/portmq/mq"
)

// keep remembers the first batch that was sent, if its copies can be recognised.
func (m *mover) keep(ids []string, ds []*mq.Delivery) {
	if m.copies != nil || m.withoutOrigin || len(ids) != len(ds) {
		return
	}
	m.copies = make(map[string][32]byte, len(ids))
	for i, id := range ids {
		m.copies[id] = digest(m.origin(ds[i]), ds[i].Body)
	}
}

// isCopy reports whether a message from the source is one that was sent to the
// target. Its id alone does not show that, nor does a header from an earlier copy.
func (m *mover) isCopy(d *mq.Delivery) bool {
	sent, ok := m.copies[d.ID]
	return ok && sent == digest(d.Headers[headerCopiedFrom], d.Body)
}

// digest identifies a copy by where it is from and its body.
func digest(origin string, body []byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte(origin), []byte{0}, body))
}
