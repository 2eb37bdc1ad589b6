package sqlite

import (
	"encoding/binary"
	"syscall"
	"testing"
)

func TestConcerns(t *testing.T) {
	event := func(name string, padding int) []byte {
		b := make([]byte, syscall.SizeofInotifyEvent+len(name)+padding)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(name)+padding))
		copy(b[syscall.SizeofInotifyEvent:], name)
		return b
	}
	for _, test := range []struct {
		events []byte
		want   bool
	}{
		{nil, false},
		{event("app.log", 9), false},
		{event("queue.db", 8), true},
		{event("queue.db-wal", 4), true},
		{event("queue.db-shm", 4), false},
		{append(event("app.log", 1), event("queue.db-wal", 0)...), true},
		{event("queue.db", 8)[:20], true}, // cut off
	} {
		if got := concerns(test.events, "queue.db"); got != test.want {
			t.Errorf("concerns(%q) = %v", test.events, got)
		}
	}
}
