package drivertest

import (
	"context"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var openCases = []testCase{
	{name: "open/wanted", rule: "a driver does not pass by declaring nothing: Caps has all that Harness.Want names", run: openWanted},
	{name: "open/caps", rule: "Name and Caps never change, and no limit is negative", run: openCaps},
	{name: "open/bad-dsn", rule: "Driver.Open: a bad DSN is an error, and no error contains a password", needs: hasBadDSN, run: openBadDSN},
	{name: "open/down", rule: "Driver.Open does no I/O: a backend that is down shows at the first call, as ErrBadConn or ErrUnavailable (rule 7)", needs: hasDownDSN, run: openDown},
	{name: "open/ping", rule: "Ping checks that the backend can be used", run: openPing},
	{name: "open/close-twice", rule: "Close: a second call returns nil", run: openCloseTwice},
	{name: "open/use-after-close", rule: "every method answers ErrClosed after Client.Close", run: openUseAfterClose},
	{name: "open/provider-after-close", rule: "Provider.Close: later calls answer ErrClosed", run: openProviderAfterClose},
	{name: "open/close-ends-wait", rule: "Provider.Close: calls in progress, waiting ones included, return soon", run: openCloseEndsWait},
	{name: "open/isolated", rule: "two namespaces share nothing, and a receipt of one has no effect in the other", needs: ownNamespace, run: openIsolated},
	{name: "open/shared", rule: "Caps.Shared: another client sees the same queues, messages and leases", needs: shared, run: openShared},
	{
		name: "open/not-shared", rule: "without Caps.Shared another client does not see the queues",
		needs: all(hasAgain, lacks(shared, "Caps.Shared")), run: openNotShared,
	},
}

func openWanted(t *tester) {
	want, got := reflect.ValueOf(t.h.Want), reflect.ValueOf(t.caps)
	for i := range want.NumField() {
		w, g := want.Field(i), got.Field(i)
		if w.Kind() == reflect.Bool && w.Bool() && !g.Bool() {
			t.Errorf("Caps.%s is not declared", want.Type().Field(i).Name)
		}
	}
	w, c := t.h.Want, t.caps
	if w.Order != driver.Unordered && c.Order != w.Order {
		t.Errorf("Caps.Order is %v, want %v", c.Order, w.Order)
	}
	for _, limit := range []struct {
		name      string
		got, want int64
	}{
		{"MaxBatch", int64(c.BatchLimit()), int64(w.MaxBatch)},
		{"MaxBody", int64(c.MaxBody), int64(w.MaxBody)},
		{"MaxDelay", int64(c.MaxDelay), int64(w.MaxDelay)},
		{"MaxVisibility", int64(c.MaxVisibility), int64(w.MaxVisibility)},
		{"MaxHold", int64(c.MaxHold), int64(w.MaxHold)},
	} {
		if limit.want > 0 && limit.got > 0 && limit.got < limit.want {
			t.Errorf("Caps.%s is %d, want %d or no limit", limit.name, limit.got, limit.want)
		}
	}
	if w.Resolution > 0 && c.Resolution > w.Resolution {
		t.Errorf("Caps.Resolution is %v, want %v or finer", c.Resolution, w.Resolution)
	}
}

func openCaps(t *tester) {
	name := t.p.Name()
	t.queue()
	if again := t.p.Name(); name == "" || again != name {
		t.Errorf("Name is %q, and then %q", name, again)
	}
	if again := t.p.Caps(); again != t.caps {
		t.Errorf("Caps changed from %+v to %+v", t.caps, again)
	}
	caps := reflect.ValueOf(t.caps)
	for i := range caps.NumField() {
		if f := caps.Field(i); f.CanInt() && f.Int() < 0 {
			t.Errorf("Caps.%s is negative", caps.Type().Field(i).Name)
		}
	}
	if t.caps.PortableReceipts && !t.caps.Shared {
		t.Error("Caps.PortableReceipts without Shared: there is no other client to use a receipt")
	}
}

func openBadDSN(t *tester) {
	for _, dsn := range t.h.BadDSN {
		c, err := mq.Open(dsn)
		if err == nil {
			_ = c.Close()
			t.Errorf("Open(%q) succeeded", dsn)
			continue
		}
		t.hidesPassword(err, dsn)
	}
}

// hidesPassword checks that an error does not show the password of a DSN.
func (t *tester) hidesPassword(err error, dsn string) {
	t.Helper()
	_, rest, _ := strings.Cut(dsn, "://")
	user, _, ok := strings.Cut(rest, "@")
	if !ok || err == nil {
		return
	}
	_, password, _ := strings.Cut(user, ":")
	plain, _ := url.PathUnescape(password)
	for _, secret := range []string{password, plain} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func openDown(t *tester) {
	cfg := quiet()
	cfg.CallTimeout = time.Second
	c, err := mq.OpenConfig(t.h.DownDSN, cfg)
	t.ok(err, "Open of a backend that is down")
	defer closeClient(t, c)
	q := c.Queue(t.name())
	for what, call := range map[string]func(context.Context) error{
		"Ping":    c.Ping,
		"Send":    func(ctx context.Context) error { _, err := q.Send(ctx, &mq.Message{}); return err },
		"Receive": func(ctx context.Context) error { _, err := q.Receive(ctx, mq.ReceiveOptions{}); return err },
		"Stats":   func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
		err := call(ctx)
		if err == nil {
			t.Errorf("%s succeeded on a backend that is down", what)
		}
		if what != "Ping" {
			t.is(err, what, mq.ErrBadConn, mq.ErrUnavailable, context.DeadlineExceeded)
		}
		t.hidesPassword(err, t.h.DownDSN)
		cancel()
	}
}

func openPing(t *tester) {
	t.ok(t.c.Ping(t.ctx), "Ping")
	t.queue()
	t.ok(t.c.Ping(t.ctx), "Ping after use")
}

func openCloseTwice(t *tester) {
	q := t.queue()
	t.send(q, "left behind")
	for range 2 {
		t.ok(t.c.Close(), "Close")
		t.ok(t.p.Close(), "Provider.Close")
	}
}

func openUseAfterClose(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	calls := t.everyCall(t.c, q, t.one(q))
	calls["EnsureQueue"] = func(ctx context.Context) error {
		_, err := t.c.EnsureQueue(ctx, q.Name(), mq.QueueOptions{})
		return err
	}
	calls["Consume"] = func(ctx context.Context) error {
		return q.Consume(ctx, nothing, mq.ConsumerConfig{Visibility: t.long})
	}
	t.ok(t.c.Close(), "Close")
	for what, call := range calls {
		t.is(call(t.ctx), what+" after Close", mq.ErrClosed)
	}
}

// everyCall is every method that takes a ctx, of a client, a queue and a
// delivery.
func (t *tester) everyCall(c *mq.Client, q *mq.Queue, d *mq.Delivery) map[string]func(context.Context) error {
	by, o := mq.GroupBy{}, mq.ReceiveOptions{Visibility: t.long}
	return map[string]func(context.Context) error{
		"Ping":      c.Ping,
		"DropQueue": func(ctx context.Context) error { return c.DropQueue(ctx, q.Name()) },
		"Queues":    func(ctx context.Context) error { _, err := c.Queues(ctx); return err },
		"Send":      func(ctx context.Context) error { _, err := q.Send(ctx, &mq.Message{Body: []byte("never")}); return err },
		"SendOnce": func(ctx context.Context) error {
			_, _, err := q.SendOnce(ctx, &mq.Message{DedupKey: "never", DedupFor: t.long})
			return err
		},
		"Receive": func(ctx context.Context) error { _, err := q.Receive(ctx, o); return err },
		"ReceiveHeads": func(ctx context.Context) error {
			_, err := q.ReceiveHeads(ctx, &by, o)
			return err
		},
		"ReceiveHeads with a limit": func(ctx context.Context) error {
			_, err := q.ReceiveHeads(ctx, &mq.GroupBy{Limit: 2}, o)
			return err
		},
		"ReceiveGroup": func(ctx context.Context) error {
			_, err := q.ReceiveGroup(ctx, &by, "g", mq.GroupOptions{ReceiveOptions: o})
			return err
		},
		"Messages": func(ctx context.Context) error {
			for _, err := range q.Messages(ctx, o) {
				return err
			}
			return nil
		},
		"Publish":         func(ctx context.Context) error { _, err := c.Publish(ctx, t.topic(), &mq.Message{}); return err },
		"Bind":            func(ctx context.Context) error { return q.Bind(ctx, t.topic()) },
		"Unbind":          func(ctx context.Context) error { return q.Unbind(ctx, t.topic()) },
		"Bindings":        func(ctx context.Context) error { _, err := q.Bindings(ctx); return err },
		"Client.Bindings": func(ctx context.Context) error { _, err := c.Bindings(ctx); return err },
		"Settle":          func(ctx context.Context) error { return q.Settle(ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpAck}) },
		"Extend":          func(ctx context.Context) error { return q.Extend(ctx, t.long, d.Receipt) },
		"Pop":             func(ctx context.Context) error { _, err := q.Pop(ctx, 1); return err },
		"Peek":            func(ctx context.Context) error { _, err := q.Peek(ctx, mq.BrowseOptions{}); return err },
		"Archived":        func(ctx context.Context) error { _, err := q.Archived(ctx, mq.BrowseOptions{}); return err },
		"Search":          func(ctx context.Context) error { _, err := q.Search(ctx, mq.SearchOptions{}); return err },
		"Reasons":         func(ctx context.Context) error { _, _, err := q.Reasons(ctx, 0); return err },
		"Override": func(ctx context.Context) error {
			_, err := q.Override(ctx, []string{d.ID}, mq.Settlement{Op: mq.OpAck})
			return err
		},
		"RemoveArchived":   func(ctx context.Context) error { _, err := q.RemoveArchived(ctx, []string{"1"}); return err },
		"Pause":            func(ctx context.Context) error { return q.Pause(ctx, "never") },
		"Resume":           q.Resume,
		"Paused":           func(ctx context.Context) error { _, err := c.Paused(ctx); return err },
		"Consumers":        func(ctx context.Context) error { _, err := c.Consumers(ctx, ""); return err },
		"Redrive":          func(ctx context.Context) error { _, err := q.Redrive(ctx, mq.RedriveOptions{}); return err },
		"PurgeArchive":     func(ctx context.Context) error { _, err := q.PurgeArchive(ctx, mq.AnyAge); return err },
		"Purge":            func(ctx context.Context) error { _, err := q.Purge(ctx); return err },
		"Stats":            func(ctx context.Context) error { _, err := q.Stats(ctx); return err },
		"Delivery.Ack":     d.Ack,
		"Delivery.Nack":    func(ctx context.Context) error { return d.Nack(ctx, 0) },
		"Delivery.Archive": func(ctx context.Context) error { return d.Archive(ctx, "never") },
		"Delivery.Move":    func(ctx context.Context) error { return d.Move(ctx, q.Name(), "never") },
		"Delivery.Extend":  func(ctx context.Context) error { return d.Extend(ctx, t.long) },
	}
}

func openProviderAfterClose(t *tester) {
	q := t.queue()
	t.send(q, "leased")
	d, name := t.one(q), q.Name()
	t.ok(t.p.Close(), "Close")
	for what, call := range map[string]func() error{
		"EnsureQueue": func() error { return t.p.EnsureQueue(t.ctx, name, driver.QueueOptions{}) },
		"Send":        func() error { _, err := t.p.Send(t.ctx, name, []driver.Message{{}}); return err },
		"Receive":     func() error { _, err := t.p.Receive(t.ctx, name, probe); return err },
		"Settle":      func() error { return t.p.Settle(t.ctx, name, []driver.Settlement{{Receipt: d.Receipt, Op: mq.OpAck}}) },
		"Extend":      func() error { return t.p.Extend(t.ctx, name, []driver.Receipt{d.Receipt}, t.unit) },
		"Stats":       func() error { _, err := t.p.Stats(t.ctx, name); return err },
		"Ping":        func() error { return t.p.Ping(t.ctx) },
	} {
		t.is(call(), what+" of the provider after Close", mq.ErrClosed)
	}
}

func openCloseEndsWait(t *tester) {
	q := t.queue()
	var err error
	done := t.background(func() {
		_, err = q.Receive(t.ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
	})
	t.sleep(t.unit)
	took := timed(func() {
		t.ok(t.c.Close(), "Close")
		t.await("Receive returns after Close", done)
	})
	t.is(err, "Receive that waited when the client was closed", mq.ErrClosed)
	t.soon("Close and the return of Receive", took, 0)
}

func openIsolated(t *tester) {
	a := t.queue()
	other := t.open()
	b, err := other.EnsureQueue(t.ctx, a.Name(), mq.QueueOptions{})
	t.ok(err, "EnsureQueue in another namespace")
	t.send(a, "of a")
	t.none(b, "it was sent in another namespace")
	t.send(b, "of b")
	da, db := t.one(a), t.one(b)
	t.dead(b.Settle(t.ctx, mq.Settlement{Receipt: da.Receipt, Op: mq.OpAck}), "ack with a receipt of another namespace")
	if t.Failed() {
		return // what follows is of no use
	}
	t.dead(b.Extend(t.ctx, t.long, da.Receipt), "extend with a receipt of another namespace")
	t.ok(da.Ack(t.ctx), "ack in the first namespace")
	t.ok(db.Ack(t.ctx), "ack in the second namespace")
}

func openShared(t *tester) {
	a := t.queue()
	other := t.again()
	b := other.Queue(a.Name())
	ids := t.send(b, "1", "2")
	d := t.one(a)
	e := t.one(b)
	if d.ID == e.ID || d.ID != ids[0] && d.ID != ids[1] {
		t.Errorf("two clients received messages %s and %s, want both of %s", d.ID, e.ID, ids)
	}
	t.none(a, "both are leased")
	t.none(b, "both are leased")
	t.counted(b, counts{leased: 2})
	t.ok(d.Ack(t.ctx), "ack on one client")
	t.ok(e.Nack(t.ctx, 0), "nack on the other client")
	if got := t.one(a); got.ID != e.ID {
		t.Errorf("received message %s, want %s that the other client nacked", got.ID, e.ID)
	}
}

func openNotShared(t *tester) {
	q := t.queue()
	t.send(q, "here")
	_, err := t.again().Queue(q.Name()).Receive(t.ctx, mq.ReceiveOptions{})
	t.is(err, "Receive on another client", mq.ErrQueueNotFound)
}
