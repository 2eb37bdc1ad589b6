package mq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portmq/mq/driver"
)

// Settling. A job carries one outcome to the backend, in as many tries as the lease
// lasts. It holds the claim of the lease meanwhile (see lease.claim), so that neither the
// handler nor an interceptor can settle the message a second time, and it counts as
// unsettled until it is done and its event has been reported: Run waits for that, and
// fetches nothing while too many are under way.
//
// Its steps are begin, send, landed, and then stored, repeat or refused. Each of them
// may run in another goroutine: the worker's, a lane's, or one of the job's own. They
// follow each other, so that the fields of a job need no lock.

// job is one settlement of a Consumer, over as many tries as it takes. One
// goroutine at a time acts on it: the worker that began it, a lane's, or one of
// its own.
type job struct {
	c       *Consumer
	ctx     context.Context // the values of the handler's, without its end
	d       *Delivery
	s       [1]Settlement
	o       outcome
	bytes   int
	begun   instant
	tries   int
	again   bool // the lease waits for the next try
	warned  bool // that it takes long
	instead bool // this nack replaces a dead letter that could not be stored
}

// settle carries out an outcome without holding up the worker. The fetches stop
// when too many settlements are under way.
func (c *Consumer) settle(ctx context.Context, t task, o outcome) {
	j := &job{c: c, ctx: context.WithoutCancel(ctx), d: t.d, o: o, bytes: t.bytes, begun: now()}
	j.s[0] = o.settlement(t.d, c)
	c.unsettle(1, t.bytes)
	j.begin()
}

// begin claims the settlement and sends it, at once or when the extensions that
// could undo it have ended.
func (j *job) begin() {
	wait, err := j.d.lease.claim(j.s[0].Op, j.c.queue.mustBeStill(j.s[0]), j.again)
	j.again = false
	switch {
	case err != nil:
		j.c.leave(j.ctx, j.d, j.o.err, j.done)
	case wait == nil:
		j.send()
	default:
		j.c.queue.client.background(j.landed, func() { j.sendAfter(wait) })
	}
}

// sendAfter waits for extensions, each of which has a deadline of its own.
func (j *job) sendAfter(wait <-chan struct{}) {
	ctx, cancel := j.c.queue.client.callTimeout().within(j.ctx)
	defer cancel()
	select {
	case <-wait:
		j.send()
	case <-ctx.Done():
		j.landed(fmt.Errorf("an extension of the lease is still under way: %w", ended(ctx)))
	}
}

// send sends the settlement, for the first time or again.
func (j *job) send() {
	q := j.c.queue
	if err := q.prepare(&j.s[0]); err != nil {
		j.landed(err)
		return
	}
	if q.client.direct() && j.s[0].Op != OpMove && j.s[0].Delay != AtTimeout {
		q.lanes.settle.start(j.s[:], func(_ []string, err error) { j.landed(itemError(err, 0)) })
		return
	}
	q.client.background(j.landed, j.call)
}

// call sends the settlement through the interceptors.
func (j *job) call() {
	q := j.c.queue
	ctx, cancel := q.client.callTimeout().within(unattended(j.ctx, q.client.limits()))
	defer cancel()
	one := []Settlement{j.s[0]}
	j.landed(q.do(ctx, &Call{Op: one[0].Op.String(), Settlements: one}, func(ctx context.Context) error {
		return q.carryOut(ctx, j.d, one)
	}))
}

// landed takes note of how a try ended. While the lease lasts, one that may not
// have arrived is made again: the receipt keeps it from acting twice.
func (j *job) landed(err error) {
	if j.tries > 0 && arrived(j.s[0].Op, err) {
		err = nil
	}
	switch {
	case err == nil:
		j.stored()
	case isLost(err):
		j.d.lease.endSettle(err)
		j.gone()
	case j.mayRepeat(err):
		j.repeat(err)
	default:
		j.refused(err)
	}
}

// gone records that the receipt is stale: the lease was lost, or the handler's
// own settlement was applied but its answer was lost.
func (j *job) gone() {
	state, op := j.d.lease.result()
	switch {
	case j.instead:
		j.done()
	case state == settled:
		j.c.count(func(st *ConsumerStats) { *st.counter(outcome{op: op, kind: EventRetry})++ })
		j.done()
	default:
		j.c.lost(j.ctx, j.d, j.o.err, j.done)
	}
}

// arrived reports whether err says that an earlier try did arrive.
func arrived(op driver.Op, err error) bool {
	if op == OpNack { // a lease that timed out also gave the message back
		return isLost(err)
	}
	return errors.Is(err, ErrMessageNotFound)
}

