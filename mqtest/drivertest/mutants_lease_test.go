package drivertest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// Rule 1.

var receiptMutations = []mutation{
	{"stale ack accepted", "1: acting on a message that has been leased again has no effect", actsOnLast(driver.OpAck), "stale/ack"},
	{"stale nack accepted", "1: acting on a message that has been leased again has no effect", actsOnLast(driver.OpNack), "stale/nack"},
	{"stale archive accepted", "1: acting on a message that has been leased again has no effect", actsOnLast(driver.OpArchive), "stale/archive"},
	{"stale move accepted", "1: acting on a message that has been leased again has no effect", actsOnLast(driver.OpMove), "stale/move"},
	{"stale extend accepted", "1: acting on a message that has been leased again has no effect", extendsLast, "stale/extend"},
	{"stale in silence", "1: acting on a message that has been leased again is ErrStaleReceipt", answering(driver.ErrStaleReceipt, nil), "stale/"},
	{"gone in silence", "1: a message that is gone is ErrMessageNotFound", answering(driver.ErrMessageNotFound, nil), "settle/ack-twice"},
	{"gone is some error", "1: a message that is gone is ErrMessageNotFound", answering(driver.ErrMessageNotFound, errMutant), "settle/ack-twice"},
	{"malformed receipt is stale", "1: a malformed receipt is ErrInvalidReceipt", answering(driver.ErrInvalidReceipt, driver.ErrStaleReceipt), "receipt/garbage"},
	{"foreign receipt is stale", "1: a receipt of another queue is ErrInvalidReceipt", answering(driver.ErrInvalidReceipt, driver.ErrStaleReceipt), "receipt/other-queue"},
	{"foreign receipt accepted", "1: a receipt names a message of one queue", crossesQueues, "receipt/other-queue"},
	{"foreign client accepted", "1: without Caps.PortableReceipts a receipt of another client is stale", answering(driver.ErrStaleReceipt, nil), "open/isolated"},
	{"foreign client refused", "1: Caps.PortableReceipts: a receipt works on another client", refusesStrangers, "receipt/portable"},
	{"batch stops at the first", "1: in a batch the rest takes effect", stopsAtFirst, "stale/batch"},
	{"batch rejected as a whole", "1: in a batch the rest takes effect", rejectsBatches, "stale/batch"},
}

func actsOnLast(op driver.Op) func(*mutant) {
	return settling(func(m *mutant, s *driver.Settlement) {
		if _, last := m.lease(s.Receipt); s.Op == op && last != "" {
			s.Receipt = last
		}
	})
}

func extendsLast(m *mutant) {
	m.extend = func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
		return perItem(len(rs), func(i int) error {
			_, last := m.lease(rs[i])
			return m.Provider.Extend(ctx, queue, []driver.Receipt{last}, d)
		})
	}
}

func crossesQueues(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return perItem(len(s), func(i int) error {
			at := queue
			if l, _ := m.lease(s[i].Receipt); l.queue != "" {
				at = l.queue
			}
			return m.Provider.Settle(ctx, at, s[i:i+1])
		})
	}
}

func refusesStrangers(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return perItem(len(s), func(i int) error {
			if l, _ := m.lease(s[i].Receipt); l.queue == "" {
				return driver.ErrStaleReceipt
			}
			return m.Provider.Settle(ctx, queue, s[i:i+1])
		})
	}
}

func stopsAtFirst(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		var first error
		return perItem(len(s), func(i int) error {
			if first == nil {
				first = m.Provider.Settle(ctx, queue, s[i:i+1])
			}
			return first
		})
	}
}

func rejectsBatches(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		for i := range s {
			if l, last := m.lease(s[i].Receipt); l.queue == queue && s[i].Receipt != last {
				return driver.ErrStaleReceipt
			}
		}
		return m.Provider.Settle(ctx, queue, s)
	}
}

// Rule 2.

var lateMutations = []mutation{
	{"late settle refused", "2: after the timeout settling succeeds if Caps.LateSettle", refusesLate, "lease/late-ack lease/late-nack lease/late-archive"},
	{"late settle works undeclared", "2: after the timeout settling is stale without Caps.LateSettle", undeclare(func(c *driver.Caps) { c.LateSettle = false }), "lease/late-ack lease/late-nack lease/late-archive"},
	{"late extend accepted", "2: extending after the timeout is always stale", answering(driver.ErrStaleReceipt, nil), "lease/extend-late"},
	{"nack does not fence", "2: a successful settlement ends the lease", nackStays, "stale/nack-fences stale/after-nack"},
}

