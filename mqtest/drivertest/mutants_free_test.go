package drivertest

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

var freeMutations = []mutation{
	{"a nack with a delay is a lease", "a group is free if its oldest message is visible and none is leased", delayedHold, "group/delayed-behind drain/nacked-delayed"},
	{"free groups are looked for among the oldest", "ReceiveHeads leases the oldest message of free groups", nearSighted, "group/behind-blocked"},
	{"the empty key starves", "GroupBy.Path: the value is compared as text", withoutEmpty, "group/empty-key"},
	{"a batch overtakes", "Caps.Order", overtakes, "send/order-batch"},
}

// delayedHold keeps all groups busy from the first nack with a delay on, for as
// long as that has not ended.
func delayedHold(m *mutant) {
	var until atomic.Int64
	held := func() bool { return time.Now().UnixNano() < until.Load() }
	settling(func(_ *mutant, s *driver.Settlement) {
		if s.Op == driver.OpNack && s.Delay > 0 {
			until.Store(time.Now().Add(s.Delay).UnixNano())
		}
	})(m)
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		if held() {
			return nil, nil
		}
		return m.Provider.ReceiveHeads(ctx, queue, r)
	}
	m.group = func(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
		if held() {
			return nil, nil
		}
		return m.Provider.ReceiveGroup(ctx, queue, r)
	}
}

// nearSighted sees the first 800 messages only.
func nearSighted(m *mutant) {
	m.groups = only(m, func(d driver.Delivery) bool {
		id, err := strconv.Atoi(d.ID)
		return err != nil || id <= 800
	})
}

func withoutEmpty(m *mutant) {
	m.groups = only(m, func(d driver.Delivery) bool { return d.GroupKey != "" })
}

// only is ReceiveHeads without some of what it leases.
func only(m *mutant, sees func(driver.Delivery) bool) func(context.Context, string, driver.GroupRequest) ([]driver.Delivery, error) {
	return func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		return slices.DeleteFunc(ds, func(d driver.Delivery) bool { return !sees(d) }), err
	}
}

// overtakes sends what is sent alone with a delay.
func overtakes(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		if len(msgs) == 1 {
			msgs = slices.Clone(msgs)
			msgs[0].Delay += time.Millisecond
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}
