package mem

import (
	"runtime"
	"strconv"
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
	const size, few, many = 512, 100_000, 1_000_000
	body := make([]byte, size)
	plain := func(int) driver.Message { return driver.Message{Body: body} }
	later := func(int) driver.Message { return driver.Message{Body: body, Delay: time.Hour} }
	one := func(int) driver.Message { return driver.Message{Body: body, Group: "g"} }
	own := func(i int) driver.Message { return driver.Message{Body: body, Group: strconv.Itoa(i)} }
	byGroups := func(c client) { c.heads(byGroup, 1) }
	tests := []struct {
		name  string
		n     int
		m     func(i int) driver.Message
		fill  func(c client)
		limit int64 // of bytes per message above its body
	}{
		{"visible", many, plain, func(client) {}, 300},
		{"delayed", few, later, func(client) {}, 300},
		{"leased", few, plain, leaseAll, 300},
		{"one group", few, one, byGroups, 300},
		{"many groups", few, own, byGroups, 500},
		{"archived", few, plain, archiveEverything, 300},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, n := open(t), tt.n
			if testing.Short() {
				n = few
			}
			before := heapInUse()
			batch := make([]driver.Message, 1000)
			for i := 0; i < n; i += len(batch) {
				for j := range batch {
					batch[j] = tt.m(i + j)
				}
				c.send("q", batch...)
			}
			tt.fill(c)
			above := (heapInUse()-before)/int64(n) - size
			t.Logf("%d bytes per message above its body", above)
			if above > tt.limit {
				t.Errorf("%d bytes per message above its body, want at most %d", above, tt.limit)
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
