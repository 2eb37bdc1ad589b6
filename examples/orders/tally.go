package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// counts are the figures of a run.
type counts struct {
	Lines     int // that are not blank
	Malformed int // lines sent that are no order
	Refused   int // lines that the queue did not take
	Sent      int
	Processed int
	Retried   int // attempts that failed and were repeated
	Dead      int // dead letters
}

func (c counts) finished() int { return c.Processed + c.Dead }

// unfinished says how much there was still to do.
func (c counts) unfinished() error {
	return fmt.Errorf("%d of the %d lines sent were neither processed nor dead-lettered", c.Sent-c.finished(), c.Sent)
}

// tally collects what becomes of the orders.
type tally struct {
	mu sync.Mutex
	counts
	sent    map[string]sending // by message id
	refused []refusal
	dead    map[string]int // by reason
	fed     bool           // nothing more will be sent
	done    chan struct{}  // closed when all that was sent is finished
}

type sending struct {
	line int
	at   time.Time
}

type refusal struct {
	line int
	err  error
}

func newTally() *tally {
	return &tally{sent: make(map[string]sending), dead: make(map[string]int), done: make(chan struct{})}
}

// update changes the figures and looks whether that was the last change.
func (t *tally) update(change func(t *tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
	if t.fed && t.finished() >= t.Sent {
		t.fed = false
		close(t.done)
	}
}

func (t *tally) snapshot() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// watch is an interceptor: it counts the retries and dead letters that the
// provider has really taken.
func (t *tally) watch(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	if err := next(ctx); err != nil {
		return err
	}
	for _, s := range c.Settlements {
		switch s.Op {
		case mq.OpNack:
			t.update(func(t *tally) { t.Retried++ })
		case mq.OpArchive:
			t.update(func(t *tally) { t.Dead++; t.dead[s.Reason]++ })
		}
	}
	return nil
}
