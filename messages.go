package mq

import (
	"context"
	"iter"
)

// Messages receives batch after batch and yields one delivery at a time, until
// the loop is left, nothing comes within o.Wait, or an error occurs, the end of
// ctx included, which is yielded last. With Wait Forever it waits on an empty
// queue.
//
// The leases of a batch are kept alive until the loop is done with them: the
// body should settle its delivery; one that it does not settle runs out after
// its visibility timeout. Leaving the loop gives the rest of the batch back.
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
	if !q.client.loops.enter() {
		return q.fail("receive", ErrClosed)
	}
	defer q.client.loops.leave()
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
			keep = newKeeper(ctx, q, req.Visibility)
		}
		if !q.yieldAll(ctx, keep, ds, yield) {
			return nil
		}
	}
}

// yieldAll yields ds while their leases are kept, and gives back what the loop
// has not seen.
func (q *Queue) yieldAll(ctx context.Context, keep *keeper, ds []*Delivery, yield func(*Delivery, error) bool) (more bool) {
	keep.keep(ds)
	rest := ds
	defer func() { q.giveBack(ctx, rest) }() // also if the body panics
	for i, d := range ds {
		rest = ds[i+1:]
		more := yield(d, nil)
		keep.drop(&d.lease)
		if !more {
			return false
		}
	}
	return true
}

// giveBack nacks what nobody has worked on, even if ctx has ended.
func (q *Queue) giveBack(ctx context.Context, ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.client.cfg.CallTimeout)
	defer cancel()
	var back []Settlement
	var held []*Delivery
	for _, d := range ds {
		if d.lease.beginSettle(ctx) == nil {
			back = append(back, Settlement{Receipt: d.Receipt, Op: OpNack})
			held = append(held, d)
		}
	}
	err := q.Settle(ctx, back...)
	for i, d := range held {
		if err := itemError(err, i); err != nil && !isLost(err) {
			q.client.cfg.Logger.Warn("mq: a message could not be given back and waits for its visibility timeout", "message", d, "error", err)
		}
	}
}

// untilClose derives a context that also ends when Close begins.
func (c *Client) untilClose(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(c.base, cancel)
	return ctx, func() { unhook(); cancel() }
}
