package drivertest

import (
	"maps"
	"strings"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var reasonCases = []testCase{
	{name: "nack/reason", rule: "Caps.NackReasons: the reason of a nack is header mq-error of the next delivery, until another one replaces it", needs: nackReasons, run: nackReason},
	{name: "nack/reason-delay", rule: "Caps.NackReasons: a nack with a delay keeps its reason", needs: all(nackReasons, delays), run: nackReasonDelay},
	{name: "nack/reason-batch", rule: "Caps.NackReasons: each nack of a batch has its own reason", needs: all(nackReasons, batches), run: nackReasonBatch},
	{name: "nack/reason-peek", rule: "Caps.NackReasons: Browse shows the reason of a nack", needs: all(nackReasons, canPeek), run: nackReasonPeek},
	{name: "archive/keeps-error", rule: "Caps.NackReasons: an archived message keeps header mq-error (rule 5)", needs: all(nackReasons, canSeeArchive), run: archiveKeepsError},
	{name: "redrive/drops-error", rule: "Caps.NackReasons: a redriven message has no header mq-error (rule 6)", needs: all(nackReasons, canRedrive), run: redriveDropsError},
	{name: "move/drops-error", rule: "Caps.NackReasons: a moved message has no header mq-error (rule 6)", needs: all(nackReasons, moves), run: moveDropsError},
}

// failedWith checks the header mq-error.
func (t *tester) failedWith(h mq.Headers, want string) {
	t.Helper()
	if !t.caps.NackReasons {
		want = ""
	}
	if got, has := h[driver.HeaderError]; got != want || has && want == "" {
		t.Errorf("header %s is %.100q, want %.100q", driver.HeaderError, got, want)
	}
}

func nackReason(t *tester) {
	q := t.queue()
	m := t.movable()
	t.post(q, m)
	d := t.one(q)
	t.failedWith(d.Headers, "")
	was := ""
	for _, reason := range []string{"card declined", "", "日本 🐘", `"quoted" \ 'it'`, "two\nlines", "null", strings.Repeat("long ", 200)} {
		t.giveBack(q, d, mq.Settlement{Reason: reason})
		if d = t.one(q); reason != "" {
			was = reason
		}
		t.failedWith(d.Headers, was)
	}
	delete(d.Headers, driver.HeaderError)
	if !maps.Equal(d.Headers, m.Headers) {
		t.Errorf("the other headers are %q, sent as %q", d.Headers, m.Headers)
	}
	t.sameBody(d.Body, m.Body)
}

func nackReasonDelay(t *tester) {
	q := t.queue()
	id := t.send(q, "failed")[0]
	d := t.one(q)
	for _, reason := range []string{"card declined", "EOF"} {
		when := timed(func() { t.giveBack(q, d, mq.Settlement{Reason: reason, Delay: t.unit}) })
		d = t.comesBack(q, id, when.plus(t.unit))
		t.failedWith(d.Headers, reason)
	}
}

func nackReasonBatch(t *tester) {
	q := t.queue()
	t.send(q, "one", "two", "")
	ds := t.receive(q, 3)
	batch := each(ds, mq.Settlement{Op: mq.OpNack})
	for i := range batch {
		batch[i].Reason = string(ds[i].Body)
	}
	t.ok(q.Settle(t.ctx, batch...), "Settle")
	for _, d := range t.receive(q, 3) {
		t.failedWith(d.Headers, string(d.Body))
	}
}

func nackReasonPeek(t *tester) {
	q := t.queue()
	t.failing(q)
	for _, r := range t.peek(q) {
		t.failedWith(r.Headers, "card declined")
	}
}

// failing leases a message that was nacked with a reason.
func (t *tester) failing(q *mq.Queue) *mq.Delivery {
	t.Helper()
	t.send(q, "failed")
	t.giveBack(q, t.one(q), mq.Settlement{Reason: "card declined"})
	return t.one(q)
}

func archiveKeepsError(t *tester) {
	q := t.queue()
	t.ok(t.failing(q).Archive(t.ctx, "too often"), "archive")
	for _, r := range t.archived(q) {
		if r.Reason() != "too often" || r.LastError() != "card declined" {
			t.Errorf("the archived message has reason %q and error %q", r.Reason(), r.LastError())
		}
	}
}

func redriveDropsError(t *tester) {
	q := t.queue()
	t.ok(t.failing(q).Archive(t.ctx, "too often"), "archive")
	_, err := q.Redrive(t.ctx, mq.RedriveOptions{})
	t.ok(err, "Redrive")
	t.failedWith(t.one(q).Headers, "")
}

func moveDropsError(t *tester) {
	q, to := t.queue(), t.queue()
	t.ok(t.failing(q).Move(t.ctx, to.Name(), "too often"), "move")
	t.failedWith(t.one(to).Headers, "")
}
