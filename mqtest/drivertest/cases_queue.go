package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var nameCases = []testCase{
	{name: "names/bad", rule: "a queue name is 1 to 255 bytes of UTF-8 without control characters, and a new one portable", run: namesBad},
	{name: "names/portable", rule: "every provider takes 1 to 47 letters, digits and underscores, no digit in front", needs: ownNamespace, run: namesPortable},
	{name: "names/any", rule: "QueueOptions.AnyName: other names work too, or are ErrInvalid", needs: ownNamespace, run: namesAny},
	{name: "names/folding", rule: "Namer: names of one canonical form are one queue, all others are not", run: namesFolding},
	{name: "names/foreign-options", rule: "QueueOptions.Drivers: options of another driver are ignored", run: namesForeignOptions},
	{name: "names/missing-queue", rule: "a missing queue is ErrQueueNotFound, at once (rule 3)", run: namesMissingQueue},
	{name: "names/verify", rule: "Client.Verify tells healthy, missing and failed queues apart", run: namesVerify},
}

// badNames are no names at all; unportable are names that only some take.
var (
	badNames   = []string{"", "a\x00b", "a\nb", "\x7f", "\xff\xfe", strings.Repeat("a", 256)}
	unportable = []string{
		"a-b", "1a", "a;drop table q", `a"b`, "a'b", "a b", " ", "a.b", "a/b", "$a", "ä", "日本", "a%sb", "*", "#",
		strings.Repeat("a", 48),
	}
)

func namesBad(t *tester) {
	for _, name := range slices.Concat(badNames, unportable) {
		_, err := t.c.EnsureQueue(t.ctx, name, mq.QueueOptions{})
		t.is(err, fmt.Sprintf("EnsureQueue of %.60q", name), mq.ErrInvalid)
	}
	for _, name := range badNames {
		_, err := t.c.EnsureQueue(t.ctx, name, mq.QueueOptions{AnyName: true})
		t.is(err, fmt.Sprintf("EnsureQueue of %.60q with AnyName", name), mq.ErrInvalid)
		_, err = t.c.Queue(name).Send(t.ctx, &mq.Message{})
		t.is(err, fmt.Sprintf("Send to %.60q", name), mq.ErrInvalid)
		_, err = t.c.Queue(name).Receive(t.ctx, mq.ReceiveOptions{})
		t.is(err, fmt.Sprintf("Receive from %.60q", name), mq.ErrInvalid)
	}
}

func namesPortable(t *tester) {
	for _, name := range []string{"a", "_", "_1", "A1_b", "order", "select", "table", "user", strings.Repeat("q", 47)} {
		q, err := t.c.EnsureQueue(t.ctx, name, mq.QueueOptions{})
		t.ok(err, "EnsureQueue of %s", name)
		t.roundTrip(q, name)
	}
}

// roundTrip sends body and takes it back.
func (t *tester) roundTrip(q *mq.Queue, body string) {
	t.Helper()
	t.send(q, body)
	d := t.one(q)
	t.sameBody(d.Body, []byte(body))
	t.ok(d.Ack(t.ctx), "ack in queue %q", q.Name())
	t.none(q, "the queue's only message was acked")
}

func namesAny(t *tester) {
	for _, name := range append(unportable, strings.Repeat("long ", 40), "quo`te", `back\slash`, "emoji 🐘", "trailing ") {
		q, err := t.c.EnsureQueue(t.ctx, name, mq.QueueOptions{AnyName: true})
		if err != nil {
			t.is(err, fmt.Sprintf("EnsureQueue of %.60q with AnyName", name), mq.ErrInvalid)
			continue
		}
		t.roundTrip(q, name)
	}
}

// foreignOptions are those of a driver that does not exist.
type foreignOptions struct{}

func (foreignOptions) DriverName() string { return "drivertest-foreign" }

func namesForeignOptions(t *tester) {
	q, err := t.c.EnsureQueue(t.ctx, t.name(), mq.QueueOptions{Drivers: []mq.DriverOptions{foreignOptions{}}})
	t.ok(err, "EnsureQueue with options of another driver")
	t.roundTrip(q, q.Name())
}

