package drivertest

import (
	"context"
	"errors"
	"time"

	"github.com/portmq/mq/driver"
)

// need is the type of testCase.needs: it returns what is missing, or "".
type need = func(h Harness, p driver.Provider, c driver.Caps) (missing string)

// all needs each of needs, and names the first that is missing.
func all(needs ...need) need {
	return func(h Harness, p driver.Provider, c driver.Caps) string {
		for _, n := range needs {
			if missing := n(h, p, c); missing != "" {
				return missing
			}
		}
		return ""
	}
}

// lacks needs n not to be met: the case checks that it is refused.
func lacks(n need, what string) need {
	return func(h Harness, p driver.Provider, c driver.Caps) string {
		if n(h, p, c) != "" {
			return ""
		}
		return "a provider without " + what
	}
}

func capability(name string, has func(driver.Caps) bool) need {
	return func(_ Harness, _ driver.Provider, c driver.Caps) string {
		if has(c) {
			return ""
		}
		return "Caps." + name
	}
}

func hook(name string, has func(Harness) bool) need {
	return func(h Harness, _ driver.Provider, _ driver.Caps) string {
		if has(h) {
			return ""
		}
		return "Harness." + name
	}
}

// nowhere is a queue that no case makes. What a provider cannot do at all it
// cannot do there either; what it can is ErrQueueNotFound.
const nowhere = "drivertest_nowhere"

// method needs an optional method to be there, and not to answer
// ErrNotSupported, which means the same.
func method(name string, call func(context.Context, driver.Provider) error) need {
	return func(_ Harness, p driver.Provider, _ driver.Caps) string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if errors.Is(call(ctx, p), driver.ErrNotSupported) {
			return "driver." + name
		}
		return ""
	}
}

// as calls f with the optional interface I of p.
func as[I any](p driver.Provider, f func(I) error) error {
	i, ok := p.(I)
	if !ok {
		return driver.ErrNotSupported
	}
	return f(i)
}

// What cases need of the Caps and of the Harness.
var (
	delays       = capability("Delay", func(c driver.Caps) bool { return c.Delay })
	headStart    = capability("HeadStart", func(c driver.Caps) bool { return c.HeadStart })
	headers      = capability("Headers", func(c driver.Caps) bool { return c.Headers })
	atomicSend   = capability("AtomicSend", func(c driver.Caps) bool { return c.AtomicSend })
	moves        = capability("AtomicMove", func(c driver.Caps) bool { return c.AtomicMove })
	shared       = capability("Shared", func(c driver.Caps) bool { return c.Shared })
	portable     = all(shared, capability("PortableReceipts", func(c driver.Caps) bool { return c.PortableReceipts }))
	batches      = capability("MaxBatch of 4 or more", func(c driver.Caps) bool { return c.BatchLimit() >= 4 })
	exactBodies  = capability("ExactBodies", func(c driver.Caps) bool { return c.ExactBodies })
	exactReads   = capability("ExactReadCount", func(c driver.Caps) bool { return c.ExactReadCount })
	attempts     = capability("Attempts", func(c driver.Caps) bool { return c.Attempts })
	nackReasons  = capability("NackReasons", func(c driver.Caps) bool { return c.NackReasons })
	exactStats   = capability("ExactStats", func(c driver.Caps) bool { return c.ExactStats })
	ordered      = capability("Order", func(c driver.Caps) bool { return c.Order != driver.Unordered })
	oneWriter    = all(transactions, capability("OneWriter", func(c driver.Caps) bool { return c.OneWriter }))
	manyWriters  = all(transactions, lacks(oneWriter, "Caps.OneWriter"))
	delayLimit   = capability("MaxDelay", func(c driver.Caps) bool { return c.MaxDelay > 0 })
	leaseLimit   = capability("MaxVisibility or MaxHold", func(c driver.Caps) bool { return c.MaxVisibility > 0 || c.MaxHold > 0 })
	bodyLimit    = capability("MaxBody, up to 64 MiB", func(c driver.Caps) bool { return c.MaxBody > 0 && c.MaxBody <= 64<<20 })
	grouped      = all(capability("Groups", func(c driver.Caps) bool { return c.Groups }), canReceiveHeads, canReceiveGroup)
	limited      = all(grouped, capability("GroupLimit", func(c driver.Caps) bool { return c.GroupLimit }))
	durable      = capability("Durable", func(c driver.Caps) bool { return c.Durable })
	hasAgain     = hook("Again", func(h Harness) bool { return h.Again != nil })
	hasHang      = hook("Hang", func(h Harness) bool { return h.Hang != nil })
	hasBreak     = hook("Break", func(h Harness) bool { return h.Break != nil })
	hasRestart   = hook("Restart", func(h Harness) bool { return h.Restart != nil })
	hasBadDSN    = hook("BadDSN", func(h Harness) bool { return len(h.BadDSN) > 0 })
	hasDownDSN   = hook("DownDSN", func(h Harness) bool { return h.DownDSN != "" })
	ownNamespace = hook("Open with a namespace for each client", func(h Harness) bool { return !h.Common })
	transactions = hook("Begin", func(h Harness) bool { return h.Begin != nil })
)