func refusesLate(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return perItem(len(s), func(i int) error {
			if l, _ := m.lease(s[i].Receipt); !l.ends.IsZero() && !l.ends.After(time.Now()) {
				return driver.ErrStaleReceipt
			}
			return m.Provider.Settle(ctx, queue, s[i:i+1])
		})
	}
}

// nackStays leaves a nacked message to its receipt: a nack is an extension by
// next to nothing.
func nackStays(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		return perItem(len(s), func(i int) error {
			if s[i].Op == driver.OpNack && s[i].Delay == 0 {
				return m.Provider.Extend(ctx, queue, []driver.Receipt{s[i].Receipt}, 1)
			}
			return m.Provider.Settle(ctx, queue, s[i:i+1])
		})
	}
}

// Rule 3.

var receiveMutations = []mutation{
	{"more than Max", "3: Receive never returns more than Max", asking(func(r *driver.ReceiveRequest) { r.Max++ }), "receive/max"},
	{"blocks with Wait 0", "3: Receive with Wait 0 never blocks for a message", asking(func(r *driver.ReceiveRequest) { r.Wait = max(r.Wait, 3*time.Second) }), "receive/no-wait"},
	{"waits too long", "Receive may wait for r.Wait at most", asking(func(r *driver.ReceiveRequest) { r.Wait *= 50 }), "wait/ends"},
	{"sleeps through", "a provider that can be woken should wait", sleepsThrough, "wait/wakes-on-send"},
	{"missing queue swallowed", "3: a missing queue is ErrQueueNotFound", missingQueueIsEmpty, "names/missing-queue"},
	{"missing queue is made", "3: a missing queue is ErrQueueNotFound", makesQueues, "names/missing-queue"},
	{"leases for the departed", "3: if ctx ended before the claim the result is ctx.Err", ignoresContext, "receive/cancelled"},
	{"drops what it leased", "3: the claim runs to its end, and what it leased is returned", dropsClaims, "wait/cancel-loses-nothing"},
	{"out of order", "Caps.Order", reversesDeliveries, "receive/order"},
	{"hands out twice", "a leased message is hidden", handsOutTwice, "receive/each-once"},
	{"other queues' messages", "a queue delivers what was sent to it", oneQueueForAll, "receive/own-queue"},
}

func sleepsThrough(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		end := time.After(r.Wait)
		r.Wait = 0
		ds, err := m.Provider.Receive(ctx, queue, r)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		select {
		case <-end:
		case <-ctx.Done():
		}
		return m.Provider.Receive(ctx, queue, r)
	}
}

func missingQueueIsEmpty(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		return ds, replaced(err, driver.ErrQueueNotFound, nil)
	}
}

func makesQueues(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		if err := m.EnsureQueue(ctx, queue, driver.QueueOptions{}); err != nil {
			return nil, err
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}

func ignoresContext(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		if ctx.Err() != nil {
			ctx, r.Wait = context.WithoutCancel(ctx), 0
		}
		return m.Provider.Receive(ctx, queue, r)
	}
}

func dropsClaims(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		if r.Wait > 0 && len(ds) > 0 {
			time.Sleep(time.Millisecond)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		return ds, err
	}
}

func reversesDeliveries(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		slices.Reverse(ds)
		return ds, err
	}
}

// handsOutTwice answers each tenth call as the one before.
func handsOutTwice(m *mutant) {
	var before []driver.Delivery
	n := 0
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		m.mu.Lock()
		defer m.mu.Unlock()
		if n++; n%10 == 0 && len(before) <= r.Max {
			return before, nil
		}
		before = slices.Clone(ds)
		return ds, err
	}
}

func oneQueueForAll(m *mutant) {
	var first string
	m.ensure = func(ctx context.Context, queue string, o driver.QueueOptions) error {
		if first == "" {
			first = queue
		}
		return m.Provider.EnsureQueue(ctx, queue, o)
	}
	m.receive = func(ctx context.Context, _ string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		return m.Provider.Receive(ctx, first, r)
	}
}

// Rule 4.