func namesFolding(t *tester) {
	base := t.name()
	names := []string{base, strings.ToUpper(base), strings.Replace(base, "drivertest", "DriverTest", 1)}
	t.made.add(names...)
	forms := make(map[string]bool)
	for _, name := range names {
		form := t.canonical(name)
		forms[form] = true
		if again := t.canonical(form); again != form {
			t.Errorf("QueueName(%q) is %q, whose canonical form is %q", name, form, again)
		}
		q, err := t.c.EnsureQueue(t.ctx, name, mq.QueueOptions{})
		t.ok(err, "EnsureQueue of %s", name)
		if q.Name() != form {
			t.Errorf("the handle of %q is called %q, want %q", name, q.Name(), form)
		}
	}
	for _, name := range names {
		t.send(t.c.Queue(name), t.canonical(name))
	}
	received := 0
	for form := range forms {
		n := 0
		for _, name := range names {
			if t.canonical(name) == form {
				n++
			}
		}
		for _, d := range t.receive(t.c.Queue(form), n) {
			if string(d.Body) != form {
				t.Errorf("queue %q has a message that was sent to %q", form, d.Body)
			}
			received++
		}
		t.none(t.c.Queue(form), "all that was sent has been received")
	}
	if received != len(names) {
		t.Errorf("received %d of %d messages", received, len(names))
	}
}

// canonical is what the provider makes of a name.
func (t *tester) canonical(name string) string {
	t.Helper()
	n, ok := t.p.(driver.Namer)
	if !ok {
		return name
	}
	form, err := n.QueueName(name)
	if errors.Is(err, mq.ErrNotSupported) {
		return name
	}
	t.ok(err, "QueueName(%q)", name)
	return form
}

// queueless are the calls to which a missing queue is no error, or which need none.
var queueless = []string{"Ping", "DropQueue", "Queues", "Publish", "Unbind", "Client.Bindings", "Paused", "Consumers"}

func namesMissingQueue(t *tester) {
	there := t.queue()
	t.send(there, "leased")
	missing := t.c.Queue(t.name())
	calls := t.everyCall(t.c, missing, t.one(there))
	for what := range calls {
		if strings.HasPrefix(what, "Delivery.") || slices.Contains(queueless, what) {
			delete(calls, what)
		}
	}
	calls["Receive with Wait"] = func(ctx context.Context) error {
		_, err := missing.Receive(ctx, mq.ReceiveOptions{Visibility: t.long, Wait: mq.Forever})
		return err
	}
	for what, call := range calls {
		var err error
		took := timed(func() { err = call(t.ctx) })
		// A receipt of another queue is also that. What the provider does not
		// have at all has its own cases.
		t.is(err, what+" on a missing queue", mq.ErrQueueNotFound, mq.ErrInvalidReceipt, mq.ErrNotSupported)
		t.soon(what+" on a missing queue", took, 0)
	}
	_, err := missing.Send(t.ctx, &mq.Message{})
	t.is(err, "Send to a missing queue", mq.ErrQueueNotFound)
	t.counted(there, counts{leased: 1})
}

func namesVerify(t *tester) {
	q, missing := t.queue(), t.name()
	v := t.c.Verify(t.ctx, q.Name(), missing, "")
	if !slices.Equal(v.Healthy, []string{q.Name()}) || !slices.Equal(v.Missing, []string{missing}) || len(v.Failed) != 1 {
		t.Errorf("Verify found %+v", v)
	}
	t.is(v.Failed[""], "Verify of a bad name", mq.ErrInvalid)
	t.is(v.Err(), "Verification.Err", mq.ErrQueueNotFound)
	if err := t.c.Verify(t.ctx, q.Name()).Err(); err != nil {
		t.Errorf("Verify of a healthy queue: %v", err)
	}
}

var lifecycleCases = []testCase{
	{name: "lifecycle/ensure-twice", rule: "EnsureQueue is idempotent and never changes or empties a queue that exists", run: ensureTwice},
	{name: "lifecycle/ensure-concurrent", rule: "EnsureQueue is safe to call from many processes at once, also as their first call in a new namespace", run: ensureConcurrent},
	{name: "lifecycle/drop", rule: "DropQueue removes the queue, and a queue that is not there is no error", needs: canDrop, run: dropTwice},
	{name: "lifecycle/drop-recreate", rule: "a queue that is made again is empty, and receipts of the old one stay dead", needs: canDrop, run: dropRecreate},
	{name: "lifecycle/drop-archive", rule: "DropQueue removes the archive", needs: all(canDrop, canSeeArchive), run: dropArchive},
	{name: "lifecycle/list", rule: "ListQueues returns the names of all queues, sorted", needs: all(canList, ownNamespace), run: listQueues},
	{name: "lifecycle/purge", rule: "PurgeQueue removes every message, leased ones included, and returns how many", needs: canPurge, run: purge},
	{name: "lifecycle/purge-delayed", rule: "PurgeQueue removes delayed messages too", needs: all(canPurge, delays), run: purgeDelayed},
	{name: "lifecycle/purge-archive-stays", rule: "PurgeQueue leaves the archive alone", needs: all(canPurge, canSeeArchive), run: purgeArchiveStays},
}

