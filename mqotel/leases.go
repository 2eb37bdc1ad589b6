package mqotel

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/portmq/mq"
)

// leases knows the deliveries that a handler has had, by receipt, until they
// are garbage: a Consumer settles outside of the spans of its handler, and a
// lease that is lost shows in up to two places.
type leases struct{ m sync.Map } // of leaseKey to *handled

type leaseKey struct {
	queue   string
	receipt mq.Receipt
}

type handled struct {
	outer, span trace.SpanContext // around the process span, and that
	lost        atomic.Bool       // and counted
	settling    atomic.Bool       // or settled: an extension at the same time may find no lease
}

func (ls *leases) add(queue string, d *mq.Delivery, outer, span trace.SpanContext) *handled {
	h, key := &handled{outer: outer, span: span}, leaseKey{queue, d.Receipt}
	ls.m.Store(key, h)
	runtime.AddCleanup(d, func(key leaseKey) { ls.m.CompareAndDelete(key, h) }, key)
	return h
}

func (ls *leases) find(queue string, r mq.Receipt) *handled {
	h, _ := ls.m.Load(leaseKey{queue, r})
	known, _ := h.(*handled)
	return known
}

// countLost counts the leases among receipts that a call, which ended with
// err, has found lost.
func (t *Telemetry) countLost(ctx context.Context, l labels, receipts []mq.Receipt, err error) {
	// mq itself, not the provider, answers this of a Delivery that it has
	// already seen settled or lost.
	if err == nil || err == mq.ErrStaleReceipt {
		return
	}
	for i, r := range receipts {
		h := t.leases.find(l.queue, r)
		if errors.Is(itemError(err, i), mq.ErrStaleReceipt) && (h == nil || !h.settling.Load()) {
			t.lose(ctx, l, h)
		}
	}
}

// settling marks receipts as about to be settled. settled unmarks those that could
// not be.
func (ls *leases) settling(queue string, receipts []mq.Receipt) (settled func(error)) {
	hs := make([]*handled, len(receipts))
	for i, r := range receipts {
		if hs[i] = ls.find(queue, r); hs[i] != nil {
			hs[i].settling.Store(true)
		}
	}
	return func(err error) {
		for i, h := range hs {
			if h != nil && itemError(err, i) != nil {
				h.settling.Store(false)
			}
		}
	}
}

// lose counts one lost lease, once.
func (t *Telemetry) lose(ctx context.Context, l labels, h *handled) {
	if h == nil || h.lost.CompareAndSwap(false, true) {
		t.inst.lost.Add(ctx, 1, t.set(labels{provider: l.provider, queue: l.queue}))
	}
}
