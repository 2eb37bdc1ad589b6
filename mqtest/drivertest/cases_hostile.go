package drivertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var hostileCases = []testCase{
	{name: "hostile/messages", rule: "whatever is in a message is data: it comes back as it was sent, or the send is refused", run: hostileMessages},
	{name: "hostile/reserved", rule: "a sender cannot forge what the provider counts, whatever headers it sets", needs: headers, run: hostileReserved},
	{name: "hostile/reasons", rule: "a reason is data, whatever is in it", run: hostileReasons},
	{name: "hostile/arguments", rule: "ids, groups, texts and names that cannot be do nothing, or are ErrInvalid", run: hostileArguments},
	{name: "hostile/large", rule: "what is too large is refused, and leaves the client and the queue as they were", run: hostileLarge},
}

// hostile are texts that mean something to what may be beneath a provider, or to those who
// look at its output.
var hostile = []string{
	`'; DROP TABLE pgmq.q_orders; --`, `"; DELETE FROM messages; --`, `' OR '1'='1`, `\'; SELECT 1; --`, `$1 $$ $body$ :a ?`,
	`%s%n%d%!`, `{{.}} ${jndi:ldap://x/y} $(id)`, "`id`", `<script>alert(1)</script>`, `../../etc/passwd`, `*.#`,
	"a\r\nx-injected: 1", "\x1b[2J\x1b]0;title\a", "\u202etxt.exe", "\ufeff\ufffd", `\u0000 \x00 %00`, "\t\v\f\u0085\u2028",
	`{"mq:text":"x"}`, `{"mq:base64":"eA=="}`, `{"mq:base64":"!"}`, `{"a":1,"a":2}`, `1e400`, `"\ud800"`, `[` + strings.Repeat(`[`, 3000) + strings.Repeat(`]`, 3000) + `]`,
}

// refused reports whether a call was refused, which it may be in these ways only.
func (t *tester) refused(err error, what string) bool {
	t.Helper()
	if err != nil {
		t.is(err, what, mq.ErrInvalid, mq.ErrTooLarge, mq.ErrInvalidReceipt, mq.ErrNotSupported)
	}
	return err != nil
}

// bystander leases a message to which nothing is to happen.
func (t *tester) bystander() (*mq.Queue, *mq.Delivery) {
	t.Helper()
	q := t.queue()
	t.send(q, "bystander")
	return q, t.one(q)
}

func hostileMessages(t *tester) {
	beside, d := t.bystander()
	q := t.queue()
	for _, text := range hostile {
		m := &mq.Message{Body: []byte(text)}
		if t.caps.Headers {
			m.Headers = mq.Headers{text: "value", "name": text}
		}
		if t.caps.Groups {
			m.Group = text
		}
		t.roundTrips(q, m)
		if deduplicates(t.h, t.p, t.caps) == "" && len(text) < 256 {
			m.DedupKey, m.DedupFor = text, time.Hour
			t.roundTrips(q, m)
		}
	}
	t.none(q, "all have been acked")
	t.unharmed(beside, d)
}

// roundTrips sends a message that comes back as it was sent, or is refused.
func (t *tester) roundTrips(q *mq.Queue, m *mq.Message) {
	t.Helper()
	if _, err := q.Send(t.ctx, m); t.refused(err, fmt.Sprintf("Send of %.40q", m.Body)) {
		return
	}
	got := t.one(q)
	t.sameMessage(got.Message, m)
	t.ok(got.Ack(t.ctx), "ack")
}

// reserved are headers that providers and brokers count, route or find a reason by.
var reserved = []string{
	driver.HeaderReason, driver.HeaderError, driver.HeaderOrigin, "mq-headers", "mq-uncounted", "mq-answered", "mq-read-count", "mq-enqueued-at", "mq-archived-at",
	"x-pgmq-group", "x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC", "content-type", "mq-header-CC", "mq-unreadable-headers", "",
}

func hostileReserved(t *tester) {
	beside, d := t.bystander()
	q := t.queue()
	for _, name := range reserved {
		for _, value := range []string{"-5", "99999999999999999999", beside.Name()} {
			m := &mq.Message{Body: []byte(name), Headers: mq.Headers{name: value}}
			if _, err := q.Send(t.ctx, m); t.refused(err, "Send with header "+name) {
				continue
			}
			got := t.one(q)
			t.sameBody(got.Body, m.Body)
			t.tried(got, 1, 0, 0)
			t.near(got.EnqueuedAt, "EnqueuedAt of a message with header "+name)
			t.ok(got.Ack(t.ctx), "ack")
		}
	}
	t.none(q, "all have been acked")
	t.unharmed(beside, d)
}

