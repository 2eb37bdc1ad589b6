package pgmq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// notifier sends the notifications that follow inserts, for all queues: what becomes
// due while one statement runs goes into the next. Many queues become due at the same
// moment after a Publish.
type notifier struct {
	mu      sync.Mutex
	due     []string // queues
	sending bool
}

// notify has a notification sent, and does not wait for that. The caller is a task of
// the provider, so that Close waits.
func (n *notifier) notify(p *Provider, queue string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.due, queue) {
		n.due = append(n.due, queue)
	}
	if !n.sending {
		n.sending = true
		p.tasks.Add(1)
		go n.send(p)
	}
}

// send sends what is due until nothing is.
func (n *notifier) send(p *Provider) {
	defer p.tasks.Done()
	for {
		n.mu.Lock()
		due := n.due
		n.due = nil
		n.sending = len(due) > 0
		n.mu.Unlock()
		if len(due) == 0 {
			return
		}
		var channels array
		for _, queue := range due {
			channels.text(channel(queue))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := query(ctx, p.pool, sqlNotify, []any{channels.String()}, ignore); err != nil {
			p.log.Debug("pgmq: notifying receivers failed", "queues", due, "error", mapError(err))
		}
		cancel()
	}
}
