package mq

import (
	"context"
	"iter"
	"sync"
)

// Messages receives batch after batch and yields one delivery at a time, until
// the loop is left, nothing comes within o.Wait, or an error occurs, the end of
// ctx included, which is yielded last. With Wait Forever it waits on an empty
// queue.
//
// The leases of a batch are kept alive until the loop is done with them, however
// long its body takes. No other receiver gets those messages meanwhile, so a loop
// with a slow body should set o.Max to 1. The body should settle its delivery; one
// that it does not settle runs out after its visibility timeout. A delivery whose
// lease is lost before its turn is not yielded.
//
// Leaving the loop gives the rest of the batch back. The end of ctx, or Close,
// gives it back at once, and ends the loop at its next turn. Close waits up to
// Config.CallTimeout for the loop to end.
func (q *Queue) Messages(ctx context.Context, o ReceiveOptions) iter.Seq2[*Delivery, error] {
	return func(yield func(*Delivery, error) bool) {
		err := q.messages(ctx, o, yield)
		if err != nil && ctx.Err() == nil && q.client.base.Err() != nil {
			err = q.fail("receive", ErrClosed)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (q *Queue) messages(ctx context.Context, o ReceiveOptions, yield func(*Delivery, error) bool) error {
	req, bad := q.request(o, 10)
	if !q.client.iterators.enter() {
		return q.fail("receive", ErrClosed)
	}
	defer q.client.iterators.leave()
	ctx, stop := q.client.untilClose(ctx)
	defer stop()
	var keep *keeper
	defer func() {
		if keep != nil {
			keep.close()
		}
	}()
	for {
		ds, err := q.receive(ctx, "receive", req, bad, fetchAny)
		if len(ds) == 0 {
			return err
		}
		if keep == nil {
			keep = newKeeper(ctx, q, req.Visibility, nil)
		}
		if !q.yieldAll(ctx, keep, ds, yield) {
			return nil
		}
		if err != nil { // an interceptor's, about a receive that brought something
			return err
		}
	}
}

// yieldAll yields ds while their leases are kept and ctx lives, and gives back
// what the loop has not seen. Leases that were lost meanwhile are passed over.
func (q *Queue) yieldAll(ctx context.Context, keep *keeper, ds []*Delivery, yield func(*Delivery, error) bool) (more bool) {
	keep.keep(ds)
	b := &batch{rest: ds}
	giveBack := sync.OnceFunc(func() { q.giveBack(ctx, b.take(len(ds))) })
	defer giveBack() // also if the body panics; if the one below has begun, waits for it
	defer context.AfterFunc(ctx, func() {
		q.client.background(func(error) {}, giveBack) // the body may take long, or hang
	})()
	for ctx.Err() == nil { // else the next receive reports it
		next := b.take(1)
		if len(next) == 0 {
			break
		}
		d := next[0]
		if d.lease.stateAt(now()) == lost {
			q.logLost(d)
			continue
		}
		more := yield(d, nil)
		d.lease.release()
		if !more {
			return false
		}
	}
	return true
}

// batch is what a loop has received and not yielded yet.
type batch struct {
	mu   sync.Mutex
	rest []*Delivery
}

// take takes the first n, or fewer if there are not as many.
func (b *batch) take(n int) (ds []*Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.rest))
	ds, b.rest = b.rest[:n], b.rest[n:]
	return ds
}

// logLost warns that a lease ended before its message was settled.
func (q *Queue) logLost(d *Delivery) {
	_, why := d.lease.current()
	q.client.cfg.Logger.Warn("mq: lease lost before the message was settled", "message", d, "reason", why.String())
}

// giveBack nacks what nobody has worked on, even if ctx has ended.
func (q *Queue) giveBack(ctx context.Context, ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	ctx = unattended(context.WithoutCancel(ctx), q.client.limits())
	ctx, cancel := q.client.callTimeout().within(ctx)
	defer cancel()
	var back []Settlement
	var claimed []*Delivery
	for _, d := range ds {
		s := Settlement{Receipt: d.Receipt, Op: OpNack, Uncounted: q.client.caps.Attempts}
		if d.lease.beginSettle(ctx, OpNack, q.mustBeStill(s)) == nil {
			back, claimed = append(back, s), append(claimed, d)
		}
	}
	if len(back) == 0 {
		return
	}
	q.givenBack(claimed, q.Settle(ctx, back...))
}

// givenBack takes note of how the nacks of giveBack ended. Those that failed
// are not tried again.
func (q *Queue) givenBack(ds []*Delivery, err error) {
	for i, d := range ds {
		err := itemError(err, i)
		if err == nil || isLost(err) {
			d.lease.endSettle(err)
			continue
		}
		d.lease.giveUp()
		q.client.cfg.Logger.Warn("mq: a message could not be given back and waits for its visibility timeout", "message", d, "error", err)
	}
}

// untilClose derives a context that also ends when Close begins.
func (c *Client) untilClose(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(c.base, cancel)
	return ctx, func() { unhook(); cancel() }
}
