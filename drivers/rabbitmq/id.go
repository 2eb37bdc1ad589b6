package rabbitmq

import (
	"encoding/base32"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// idSource makes ids that no other source makes, and that sort by time: the
// microseconds since 1970, and what tells the source from others.
type idSource struct {
	source uint64
	last   atomic.Int64
}

func newIDSource() *idSource { return &idSource{source: randomUint64()} }

// sortable keeps the order of what it encodes.
var sortable = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// next returns an id and its time. Of one source no two have the same.
func (s *idSource) next() (id string, at time.Time) {
	for {
		last := s.last.Load()
		now := max(time.Now().UnixMicro(), last+1)
		if s.last.CompareAndSwap(last, now) {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:8], uint64(now))
			binary.BigEndian.PutUint64(b[8:], s.source)
			return sortable.EncodeToString(b[:]), time.UnixMicro(now)
		}
	}
}