// What cases need of the optional interfaces.
var (
	canDrop = method("QueueManager.DropQueue", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(m driver.QueueManager) error { return m.DropQueue(ctx, nowhere) })
	})
	canList = method("QueueManager.ListQueues", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(m driver.QueueManager) error { _, err := m.ListQueues(ctx); return err })
	})
	canPurge = method("QueueManager.PurgeQueue", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(m driver.QueueManager) error { _, err := m.PurgeQueue(ctx, nowhere); return err })
	})
	deduplicates = method("Deduplicator", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(d driver.Deduplicator) error {
			_, err := d.SendUnique(ctx, nowhere, []driver.Message{{DedupKey: "k", DedupFor: time.Second}})
			return err
		})
	})
	routes = method("Router", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(r driver.Router) error { return r.Bind(ctx, nowhere, nowhere) })
	})
	listsBindings = method("Router.Bindings", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(r driver.Router) error { _, err := r.Bindings(ctx, ""); return err })
	})
	canPop = method("Popper", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(x driver.Popper) error { _, err := x.Pop(ctx, nowhere, 1); return err })
	})
	canPeek       = canBrowse("Browser", false)
	canSeeArchive = canBrowse("Browser with Archive", true)
	canRedrive    = method("Archivist.Redrive", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(a driver.Archivist) error { _, err := a.Redrive(ctx, nowhere, nil, 1); return err })
	})
	canPurgeArchive = method("Archivist.PurgeArchive", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(a driver.Archivist) error { _, err := a.PurgeArchive(ctx, nowhere, 0); return err })
	})
	canCountReasons = method("ReasonCounter", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(r driver.ReasonCounter) error { _, _, err := r.CountReasons(ctx, nowhere, 1); return err })
	})
	canOverride = method("Overrider", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(o driver.Overrider) error {
			_, err := o.Override(ctx, nowhere, []string{"1"}, driver.Settlement{Op: driver.OpAck})
			return err
		})
	})
	canRemoveArchived = method("Overrider.RemoveArchived", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(o driver.Overrider) error { _, err := o.RemoveArchived(ctx, nowhere, []string{"1"}); return err })
	})
	canPause = method("Pauser", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(x driver.Pauser) error { _, err := x.Paused(ctx); return err })
	})
	canReport = method("Registry", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(r driver.Registry) error { _, err := r.Consumers(ctx, nowhere); return err })
	})
	canReceiveHeads = method("GroupReceiver.ReceiveHeads", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(g driver.GroupReceiver) error {
			_, err := g.ReceiveHeads(ctx, nowhere, driver.GroupRequest{ReceiveRequest: probe})
			return err
		})
	})
	groupedByPath = all(grouped, method("GroupReceiver with GroupBy.Path", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(g driver.GroupReceiver) error {
			by := driver.GroupBy{Path: []string{"group"}}
			_, err := g.ReceiveHeads(ctx, nowhere, driver.GroupRequest{ReceiveRequest: probe, By: by})
			return err
		})
	}))
	canReceiveGroup = method("GroupReceiver.ReceiveGroup", func(ctx context.Context, p driver.Provider) error {
		return as(p, func(g driver.GroupReceiver) error {
			_, err := g.ReceiveGroup(ctx, nowhere, driver.GroupDrainRequest{ReceiveRequest: probe, Value: "g"})
			return err
		})
	})
)

var probe = driver.ReceiveRequest{Max: 1, Visibility: time.Second}

func canBrowse(name string, archive bool) need {
	return method(name, func(ctx context.Context, p driver.Provider) error {
		return as(p, func(b driver.Browser) error {
			_, err := b.Browse(ctx, nowhere, driver.BrowseRequest{Archive: archive, Limit: 1})
			return err
		})
	})
}
