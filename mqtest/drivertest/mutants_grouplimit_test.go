package drivertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portmq/mq/driver"
)

var groupLimitMutations = []mutation{
	{"no limit", "GroupBy.Limit: at most so many leases", limiting(func(r *driver.GroupRequest) { r.By.Limit += 10 }), "group-limit/leases group-limit/workers group-limit/consumer group-limit/plain-lease group-limit/path group-limit/header"},
	{"one more than the limit", "GroupBy.Limit: at most so many leases", limiting(func(r *driver.GroupRequest) { r.By.Limit++ }), "group-limit/leases group-limit/many group-limit/timeout group-limit/extended"},
	{"the limit is always 1", "GroupBy.Limit: so many messages of a group", limiting(func(r *driver.GroupRequest) { r.By.Limit = 1 }), "group-limit/leases group-limit/delayed group-limit/behind-full group-limit/wait"},
	{"the limit is of one receive", "GroupBy.Limit: whatever receive leased them", limitOfOneReceive, "group-limit/leases group-limit/workers"},
	{"the last group takes all", "ReceiveHeads: the groups with the fewest leases come first", lastFirst, "group-limit/shares"},
	{"a limit of 1 is one of 2", "GroupBy.Limit: 0 means 1", func(m *mutant) {
		m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
			if r.By.Limit == 1 {
				r.By.Limit = 2
			}
			return m.Provider.ReceiveHeads(ctx, queue, r)
		}
	}, "group-limit/one"},
	{"the rest is a group", "a message without a key is a group of its own", restIsGroup, "group-limit/no-key"},
}

// limiting changes requests with a limit.
func limiting(change func(*driver.GroupRequest)) func(*mutant) {
	return func(m *mutant) {
		m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
			if r.By.Limit > 1 {
				change(&r)
			}
			return m.Provider.ReceiveHeads(ctx, queue, r)
		}
	}
}

// limitOfOneReceive counts no leases but those of the receive itself.
func limitOfOneReceive(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		if r.By.Limit < 2 {
			return m.Provider.ReceiveHeads(ctx, queue, r)
		}
		limit := r.By.Limit
		r.By.Limit = 1000
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		had := make(map[string]int)
		return slices.DeleteFunc(ds, func(d driver.Delivery) bool {
			had[d.GroupKey]++
			return d.GroupKey != "" && had[d.GroupKey] > limit && m.giveBack(ctx, queue, d)
		}), err
	}
}

// giveBack nacks what the mutant does not hand out.
func (m *mutant) giveBack(ctx context.Context, queue string, d driver.Delivery) bool {
	return m.Provider.Settle(ctx, queue, []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpNack}}) == nil
}

// lastFirst leases from the group that it last leased from while it can.
func lastFirst(m *mutant) {
	var mu sync.Mutex
	var last string
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.By.Limit < 2 || r.Max > 1 || last == "" {
			ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
			if len(ds) == 1 && r.By.Limit > 1 {
				last = ds[0].GroupKey
			}
			return ds, err
		}
		all := r
		all.Max, all.Wait = 10, 0
		ds, err := m.Provider.ReceiveHeads(ctx, queue, all)
		chosen := max(0, slices.IndexFunc(ds, func(d driver.Delivery) bool { return d.GroupKey == last }))
		for i, d := range ds {
			if i != chosen {
				m.giveBack(ctx, queue, d)
			}
		}
		if len(ds) == 0 {
			time.Sleep(time.Millisecond)
			return ds, err
		}
		return ds[chosen : chosen+1], err
	}
}

// restIsGroup hands out one message without a key at a time.
func restIsGroup(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		one := false
		return slices.DeleteFunc(ds, func(d driver.Delivery) bool {
			again := r.By.Limit > 1 && d.GroupKey == "" && one
			one = one || d.GroupKey == ""
			return again
		}), err
	}
}
