package mqtest

import (
	"context"
	"time"

	"github.com/portmq/mq/driver"
)

var (
	_ driver.Provider      = (*FaultyProvider)(nil)
	_ driver.QueueManager  = (*FaultyProvider)(nil)
	_ driver.Popper        = (*FaultyProvider)(nil)
	_ driver.Browser       = (*FaultyProvider)(nil)
	_ driver.Archivist     = (*FaultyProvider)(nil)
	_ driver.GroupReceiver = (*FaultyProvider)(nil)
	_ driver.Transactor    = (*FaultyProvider)(nil)
	_ driver.Namer         = (*FaultyProvider)(nil)
	_ driver.Deduplicator  = (*FaultyProvider)(nil)
	_ driver.Router        = (*FaultyProvider)(nil)
	_ driver.Searcher      = (*FaultyProvider)(nil)
	_ driver.ReasonCounter = (*FaultyProvider)(nil)
	_ driver.Overrider     = (*FaultyProvider)(nil)
	_ driver.Pauser        = (*FaultyProvider)(nil)
	_ driver.Registry      = (*FaultyProvider)(nil)
	_ driver.TxPublisher   = faultyTx{}
)

// faultyOps are the operations that a Fault may name.
var faultyOps = []string{
	"ensure", "send", "receive", "settle", "extend", "stats", "ping",
	"drop", "list", "purge", "pop", "browse", "redrive", "purge archive",
	"receive heads", "receive group", "tx send", "tx settle", "send unique", "tx send unique",
	"bind", "unbind", "bindings", "publish", "tx publish",
	"search", "count reasons", "override", "remove archived", "set paused", "paused", "await pause", "report", "consumers",
}

// Name returns the inner provider's.
func (f *FaultyProvider) Name() string { return f.inner.Name() }

// Caps returns the inner provider's without InProcess: calls that can be late
// or lost are those of a backend elsewhere, and are merged.
func (f *FaultyProvider) Caps() driver.Caps {
	c := f.inner.Caps()
	c.InProcess = false
	return c
}

// Close ends what is held up, and closes the inner provider.
func (f *FaultyProvider) Close() error { return f.close() }

// EnsureQueue is the operation "ensure".
func (f *FaultyProvider) EnsureQueue(ctx context.Context, queue string, o driver.QueueOptions) error {
	return f.do(ctx, "ensure", func() error { return f.inner.EnsureQueue(ctx, queue, o) })
}

// Send is the operation "send".
func (f *FaultyProvider) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	return faultyCall(ctx, f, "send", func() ([]string, error) { return f.inner.Send(ctx, queue, msgs) })
}

// SendUnique is the operation "send unique".
func (f *FaultyProvider) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	d, ok := f.inner.(driver.Deduplicator)
	if !ok {
		return nil, driver.ErrNotSupported
	}
	return faultyCall(ctx, f, "send unique", func() ([]driver.Sent, error) { return d.SendUnique(ctx, queue, msgs) })
}

// Receive is the operation "receive".
func (f *FaultyProvider) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	return faultyCall(ctx, f, "receive", func() ([]driver.Delivery, error) { return f.inner.Receive(ctx, queue, r) })
}

// Settle is the operation "settle".
func (f *FaultyProvider) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	return f.do(ctx, "settle", func() error { return f.inner.Settle(ctx, queue, s) })
}

// Extend is the operation "extend".
func (f *FaultyProvider) Extend(ctx context.Context, queue string, rs []driver.Receipt, d time.Duration) error {
	return f.do(ctx, "extend", func() error { return f.inner.Extend(ctx, queue, rs, d) })
}

// Stats is the operation "stats".
func (f *FaultyProvider) Stats(ctx context.Context, queue string) (driver.Stats, error) {
	return faultyCall(ctx, f, "stats", func() (driver.Stats, error) { return f.inner.Stats(ctx, queue) })
}

// Ping is the operation "ping".
func (f *FaultyProvider) Ping(ctx context.Context) error {
	return f.do(ctx, "ping", func() error { return f.inner.Ping(ctx) })
}

// faultyOptional calls an optional interface of the inner provider.
func faultyOptional[I, T any](ctx context.Context, f *FaultyProvider, op string, inner func(I) (T, error)) (T, error) {
	return faultyCall(ctx, f, op, func() (none T, err error) {
		if i, ok := f.inner.(I); ok {
			return inner(i)
		}
		return none, driver.ErrNotSupported
	})
}

