package drivertest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portmq/mq/driver"
)

// The optional interfaces.

var groupMutations = []mutation{
	{"two of a group", "ReceiveHeads leases one of each group", headsAndMore, "group/heads"},
	{"groups ignored when none is free", "a group is free if its oldest message is visible and none is leased", headsOrAny, "group/delayed-head group/in-order group/plain-lease"},
	{"youngest group first", "ReceiveHeads: oldest first", headsReversed, "group/heads"},
	{"keyless are one group", "a message without a key is a group of its own", storing(keyless), "group/no-key"},
	{"group keys folded", "messages of one Group are a group", storing(func(m *driver.Message) { m.Group = strings.ToLower(m.Group) }), "group/keys"},
	{"header ignored", "GroupBy.Header", groupsBy(func(by *driver.GroupBy) { by.Header = "" }), "group/header"},
	{"path ignored", "GroupBy.Path", groupsBy(func(by *driver.GroupBy) { by.Path = nil }), "group/path"},
	{"numbers have two spellings", "GroupBy.Path: the value is compared as text", storing(quoteNumber), "group/path-text"},
	{"path is dotted", "GroupBy.Path: object keys", groupsBy(dotted), "group/path-keys"},
	{"drain takes delayed ones", "ReceiveGroup stops in front of a delayed message", drains(func(_ *mutant, r *driver.GroupDrainRequest) { r.IncludeDelayed = true }), "drain/delayed"},
	{"drain never takes delayed ones", "ReceiveGroup with IncludeDelayed", drains(func(_ *mutant, r *driver.GroupDrainRequest) { r.IncludeDelayed = false }), "drain/delayed"},
	{"drain ignores other holders", "if anybody else leases a message of the group ReceiveGroup returns nothing", drains(holdsAll), "drain/holding drain/concurrent"},
	{"drain ignores Holding", "the caller may hold messages of the group", drains(func(_ *mutant, r *driver.GroupDrainRequest) { r.Holding = nil }), "drain/holding drain/in-order"},
	{"drain trusts stale receipts", "1: a receipt names one lease", drains(holdsLast), "drain/stale-holding"},
	{"drain takes any group", "ReceiveGroup leases messages of one group", drainsAll, "drain/one-group"},
}

// quoteNumber keeps a number as it was written.
func quoteNumber(m *driver.Message) {
	m.Body = bytes.ReplaceAll(m.Body, []byte("1e2"), []byte(`"1e2"`))
}

// headsAndMore fills half of what it returns with the followers of the heads.
func headsAndMore(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		limit := r.Max
		r.Max = (r.Max + 1) / 2
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		for _, d := range ds {
			more := driver.GroupDrainRequest{ReceiveRequest: r.ReceiveRequest, By: r.By, Value: d.Group, Holding: []driver.Receipt{d.Receipt}}
			if more.Max, more.Wait = limit-len(ds), 0; more.Max > 0 && d.Group != "" {
				extra, err := m.Provider.ReceiveGroup(ctx, queue, more)
				return append(ds, extra...), err
			}
		}
		return ds, err
	}
}

func headsOrAny(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		now := r
		now.Wait = 0
		if ds, err := m.Provider.ReceiveHeads(ctx, queue, now); err != nil || len(ds) > 0 {
			return ds, err
		}
		return m.Provider.Receive(ctx, queue, r.ReceiveRequest)
	}
}

func headsReversed(m *mutant) {
	m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.ReceiveHeads(ctx, queue, r)
		slices.Reverse(ds)
		return ds, err
	}
}

func keyless(m *driver.Message) {
	if m.Group == "" {
		m.Group = "none"
	}
}

func groupsBy(change func(*driver.GroupBy)) func(*mutant) {
	return func(m *mutant) {
		m.groups = func(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
			change(&r.By)
			return m.Provider.ReceiveHeads(ctx, queue, r)
		}
	}
}

func dotted(by *driver.GroupBy) {
	if by.Path != nil {
		by.Path = strings.Split(strings.Join(by.Path, "."), ".")
	}
}

func drains(change func(*mutant, *driver.GroupDrainRequest)) func(*mutant) {
	return func(m *mutant) {
		m.group = func(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
			change(m, &r)
			return m.Provider.ReceiveGroup(ctx, queue, r)
		}
	}
}

func holdsAll(m *mutant, r *driver.GroupDrainRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Holding = nil
	for receipt := range m.leases {
		r.Holding = append(r.Holding, receipt)
	}
}