// stored takes note that the backend has the settlement.
func (j *job) stored() {
	j.d.lease.endSettle(nil)
	if j.instead {
		j.done()
		return
	}
	j.c.count(func(st *ConsumerStats) { *st.counter(j.o)++ })
	if j.s[0].Op != OpNack {
		j.c.nowStored(j.d.ID)
	}
	if j.o.kind == 0 {
		j.done()
		return
	}
	j.c.report(j.ctx, Event{Kind: j.o.kind, Delivery: j.d, Err: j.o.err, Delay: j.o.delay, Reason: j.dead()}, j.done)
}

// dead returns the reason of what was archived, and "" for anything else.
func (j *job) dead() string {
	if j.o.kind != EventDeadLetter && j.o.kind != EventExpired {
		return ""
	}
	return j.s[0].Reason
}

// pause returns how long to wait before the next try: 100 ms, and twice as long each
// time, up to 6.4 s.
func (j *job) pause() time.Duration { return minFetchPause << min(j.tries, 6) }

// mayRepeat reports whether another try is safe, and comes before the lease
// ends.
func (j *job) mayRepeat(err error) bool {
	return !definite(err) && !errors.Is(err, errCopyInDoubt) && j.d.lease.left(now().add(j.pause())) > 0
}

// repeat makes another try after a pause, during which nobody extends the lease:
// else tries that fail at once would keep the message from others for ever. While
// a try waits or hangs the lease is extended.
func (j *job) repeat(err error) {
	pause := j.pause()
	if waited := now().sub(j.begun); waited > j.c.cfg.Visibility && !j.warned {
		j.warned = true
		j.c.log.Warn("mq: a settlement does not get through, trying again", "op", j.s[0].Op.String(), "message", j.d,
			"for", waited.Round(time.Second), "error", err)
	}
	j.d.lease.pauseSettle()
	j.again = true
	j.tries++
	j.c.queue.client.background(j.landed, func() {
		_ = j.c.queue.client.pause(j.ctx, pause) // a client that is closed ends the next try
		j.begin()
	})
}

// refused ends a settlement that cannot succeed. It is tried again with the plainest
// reason. A dead letter is then given back with a growing pause; anything else waits
// for its visibility timeout.
func (j *job) refused(err error) {
	s := &j.s[0]
	dead := (s.Op == OpArchive || s.Op == OpMove) && !errors.Is(err, ErrClosed)
	plain := plainText(s.Reason)
	switch {
	case divisible(err) && plain != s.Reason:
		s.Reason = plain
		j.send()
	case dead && (definite(err) || errors.Is(err, errCopyInDoubt)):
		j.c.queue.client.background(func(error) { j.giveUp(err) }, func() { j.giveBack(err) })
	default:
		j.giveUp(err)
	}
}

// giveBack nacks a dead letter for which there is no place. It is logged once
// for each message, not each time that it comes again. It runs in a goroutine of
// its own, since it calls Backoff.
func (j *job) giveBack(err error) {
	c, s := j.c, j.s[0]
	times := c.notStored(j.d.ID)
	delay := c.possibleDelay(c.backoff(j.d, max(j.d.Attempt, times)))
	if times == 1 {
		c.log.Error("mq: a dead letter could not be stored and will be delivered again",
			"op", s.Op.String(), "message", j.d, "reason", s.Reason, "error", err)
	}
	c.failed(err)
	c.unsettle(1, 0)
	c.tell(j.ctx, Event{Kind: EventNotSettled, Delivery: j.d, Err: j.o.err, Delay: delay, Cause: err}, func() { c.unsettle(-1, 0) })
	j.d.lease.endSettle(err)
	j.s[0] = Settlement{Receipt: s.Receipt, Op: OpNack, Delay: delay}
	j.tries, j.instead = 0, true
	j.begin()
}

// giveUp leaves the message to its visibility timeout.
func (j *job) giveUp(err error) {
	j.d.lease.giveUp()
	if j.instead { // which was counted as failed before
		j.c.logEvent(Event{Kind: EventNotSettled, Delivery: j.d, Cause: err})
		j.done()
		return
	}
	j.c.failed(err)
	j.c.report(j.ctx, Event{Kind: EventNotSettled, Delivery: j.d, Err: j.o.err, Cause: err}, j.done)
}

// failed counts an outcome that the backend did not take.
func (c *Consumer) failed(err error) {
	c.count(func(st *ConsumerStats) {
		st.Failed++
		st.LastError, st.LastErrorAt = err, time.Now()
	})
}

func (j *job) done() { j.c.unsettle(-1, -j.bytes) }

// maxNotStored bounds what a Consumer remembers of dead letters that it could
// not store.
const maxNotStored = 1000

// notStored counts how often a dead letter could not be stored.
func (c *Consumer) notStored(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == nil || len(c.failures) >= maxNotStored {
		c.failures = make(map[string]int)
	}
	c.failures[id]++
	return c.failures[id]
}

func (c *Consumer) nowStored(id string) {
	c.mu.Lock()
	delete(c.failures, id)
	c.mu.Unlock()
}