// DropQueue is the operation "drop".
func (f *FaultyProvider) DropQueue(ctx context.Context, queue string) error {
	_, err := faultyOptional(ctx, f, "drop", func(m driver.QueueManager) (struct{}, error) {
		return struct{}{}, m.DropQueue(ctx, queue)
	})
	return err
}

// ListQueues is the operation "list".
func (f *FaultyProvider) ListQueues(ctx context.Context) ([]string, error) {
	return faultyOptional(ctx, f, "list", func(m driver.QueueManager) ([]string, error) { return m.ListQueues(ctx) })
}

// AllStats is the operation "all stats".
func (f *FaultyProvider) AllStats(ctx context.Context) (map[string]driver.Stats, error) {
	return faultyOptional(ctx, f, "all stats", func(l driver.StatsLister) (map[string]driver.Stats, error) { return l.AllStats(ctx) })
}

// PurgeQueue is the operation "purge".
func (f *FaultyProvider) PurgeQueue(ctx context.Context, queue string) (int64, error) {
	return faultyOptional(ctx, f, "purge", func(m driver.QueueManager) (int64, error) { return m.PurgeQueue(ctx, queue) })
}

// Pop is the operation "pop".
func (f *FaultyProvider) Pop(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
	return faultyOptional(ctx, f, "pop", func(p driver.Popper) ([]driver.Delivery, error) { return p.Pop(ctx, queue, limit) })
}

// Browse is the operation "browse".
func (f *FaultyProvider) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	return faultyOptional(ctx, f, "browse", func(b driver.Browser) ([]driver.Record, error) { return b.Browse(ctx, queue, r) })
}

// Redrive is the operation "redrive".
func (f *FaultyProvider) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	return faultyOptional(ctx, f, "redrive", func(a driver.Archivist) (int64, error) { return a.Redrive(ctx, queue, ids, limit) })
}

// PurgeArchive is the operation "purge archive".
func (f *FaultyProvider) PurgeArchive(ctx context.Context, queue string, olderThan time.Duration) (int64, error) {
	return faultyOptional(ctx, f, "purge archive", func(a driver.Archivist) (int64, error) {
		return a.PurgeArchive(ctx, queue, olderThan)
	})
}

// ReceiveHeads is the operation "receive heads".
func (f *FaultyProvider) ReceiveHeads(ctx context.Context, queue string, r driver.GroupRequest) ([]driver.Delivery, error) {
	return faultyOptional(ctx, f, "receive heads", func(g driver.GroupReceiver) ([]driver.Delivery, error) {
		return g.ReceiveHeads(ctx, queue, r)
	})
}

// ReceiveGroup is the operation "receive group".
func (f *FaultyProvider) ReceiveGroup(ctx context.Context, queue string, r driver.GroupDrainRequest) ([]driver.Delivery, error) {
	return faultyOptional(ctx, f, "receive group", func(g driver.GroupReceiver) ([]driver.Delivery, error) {
		return g.ReceiveGroup(ctx, queue, r)
	})
}

// Bind is the operation "bind".
func (f *FaultyProvider) Bind(ctx context.Context, queue, pattern string) error {
	_, err := faultyOptional(ctx, f, "bind", func(r driver.Router) (struct{}, error) {
		return struct{}{}, r.Bind(ctx, queue, pattern)
	})
	return err
}

// Unbind is the operation "unbind".
func (f *FaultyProvider) Unbind(ctx context.Context, queue, pattern string) error {
	_, err := faultyOptional(ctx, f, "unbind", func(r driver.Router) (struct{}, error) {
		return struct{}{}, r.Unbind(ctx, queue, pattern)
	})
	return err
}

// Bindings is the operation "bindings".
func (f *FaultyProvider) Bindings(ctx context.Context, queue string) ([]driver.Binding, error) {
	return faultyOptional(ctx, f, "bindings", func(r driver.Router) ([]driver.Binding, error) { return r.Bindings(ctx, queue) })
}

// Publish is the operation "publish".
func (f *FaultyProvider) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	return faultyOptional(ctx, f, "publish", func(r driver.Router) ([]driver.Published, error) { return r.Publish(ctx, topic, msgs) })
}

// Search is the operation "search".
func (f *FaultyProvider) Search(ctx context.Context, queue string, r driver.SearchRequest) (driver.Found, error) {
	return faultyOptional(ctx, f, "search", func(s driver.Searcher) (driver.Found, error) { return s.Search(ctx, queue, r) })
}