func holdsLast(m *mutant, r *driver.GroupDrainRequest) {
	r.Holding = slices.Clone(r.Holding)
	for i, receipt := range r.Holding {
		if _, last := m.lease(receipt); last != "" {
			r.Holding[i] = last
		}
	}
}

func drainsAll(m *mutant) {
	m.group = func(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
		return m.Provider.Receive(ctx, queue, r.ReceiveRequest)
	}
}

var manageMutations = []mutation{
	{"ensure empties", "EnsureQueue never changes or empties a queue that exists", ensureEmpties, "lifecycle/ensure-twice"},
	{"ensure refuses foreign options", "QueueOptions.Drivers: options of another driver are ignored", ensureRefuses, "names/foreign-options"},
	{"purge leaves leased", "PurgeQueue removes leased messages too", purgesVisible, "lifecycle/purge"},
	{"purge leaves delayed", "PurgeQueue removes delayed messages too", purgesVisible, "lifecycle/purge-delayed"},
	{"purge takes the archive", "PurgeQueue leaves the archive alone", purgesArchive, "lifecycle/purge-archive-stays"},
	{"purge miscounts", "PurgeQueue returns how many", purgeMiscounts, "lifecycle/purge"},
	{"drop does nothing", "DropQueue removes the queue", func(m *mutant) { m.drop = func(context.Context, string) error { return nil } }, "lifecycle/drop lifecycle/drop-recreate"},
	{"drop of nothing fails", "DropQueue: a queue that is not there is no error", dropOfNothing, "lifecycle/drop"},
	{"drop keeps the archive", "DropQueue removes the archive", dropEmpties, "lifecycle/drop-archive"},
	{"list not sorted", "ListQueues: sorted", listReversed, "lifecycle/list"},
	{"purge archive ignores the age", "PurgeArchive deletes what has been there for olderThan", purgesAnyAge, "archive/purge-by-age"},
	{"purge archive does nothing", "PurgeArchive deletes", purgesNothing, "archive/purge"},
	{"pop leaves", "Pop removes", popLeases, "pop/removes"},
	{"pop does not count", "Pop: ReadCount counts this read", pops(func(d *driver.Delivery) { d.ReadCount-- }), "pop/removes"},
	{"pop gives receipts", "Pop: without receipts", pops(func(d *driver.Delivery) { d.Receipt = "r" }), "pop/removes"},
	{"pop takes too many", "Pop removes up to max", popsMore, "pop/limit"},
}

func ensureEmpties(m *mutant) {
	m.ensure = func(ctx context.Context, queue string, o driver.QueueOptions) error {
		if err := m.Provider.EnsureQueue(ctx, queue, o); err != nil {
			return err
		}
		_, err := m.Provider.PurgeQueue(ctx, queue)
		return err
	}
}

func ensureRefuses(m *mutant) {
	m.ensure = func(ctx context.Context, queue string, o driver.QueueOptions) error {
		if len(o.Drivers) > 0 {
			return driver.ErrInvalid
		}
		return m.Provider.EnsureQueue(ctx, queue, o)
	}
}

func purgesVisible(m *mutant) {
	m.purge = func(ctx context.Context, queue string) (int64, error) {
		ds, err := m.Provider.Pop(ctx, queue, 1000)
		return int64(len(ds)), err
	}
}

func purgesArchive(m *mutant) {
	m.purge = func(ctx context.Context, queue string) (int64, error) {
		if _, err := m.Provider.PurgeArchive(ctx, queue, 0); err != nil {
			return 0, err
		}
		return m.Provider.PurgeQueue(ctx, queue)
	}
}

func purgeMiscounts(m *mutant) {
	m.purge = func(ctx context.Context, queue string) (int64, error) {
		_, err := m.Provider.PurgeQueue(ctx, queue)
		return 0, err
	}
}

func dropOfNothing(m *mutant) {
	m.drop = func(ctx context.Context, queue string) error {
		if _, err := m.Provider.Stats(ctx, queue); err != nil {
			return err
		}
		return m.Provider.DropQueue(ctx, queue)
	}
}

// dropEmpties hides the queue until it is made again.
func dropEmpties(m *mutant) {
	m.drop = func(ctx context.Context, queue string) error {
		_, err := m.Provider.PurgeQueue(ctx, queue)
		return err
	}
}

func listReversed(m *mutant) {
	m.list = func(ctx context.Context) ([]string, error) {
		names, err := m.Provider.ListQueues(ctx)
		slices.Reverse(names)
		return names, err
	}
}

