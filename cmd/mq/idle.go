package main

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

// retryPause is the longest pause of a Consumer whose backend does not answer.
const retryPause = 12 * time.Second

// claimTime is how long a receive may look for a message that can be received.
const claimTime = time.Minute

// idler ends mq work when the consumer has had nothing to do for a while. A
// backend that is away is no proof of that, nor is the pause after it, nor a
// receive that has not come back with the messages that are there.
type idler struct {
	consumer *mq.Consumer
	queue    *mq.Queue
	idle     time.Duration
	groups   bool

	last  mq.ConsumerStats
	since time.Time // when the idleness began
	away  time.Time // since when the backend does not answer, zero if it does
}

func (i *idler) run(ctx context.Context, stop func()) {
	i.since = time.Now()
	for waitFor(ctx, min(i.idle/4+time.Millisecond, time.Second)) {
		if i.look(ctx) {
			stop()
		}
	}
}

// look reports whether the time is over. Whatever has happened since the last
// look may have happened just now.
func (i *idler) look(ctx context.Context) bool {
	err := i.queue.Client().Ping(ctx)
	s := i.consumer.Stats()
	switch {
	case err != nil:
		if i.away.IsZero() {
			i.away = time.Now()
		}
		i.since = time.Now().Add(min(2*time.Since(i.away), retryPause)) // pauses double
		return false
	case s != i.last || s.Running+s.Buffered+s.Settling > 0:
		i.away, i.last, i.since = time.Time{}, s, time.Now()
		return false
	}
	i.away = time.Time{}
	return time.Since(i.since) >= i.idle && !i.waiting(ctx)
}

// waiting reports whether there are messages that the consumer does not have
// yet. Those of a group may have to wait for another worker, and then for more
// than a receive.
func (i *idler) waiting(ctx context.Context) bool {
	s, err := i.queue.Stats(ctx)
	if i.consumer.Stats() != i.last {
		return true
	}
	if i.groups && time.Since(i.since) >= i.idle+claimTime {
		return false
	}
	return err == nil && s.Visible+max(s.Blocked, 0) > 0
}
