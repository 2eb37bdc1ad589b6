package pgmq

import "time"

// txNotify is the state of the notifications for sends in callers' transactions.
// Of transactions that follow each other quickly some send none. For those,
// notifications follow at growing intervals, since the driver does not know when
// such a transaction commits.
type txNotify struct {
	notified time.Time // when a transaction last notified
	running  bool      // notifyAfterTx is
	again    bool      // another transaction has sent none meanwhile
}

var txPauses = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second}

// takeTxNotify is takeNotify for a caller's transaction. Transactions have a
// throttle of their own, since one that notifies may be rolled back.
func (h *hub) takeTxNotify(p *Provider) bool {
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
		go h.notifyAfterTx(p)
	}
	return false
}

func (h *hub) notifyAfterTx(p *Provider) {
	defer p.tasks.Done()
	for i := 0; i < len(txPauses) && pause(p.ctx, txPauses[i]); i = h.nextPause(i) {
		p.notifier.notify(p, h.queue)
	}
}

// nextPause returns the number of the next pause after the ith.
func (h *hub) nextPause(i int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tx.again {
		h.tx.again = false
		return 0
	}
	h.tx.running = i+1 < len(txPauses)
	return i + 1
}
