package mem

import (
	"runtime"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// heapInUse returns the live bytes.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestMemory fills queues and drains them: a message takes at most 300 bytes
// above its body, and nothing stays behind.
func TestMemory(t *testing.T) {
	const size, perMessage = 512, 300
	const few, many = 200_000, 1_000_000
	ready := driver.Message{Body: make([]byte, size)}
	group := driver.Message{Body: make([]byte, size), Group: "g"}
	later := driver.Message{Body: make([]byte, size), Delay: time.Hour}
	tests := []struct {
		name string
		n    int
		m    driver.Message
		fill func(c client)
	}{
		{"visible", many, ready, func(client) {}},
		{"delayed", few, later, func(client) {}},
		{"leased", few, ready, leaseAll},
		{"one group", few, group, func(c client) { c.heads(byGroup, 1) }},
		{"archived", few, ready, archiveEverything},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, n := open(t), tt.n
			if testing.Short() {
				n = few
			}
			before := heapInUse()
			batch := make([]driver.Message, 1000)
			for i := range batch {
				batch[i] = tt.m
			}
			for range n / len(batch) {
				c.send("q", batch...)
			}
			tt.fill(c)
			above := (heapInUse()-before)/int64(n) - size
			t.Logf("%d bytes per message above its body", above)
			if above > perMessage {
				t.Errorf("%d bytes per message above its body, want at most %d", above, perMessage)
			}
			drain(c)
			if kept := heapInUse() - before; kept > int64(n) {
				t.Errorf("%d bytes are kept of %d messages", kept, n)
			}
			runtime.KeepAlive(c.Provider)
		})
	}
}

func leaseAll(c client) {
	r := driver.ReceiveRequest{Max: 1000, Visibility: time.Hour}
	for len(c.receive("q", r)) > 0 {
	}
}

func archiveEverything(c client) {
	r := driver.ReceiveRequest{Max: 1000, Visibility: time.Hour}
	for {
		ds := c.receive("q", r)
		if len(ds) == 0 {
			return
		}
		s := make([]driver.Settlement, len(ds))
		for i, d := range ds {
			s[i] = driver.Settlement{Receipt: d.Receipt, Op: driver.OpArchive}
		}
		c.must(c.Settle(c.t.Context(), "q", s))
	}
}

// drain removes all messages one by one, not by a purge.
func drain(c client) {
	q := c.store.queue("q")
	q.lock()
	for {
		m, ok := q.messages.first()
		if !ok {
			break
		}
		q.remove(m)
	}
	q.unlock()
	for c.redrive("q", nil, 1000) > 0 {
		for {
			ds, err := c.Pop(c.t.Context(), "q", 1000)
			c.must(err)
			if len(ds) == 0 {
				break
			}
		}
	}
}