func purgesAnyAge(m *mutant) {
	m.purgeArchive = func(ctx context.Context, queue string, _ time.Duration) (int64, error) {
		return m.Provider.PurgeArchive(ctx, queue, 0)
	}
}

func purgesNothing(m *mutant) {
	m.purgeArchive = func(ctx context.Context, queue string, _ time.Duration) (int64, error) {
		s, err := m.Provider.Stats(ctx, queue)
		return s.Archived, err
	}
}

func popLeases(m *mutant) {
	m.pop = func(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, driver.ReceiveRequest{Max: limit, Visibility: 1})
		for i := range ds {
			ds[i].Receipt = ""
		}
		return ds, err
	}
}

func pops(change func(*driver.Delivery)) func(*mutant) {
	return func(m *mutant) {
		m.pop = func(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
			ds, err := m.Provider.Pop(ctx, queue, limit)
			for i := range ds {
				change(&ds[i])
			}
			return ds, err
		}
	}
}

func popsMore(m *mutant) {
	m.pop = func(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
		return m.Provider.Pop(ctx, queue, limit+1)
	}
}

var txMutations = []mutation{
	{"tx acts at once", "what a transaction did takes effect when the caller commits", func(m *mutant) {
		m.tx = func(driver.SQLTx) (driver.TxProvider, error) { return m.Provider, nil }
	}, "tx/commit tx/rollback"},
	{"tx swallows stale acks", "1: acting on a message that has been leased again is ErrStaleReceipt", func(m *mutant) {
		m.tx = func(tx driver.SQLTx) (driver.TxProvider, error) {
			inner, err := m.Provider.Tx(tx)
			return deafTx{inner}, err
		}
	}, "tx/stale-ack"},
	{"tx blocks sends", "an open transaction keeps no other call waiting", txBlocks, "tx/others-go-on"},
}

// txBlocks has sends wait, as if for a lock, once a transaction has sent.
func txBlocks(m *mutant) {
	var locked atomic.Bool
	m.tx = func(tx driver.SQLTx) (driver.TxProvider, error) {
		locked.Store(true)
		return m.Provider.Tx(tx)
	}
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		if locked.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}

type deafTx struct{ driver.TxProvider }

func (t deafTx) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	return replaced(t.TxProvider.Settle(ctx, queue, s), driver.ErrStaleReceipt, nil)
}

// Caps and Close.

var capsMutations = []mutation{
	{"caps change", "Caps never changes", capsChange, "open/caps"},
	{"order by id declared", "Caps.Order: the oldest message comes first, retried or not", undeclare(func(c *driver.Caps) { c.Order = driver.OrderID }), "nack/order"},
	{"MaxBatch declared too high", "Caps.MaxBatch is the largest Send", smallBatches, "send/split"},
	{"estimates declared exact", "Caps.ExactStats", approximates, "stats/known"},
}

// undeclare changes what is declared, not what is done.
func undeclare(change func(*driver.Caps)) func(*mutant) {
	return func(m *mutant) {
		m.caps = func(c driver.Caps) driver.Caps {
			change(&c)
			return c
		}
	}
}

func capsChange(m *mutant) {
	var calls atomic.Int64
	m.caps = func(c driver.Caps) driver.Caps {
		c.MaxBatch += int(calls.Add(1))
		return c
	}
}

func smallBatches(m *mutant) {
	m.send = func(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
		if len(msgs) > 100 {
			return nil, driver.ErrInvalid
		}
		return m.Provider.Send(ctx, queue, msgs)
	}
}

func approximates(m *mutant) {
	m.stats = func(ctx context.Context, queue string) (driver.Stats, error) {
		s, err := m.Provider.Stats(ctx, queue)
		s.Approximate = true
		return s, err
	}
}

var closeMutations = []mutation{
	{"close does not wake", "Close: calls in progress, waiting ones included, return soon", sleepsOnAfterClose, "open/close-ends-wait"},
	{"close does nothing", "Close: later calls answer ErrClosed", func(m *mutant) { m.close = func() error { return nil } }, "open/provider-after-close"},
	{"second close fails", "Close: a second call returns nil", closeFails, "open/close-twice"},
}

func sleepsOnAfterClose(m *mutant) {
	m.receive = func(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
		ds, err := m.Provider.Receive(ctx, queue, r)
		if errors.Is(err, driver.ErrClosed) {
			<-ctx.Done()
		}
		return ds, err
	}
}

func closeFails(m *mutant) {
	var closed atomic.Bool
	m.close = func() error {
		if closed.Swap(true) {
			return driver.ErrClosed
		}
		return m.Provider.Close()
	}
}
