package mq

import (
	"context"
	"sync"
	"time"
)

// keeper keeps leases of one queue alive: at each beat one batched Extend for
// all that are past half their time. It is the heartbeat of a Consumer and of
// Queue.Messages.
type keeper struct {
	queue      *Queue
	visibility time.Duration
	stop       context.CancelFunc
	done       chan struct{}

	mu     sync.Mutex
	leases map[*lease]Receipt
}

// beatsPerVisibility is how often the keeper looks: a lease is extended when
// between a half and two thirds of its time have gone, which leaves time for
// two more beats if the first fails.
const beatsPerVisibility = 6

// newKeeper starts the heartbeat. It has the values of ctx, and goes on until
// close.
func newKeeper(ctx context.Context, q *Queue, visibility time.Duration) *keeper {
	k := &keeper{queue: q, visibility: visibility, done: make(chan struct{}), leases: make(map[*lease]Receipt)}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	go k.run(ctx)
	return k
}

// close ends the heartbeats. Leases still held run out.
func (k *keeper) close() {
	k.stop()
	<-k.done
}

// keep takes over deliveries that nobody else has seen yet.
func (k *keeper) keep(ds []*Delivery) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range ds {
		d.lease.keeper = k
		k.leases[&d.lease] = d.Receipt
	}
}

// drop forgets a lease.
func (k *keeper) drop(l *lease) {
	k.mu.Lock()
	delete(k.leases, l)
	k.mu.Unlock()
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	tick := time.NewTicker(max(k.visibility/beatsPerVisibility, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.beat(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// beat extends what is past half its time and gives up what is past all of it.
func (k *keeper) beat(ctx context.Context) {
	due, receipts := k.due(time.Now())
	if len(due) == 0 {
		return
	}
	start := time.Now()
	err := k.extend(ctx, receipts)
	now := time.Now()
	for i, l := range due {
		err := itemError(err, i)
		l.endExtend(err, start.Add(k.visibility))
		if isLost(err) || err != nil && now.After(l.ends()) {
			k.lose(l)
		}
	}
}

// due returns the leases to extend, marked as being extended.
func (k *keeper) due(now time.Time) (due []*lease, receipts []Receipt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for l, receipt := range k.leases {
		if l.ends().Sub(now) <= k.visibility/2 && l.beginExtend() {
			due = append(due, l)
			receipts = append(receipts, receipt)
		}
	}
	return due, receipts
}

func (k *keeper) extend(ctx context.Context, receipts []Receipt) error {
	// A heartbeat that takes longer than this comes too late for some lease.
	ctx, cancel := context.WithTimeout(ctx, min(k.queue.client.cfg.CallTimeout, k.visibility/2))
	defer cancel()
	return k.queue.Extend(ctx, k.visibility, receipts...)
}

// lose gives a lease up: whoever works on it should stop.
func (k *keeper) lose(l *lease) {
	k.drop(l)
	if cancel := l.markLost(); cancel != nil {
		cancel(ErrStaleReceipt)
	}
}
