package work

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/chaos/ledger"
)

// consumer receives in all the ways that there are.
type consumer struct {
	*backend
	*recorder
	lease time.Duration
}

// run consumes until ctx ends.
func (c *consumer) run(ctx context.Context) {
	var all sync.WaitGroup
	again := func(one func(context.Context) error) {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = one(ctx) // the ledger has the errors of its calls
				sleep(ctx, 100*time.Millisecond)
			}
		})
	}
	config := mq.ConsumerConfig{
		Concurrency: 4, Visibility: c.lease, MaxAttempts: mq.Unlimited, Backoff: backoff, OnEvent: c.event, SoftStop: 3 * time.Second, HardStop: time.Second,
	}
	consume := func(queue string, h mq.HandlerFunc, cfg mq.ConsumerConfig) {
		again(func(ctx context.Context) error { return c.Queue(queue).Consume(ctx, c.handled(h), cfg) })
	}
	consume(Plain, c.handle, config)
	again(c.iterate)
	again(c.byHand)
	consume(Volatile, c.handle, config)
	if c.groups {
		grouped := config
		grouped.Groups = mq.ByGroup()
		consume(Grouped, c.handle, grouped)
	}
	if c.tx {
		consume(Steps, c.step, config)
		consume(Done, c.handle, config)
	}
	if c.schedules {
		consume(Fired, c.handle, config)
	}
	all.Wait()
}

func backoff(attempt int) time.Duration {
	return time.Duration(min(attempt, 5)) * 50 * time.Millisecond
}

// event writes down that a Consumer has lost a lease.
func (c *consumer) event(_ context.Context, e mq.Event) {
	if e.Kind == mq.EventLeaseLost {
		rec := c.about(e.Delivery.Receipt)
		rec.Kind, rec.Note = ledger.LeaseLost, note(e.Cause)
		c.Write(rec)
	}
}

// handled writes down when a handler begins and ends.
func (c *consumer) handled(h mq.HandlerFunc) mq.HandlerFunc {
	return func(ctx context.Context, d *mq.Delivery) error {
		rec := c.about(d.Receipt)
		rec.Kind = ledger.HandleBegin
		c.Write(rec)
		err := h(ctx, d)
		rec.Kind, rec.Note = ledger.HandleEnd, note(err)
		c.Write(rec)
		return err
	}
}

// dice returns a number below n that is the same for each delivery of a message.
func dice(d *mq.Delivery, n uint32) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.ID)) // never fails
	_, _ = h.Write(d.Body[:min(len(d.Body), 100)])
	return h.Sum32() % n
}

// handle ends in every way that a handler can.
func (c *consumer) handle(ctx context.Context, d *mq.Delivery) error {
	first := d.ReadCount <= 1
	c.linger(d)
	switch n := dice(d, 100); {
	case n < 4 && first:
		return errors.New("it failed")
	case n < 6 && first:
		panic("it panicked")
	case n < 9 && first:
		return mq.Snooze(50 * time.Millisecond)
	case n < 11:
		return mq.Reject(errors.New("it cannot be handled"))
	case n < 12 && first: // longer than a lease, which heartbeats keep
		sleep(ctx, c.lease*3/2)
		return ctx.Err()
	case n < 13 && first:
		return mq.Retry(20*time.Millisecond, errors.New("not now"))
	case n < 14 && first: // deaf to the end of its lease
		time.Sleep(c.lease / 2)
	}
	return nil
}

// iterate loops over messages, and leaves the loop now and then.
func (c *consumer) iterate(ctx context.Context) error {
	n := 0
	for d, err := range c.Queue(Plain).Messages(ctx, mq.ReceiveOptions{Max: 5, Visibility: c.lease, Wait: 2 * time.Second}) {
		if err != nil {
			return err
		}
		c.linger(d)
		if dice(d, 50) == 0 && d.ReadCount <= 1 {
			_ = d.Nack(context.WithoutCancel(ctx), 30*time.Millisecond)
		} else {
			_ = d.Ack(context.WithoutCancel(ctx))
		}
		if n++; n == 37 {
			return nil
		}
	}
	return nil
}

// byHand receives without heartbeats: some leases end before they are settled.
func (c *consumer) byHand(ctx context.Context) error {
	ds, err := c.Queue(Plain).Receive(ctx, mq.ReceiveOptions{Max: 4, Visibility: c.lease, Wait: time.Second})
	settling := context.WithoutCancel(ctx)
	for _, d := range ds {
		c.linger(d)
		if d.ReadCount <= 1 && dice(d, lateOf) == 0 {
			c.late(d)
			continue
		}
		switch n := dice(d, 200); {
		case n == 0 && d.ReadCount <= 1: // left to its timeout
		case n < 6:
			_ = d.Extend(settling, c.lease)
			_ = d.Ack(settling)
		case n < 10:
			_ = d.Archive(settling, "set aside")
		default:
			_ = d.Ack(settling)
		}
	}
	return err
}

// lateOf is how many messages there are for one that is settled too late.
const lateOf = 40

// late acks a message by its receipt when the lease is over and another receiver has it.
func (c *consumer) late(d *mq.Delivery) {
	ack := mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}
	time.AfterFunc(c.lease*5/4, func() { _ = c.Queue(Plain).Settle(context.Background(), ack) })
}

// linger keeps a message that another receiver is about to ack too late.
func (c *consumer) linger(d *mq.Delivery) {
	if d.ReadCount == 2 && dice(d, lateOf) == 0 {
		time.Sleep(c.lease * 3 / 5)
	}
}

// step acks a message and sends another one, both or neither.
func (c *consumer) step(ctx context.Context, d *mq.Delivery) error {
	rec := c.about(d.Receipt)
	p := new(pending)
	within := context.WithValue(ctx, pendingKey{}, p)
	tx, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.rollback() }()
	_, err = c.Queue(Done).Tx(tx.SQLTx).Send(within, payload{Key: "of " + rec.Key}.message())
	if err == nil {
		err = d.AckTx(within, tx.SQLTx)
	}
	if err == nil && dice(d, 20) == 0 && d.ReadCount <= 1 {
		err = errors.New("changed its mind")
	}
	if err != nil {
		c.conclude(p, err)
		return err
	}
	c.committed(p, tx.commit())
	return nil
}

// committed notes what a commit has come to: an error leaves it open.
func (c *consumer) committed(p *pending, err error) {
	if err != nil {
		err = errors.Join(mq.ErrUnavailable, err)
	}
	c.conclude(p, err)
}