func ensureTwice(t *tester) {
	q := t.queue()
	t.send(q, "archived", "leased", "visible")
	ds := t.receive(q, 2)
	t.ok(ds[0].Archive(t.ctx, "kept"), "archive")
	for _, o := range []mq.QueueOptions{{}, {AnyName: true}} {
		again, err := t.c.EnsureQueue(t.ctx, q.Name(), o)
		t.ok(err, "EnsureQueue again with %+v", o)
		if again.Name() != q.Name() {
			t.Errorf("EnsureQueue again returned queue %q, want %q", again.Name(), q.Name())
		}
	}
	t.counted(q, counts{visible: 1, leased: 1, archived: 1})
	t.one(q)
	t.none(q, "the other message is still leased")
	t.ok(ds[1].Ack(t.ctx), "ack of a lease from before")
}

func ensureConcurrent(t *tester) {
	clients := []*mq.Client{t.c} // which have made no call yet
	for len(clients) < 5 && t.caps.Shared {
		clients = append(clients, t.again())
	}
	name := t.name()
	t.together(20, func(i int) error {
		c := clients[i%len(clients)]
		q, err := c.EnsureQueue(t.ctx, name, mq.QueueOptions{})
		if err == nil {
			_, err = q.Send(t.ctx, &mq.Message{Body: []byte("one of each")})
		}
		return err
	})
	q := t.c.Queue(name)
	if ids := idsOf(t.receive(q, 20)); len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 20 {
		t.Errorf("received ids %s, want 20 different ones", ids)
	}
	t.none(q, "each goroutine sent one message")
}

func dropTwice(t *tester) {
	t.ok(t.c.DropQueue(t.ctx, t.name()), "DropQueue of a queue that never was")
	q := t.queue()
	t.send(q, "lost")
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	_, err := q.Send(t.ctx, &mq.Message{})
	t.is(err, "Send to a dropped queue", mq.ErrQueueNotFound)
	_, err = q.Receive(t.ctx, mq.ReceiveOptions{})
	t.is(err, "Receive from a dropped queue", mq.ErrQueueNotFound)
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue again")
}

func dropRecreate(t *tester) {
	q := t.queue()
	t.send(q, "old 1", "old 2")
	old := t.one(q)
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{})
	t.ok(err, "EnsureQueue after DropQueue")
	t.none(q, "the queue was made again")
	t.counted(q, counts{})
	t.send(q, "new")
	d := t.one(q)
	t.dead(q.Extend(t.ctx, t.long, old.Receipt), "extend with a receipt of the dropped queue")
	t.dead(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpNack}), "nack with a receipt of the dropped queue")
	t.dead(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack with a receipt of the dropped queue")
	t.none(q, "its only message is leased")
	t.ok(d.Ack(t.ctx), "ack of the new message")
}

func dropArchive(t *tester) {
	q := t.queue()
	t.send(q, "old")
	t.ok(t.one(q).Archive(t.ctx, "old"), "archive")
	t.ok(t.c.DropQueue(t.ctx, q.Name()), "DropQueue")
	_, err := t.c.EnsureQueue(t.ctx, q.Name(), mq.QueueOptions{})
	t.ok(err, "EnsureQueue after DropQueue")
	if rs := t.archived(q); len(rs) != 0 {
		t.Errorf("the archive of a new queue has %d records", len(rs))
	}
}

func listQueues(t *tester) {
	var made []string
	for range 3 {
		made = append(made, t.queue().Name())
	}
	slices.Sort(made)
	names, err := t.c.Queues(t.ctx)
	t.ok(err, "Queues")
	if !slices.Equal(names, made) {
		t.Errorf("Queues returned %q, want %q", names, made)
	}
}

func purge(t *tester) {
	q := t.queue()
	t.send(q, "1", "2", "3")
	d := t.one(q)
	n, err := q.Purge(t.ctx)
	t.ok(err, "Purge")
	if n != 3 {
		t.Errorf("Purge returned %d, want 3", n)
	}
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack}), "nack of a purged message")
	t.none(q, "the queue was purged")
	t.counted(q, counts{})
	if n, err := q.Purge(t.ctx); n != 0 || err != nil {
		t.Errorf("Purge of an empty queue returned %d, %v", n, err)
	}
	t.roundTrip(q, "after the purge")
}

func purgeDelayed(t *tester) {
	q := t.queue()
	t.post(q, &mq.Message{Delay: t.delay()})
	if n, err := q.Purge(t.ctx); n != 1 || err != nil {
		t.Errorf("Purge of a delayed message returned %d, %v", n, err)
	}
	t.counted(q, counts{})
}

func purgeArchiveStays(t *tester) {
	q := t.queue()
	t.send(q, "kept", "purged")
	t.ok(t.one(q).Archive(t.ctx, "kept"), "archive")
	_, err := q.Purge(t.ctx)
	t.ok(err, "Purge")
	if rs := t.archived(q); len(rs) != 1 {
		t.Errorf("the archive has %d records after Purge, want 1", len(rs))
	}
}