// CountReasons is the operation "count reasons".
func (f *FaultyProvider) CountReasons(ctx context.Context, queue string, scan int) (counts []driver.ReasonCount, looked int64, err error) {
	counts, err = faultyOptional(ctx, f, "count reasons", func(r driver.ReasonCounter) (counts []driver.ReasonCount, err error) {
		counts, looked, err = r.CountReasons(ctx, queue, scan)
		return counts, err
	})
	return counts, looked, err
}

// Override is the operation "override".
func (f *FaultyProvider) Override(ctx context.Context, queue string, ids []string, s driver.Settlement) (int64, error) {
	return faultyOptional(ctx, f, "override", func(o driver.Overrider) (int64, error) { return o.Override(ctx, queue, ids, s) })
}

// RemoveArchived is the operation "remove archived".
func (f *FaultyProvider) RemoveArchived(ctx context.Context, queue string, ids []string) (int64, error) {
	return faultyOptional(ctx, f, "remove archived", func(o driver.Overrider) (int64, error) { return o.RemoveArchived(ctx, queue, ids) })
}

// SetPaused is the operation "set paused".
func (f *FaultyProvider) SetPaused(ctx context.Context, queue string, paused bool, by string) error {
	_, err := faultyOptional(ctx, f, "set paused", func(p driver.Pauser) (struct{}, error) {
		return struct{}{}, p.SetPaused(ctx, queue, paused, by)
	})
	return err
}

// Paused is the operation "paused".
func (f *FaultyProvider) Paused(ctx context.Context) ([]driver.Pause, error) {
	return faultyOptional(ctx, f, "paused", func(p driver.Pauser) ([]driver.Pause, error) { return p.Paused(ctx) })
}

// AwaitPause is the operation "await pause".
func (f *FaultyProvider) AwaitPause(ctx context.Context, d time.Duration) error {
	_, err := faultyOptional(ctx, f, "await pause", func(p driver.Pauser) (struct{}, error) { return struct{}{}, p.AwaitPause(ctx, d) })
	return err
}

// Report is the operation "report".
func (f *FaultyProvider) Report(ctx context.Context, r driver.ConsumerReport, ttl time.Duration) error {
	_, err := faultyOptional(ctx, f, "report", func(x driver.Registry) (struct{}, error) { return struct{}{}, x.Report(ctx, r, ttl) })
	return err
}

// Consumers is the operation "consumers".
func (f *FaultyProvider) Consumers(ctx context.Context, queue string) ([]driver.ConsumerReport, error) {
	return faultyOptional(ctx, f, "consumers", func(x driver.Registry) ([]driver.ConsumerReport, error) { return x.Consumers(ctx, queue) })
}

// QueueName returns the inner provider's canonical name.
func (f *FaultyProvider) QueueName(name string) (string, error) {
	if n, ok := f.inner.(driver.Namer); ok {
		return n.QueueName(name)
	}
	return "", driver.ErrNotSupported
}

// Tx returns the inner provider's view, whose calls are the operations "tx
// send", "tx send unique", "tx publish" and "tx settle".
func (f *FaultyProvider) Tx(tx driver.SQLTx) (driver.TxProvider, error) {
	t, ok := f.inner.(driver.Transactor)
	if !ok {
		return nil, driver.ErrNotSupported
	}
	inner, err := t.Tx(tx)
	if err != nil {
		return nil, err
	}
	return faultyTx{f, inner}, nil
}

type faultyTx struct {
	f     *FaultyProvider
	inner driver.TxProvider
}

func (t faultyTx) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	return faultyCall(ctx, t.f, "tx send", func() ([]string, error) { return t.inner.Send(ctx, queue, msgs) })
}

func (t faultyTx) SendUnique(ctx context.Context, queue string, msgs []driver.Message) ([]driver.Sent, error) {
	d, ok := t.inner.(driver.Deduplicator)
	if !ok {
		return nil, driver.ErrNotSupported
	}
	return faultyCall(ctx, t.f, "tx send unique", func() ([]driver.Sent, error) { return d.SendUnique(ctx, queue, msgs) })
}

func (t faultyTx) Publish(ctx context.Context, topic string, msgs []driver.Message) ([]driver.Published, error) {
	p, ok := t.inner.(driver.TxPublisher)
	if !ok {
		return nil, driver.ErrNotSupported
	}
	return faultyCall(ctx, t.f, "tx publish", func() ([]driver.Published, error) { return p.Publish(ctx, topic, msgs) })
}

func (t faultyTx) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	return t.f.do(ctx, "tx settle", func() error { return t.inner.Settle(ctx, queue, s) })
}