var survivalMutations = []mutation{
	{"new id on redelivery", "4: ID survives redelivery", showing(func(d *driver.Delivery) { d.ID += strings.Repeat("0", d.ReadCount-1) }), "lease/redelivered"},
	{"new EnqueuedAt on redelivery", "4: EnqueuedAt survives redelivery", showing(func(d *driver.Delivery) {
		d.EnqueuedAt = d.EnqueuedAt.Add(time.Duration(d.ReadCount-1) * time.Millisecond)
	}), "lease/redelivered"},
	{"EnqueuedAt counts from the delay's end", "4: EnqueuedAt is when the message was sent", showing(func(d *driver.Delivery) { d.EnqueuedAt = time.Now() }), "delay/enqueued-at"},
	{"read count stuck", "4: the read count grows by one per lease", showing(func(d *driver.Delivery) { d.ReadCount = 1 }), "lease/read-counts"},
	{"read count from 0", "ReadCount is 1 on the first", showing(func(d *driver.Delivery) { d.ReadCount-- }), "receive/read-count"},
	{"extend adds", "4: Extend counts from now", extendAdds, "lease/extend-from-now"},
	{"extend does nothing", "Extend makes each lease end d from now", extendsNothing, "lease/extend"},
	{"extend of a twin refused", "Extend: receipts that repeat have the same answer", extendsOnce, "lease/extend-twins"},
	{"loser of two nacks finds nothing", "Settle: the receipts may repeat, and then one of them wins", losersFindNothing, "settle/twin-nacks"},
	{"loser of two nacks does not look", "Settle: the receipts may repeat, and then one of them wins", losersDoNotLook, "settle/twin-nacks"},
	{"extend does not shorten", "an extension may also shorten a lease", extendOnlyLengthens, "lease/extend-shortens"},
	{"whole seconds", "4: durations work down to Caps.Resolution", asking(func(r *driver.ReceiveRequest) { r.Visibility = r.Visibility.Truncate(time.Second) + time.Second }), "lease/short"},
	{"lease never ends", "a message that is not settled in time comes back", asking(func(r *driver.ReceiveRequest) { r.Visibility *= 1000 }), "lease/hidden"},
	{"lease ends early", "a message is hidden until its visibility timeout", asking(func(r *driver.ReceiveRequest) { r.Visibility /= 2 }), "lease/hidden"},
	{"VisibleAt is the beginning", "VisibleAt is when the lease ends", showing(func(d *driver.Delivery) { d.VisibleAt = time.Now() }), "receive/visible-at"},
}

func extendAdds(m *mutant) {
	m.extend = func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
		return perItem(len(rs), func(i int) error {
			l, _ := m.lease(rs[i])
			return m.Provider.Extend(ctx, queue, rs[i:i+1], d+max(0, time.Until(l.ends)))
		})
	}
}

func extendsOnce(m *mutant) {
	m.extend = func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
		err := m.Provider.Extend(ctx, queue, rs, d)
		errs := make([]error, len(rs))
		for i, r := range rs {
			if errs[i] = itemOf(err, i); slices.Contains(rs[:i], r) {
				errs[i] = driver.ErrMessageNotFound
			}
		}
		return driver.Batch(errs)
	}
}

func losersFindNothing(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		err := m.Provider.Settle(ctx, queue, s)
		return replacedItems(err, driver.ErrStaleReceipt, driver.ErrMessageNotFound, len(s))
	}
}

func losersDoNotLook(m *mutant) {
	m.settle = func(ctx context.Context, queue string, s []driver.Settlement) error {
		err := m.Provider.Settle(ctx, queue, s)
		errs := make([]error, len(s))
		for i := range s {
			if errs[i] = itemOf(err, i); slices.ContainsFunc(s[:i], func(o driver.Settlement) bool { return o.Receipt == s[i].Receipt && o.Op == driver.OpNack }) {
				errs[i] = driver.ErrStaleReceipt
			}
		}
		return driver.Batch(errs)
	}
}

// replacedItems replaces one error of a batch of n by another.
func replacedItems(err error, from, to error, n int) error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = replaced(itemOf(err, i), from, to)
	}
	return driver.Batch(errs)
}

func extendsNothing(m *mutant) {
	m.extend = func(context.Context, string, []driver.Receipt, time.Duration) error { return nil }
}

func extendOnlyLengthens(m *mutant) {
	m.extend = func(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
		return perItem(len(rs), func(i int) error {
			l, _ := m.lease(rs[i])
			return m.Provider.Extend(ctx, queue, rs[i:i+1], max(d, time.Until(l.ends)))
		})
	}
}