func hostileReasons(t *tester) {
	beside, d := t.bystander()
	q := t.queue()
	for _, reason := range hostile {
		t.send(q, "body")
		got := t.one(q)
		t.ok(q.Settle(t.ctx, mq.Settlement{Receipt: got.Receipt, Op: mq.OpNack, Reason: reason}), "nack")
		got = t.one(q)
		t.failedWith(got.Headers, reason)
		t.ok(got.Archive(t.ctx, reason), "archive")
	}
	if canSeeArchive(t.h, t.p, t.caps) == "" {
		var kept []string
		for _, r := range t.archived(q) {
			kept = append(kept, r.Reason())
		}
		if !slices.Equal(kept, hostile) {
			t.Errorf("the reasons in the archive are %.200q", kept)
		}
	}
	t.unharmed(beside, d)
}

func hostileArguments(t *tester) {
	q, d := t.bystander()
	t.send(q, "archived")
	t.ok(t.one(q).Archive(t.ctx, "kept"), "archive")
	for _, text := range append(hostile, "-1", "9223372036854775808", "0x1", "1 OR true", " 1", "\xff", "a\x00b") {
		for what, err := range t.withArgument(q, text) {
			if err != nil {
				t.is(err, fmt.Sprintf("%s with %.40q", what, text), mq.ErrInvalid, mq.ErrInvalidReceipt, mq.ErrNotSupported, mq.ErrQueueNotFound)
			}
		}
	}
	t.counted(q, counts{leased: 1, archived: 1})
	t.ok(d.Extend(t.ctx, t.long), "extend by the holder")
	t.ok(d.Ack(t.ctx), "ack by the holder")
}

// withArgument makes calls that find nothing by this text.
func (t *tester) withArgument(q *mq.Queue, text string) map[string]error {
	errs := make(map[string]error)
	page := mq.BrowseOptions{After: text}
	_, errs["Peek After"] = q.Peek(t.ctx, page)
	_, errs["Archived After"] = q.Archived(t.ctx, page)
	_, errs["Peek of an id"] = q.Peek(t.ctx, mq.BrowseOptions{IDs: []string{text}})
	for name, m := range map[string]mq.Match{"group": {Group: text}, "text": {Text: text}, "reason": {Reason: text}, "header": {Header: text, Value: text}} {
		_, errs["Search by "+name] = q.Search(t.ctx, mq.SearchOptions{Match: m})
	}
	_, errs["Redrive"] = q.Redrive(t.ctx, mq.RedriveOptions{IDs: []string{text}})
	_, errs["Override"] = q.Override(t.ctx, []string{text}, mq.Settlement{Op: mq.OpAck})
	_, errs["RemoveArchived"] = q.RemoveArchived(t.ctx, []string{text})
	_, errs["ReceiveGroup"] = q.ReceiveGroup(t.ctx, mq.ByGroup(), text, mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}})
	_, errs["ReceiveGroup by path"] = q.ReceiveGroup(t.ctx, mq.ByPath(text), text, mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Visibility: t.long}})
	errs["Settle"] = q.Settle(t.ctx, mq.Settlement{Receipt: mq.Receipt(text), Op: mq.OpAck})
	errs["move"] = q.Settle(t.ctx, mq.Settlement{Receipt: mq.Receipt(text), Op: mq.OpMove, To: text})
	_, errs["Publish"] = t.c.Publish(t.ctx, t.topic()+text, &mq.Message{})
	errs["Unbind"] = q.Unbind(t.ctx, text)
	errs["DropQueue"] = t.c.DropQueue(t.ctx, "drivertest_"+text)
	_, errs["Send to"] = t.c.Queue("drivertest_"+text).Send(t.ctx, &mq.Message{})
	return errs
}

func hostileLarge(t *tester) {
	beside, d := t.bystander()
	q := t.queue()
	big := strings.Repeat("x", 2<<20)
	many := make(mq.Headers)
	for i := range 20_000 {
		many[fmt.Sprintf("header-%d", i)] = "v"
	}
	for what, m := range map[string]*mq.Message{
		"20,000 headers": {Headers: many}, "a header of 2 MiB": {Headers: mq.Headers{"h": big}}, "a header with a name of 2 MiB": {Headers: mq.Headers{big: "v"}},
		"a group of 2 MiB": {Group: big}, "a key of 2 MiB": {DedupKey: big},
	} {
		if _, err := q.Send(t.ctx, m); !t.refused(err, "Send of a message with "+what) {
			got := t.one(q)
			t.sameMessage(got.Message, &mq.Message{Headers: maps.Clone(m.Headers), Group: m.Group})
			t.ok(got.Ack(t.ctx), "ack")
		}
	}
	t.refused(beside.Settle(t.ctx, mq.Settlement{Receipt: d.Receipt + mq.Receipt(big), Op: mq.OpAck}), "ack with a receipt of 2 MiB")
	for what, err := range t.withArgument(beside, big) {
		if err != nil {
			t.is(err, what+" with 2 MiB", mq.ErrInvalid, mq.ErrTooLarge, mq.ErrInvalidReceipt, mq.ErrNotSupported, mq.ErrQueueNotFound)
		}
	}
	t.send(q, "goes on")
	got := t.one(q)
	t.refused(q.Settle(t.ctx, mq.Settlement{Receipt: got.Receipt, Op: mq.OpNack, Reason: big}), "nack with a reason of 2 MiB")
	t.unharmed(beside, d)
}
