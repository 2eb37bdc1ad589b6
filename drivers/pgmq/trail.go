package pgmq

import "time"

// trail is about the notifications for sends in callers' transactions. If
// those come thick, some go without: then others follow, at growing
// intervals, since nobody knows when such a transaction commits.
type trail struct {
	notified time.Time // when a transaction last took a notification along
	running  bool
	again    bool // another transaction went without meanwhile
}

var trailPauses = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second}

// carryTx is carry for a caller's transaction. Transactions are throttled by
// themselves, since one that takes a notification along may be rolled back.
func (h *hub) carryTx(p *Provider) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Sub(h.tx.notified) >= notifyEvery {
		h.tx.notified = now
		return true
	}
	if h.tx.running {
		h.tx.again = true
	} else if p.enter() {
		h.tx.running = true
		go h.trail(p)
	}
	return false
}

func (h *hub) trail(p *Provider) {
	defer p.tasks.Done()
	for i := 0; i < len(trailPauses) && pause(p.ctx, trailPauses[i]); i = h.trailed(i) {
		h.notify(p)
	}
}

// trailed returns the number of the next pause after the ith.
func (h *hub) trailed(i int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tx.again {
		h.tx.again = false
		return 0
	}
	h.tx.running = i+1 < len(trailPauses)
	return i + 1
}
