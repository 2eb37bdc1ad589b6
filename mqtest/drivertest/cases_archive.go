package drivertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var archiveCases = []testCase{
	{name: "archive/settles", rule: "an archived message is not delivered again", run: archiveSettles},
	{name: "archive/keeps-all", rule: "archive loses nothing: body, headers, read count, times and reason are kept (rule 5)", needs: canSeeArchive, run: archiveKeepsAll},
	{name: "archive/reasons", rule: "the reason of an archive is any UTF-8 without NUL, or none", needs: canSeeArchive, run: archiveReasons},
	{name: "archive/bodies", rule: "bodies survive the archive (rules 5 and 8)", needs: canSeeArchive, run: archiveBodies},
	{name: "archive/pages", rule: "Browse returns pages in the order of ids, each After the last", needs: canSeeArchive, run: archivePages},
	{name: "archive/counted", rule: "Stats.Archived counts the archive", needs: exactStats, run: archiveCounted},
	{name: "archive/purge", rule: "PurgeArchive deletes all with AnyAge, returns how many, and leaves the queue alone", needs: all(canPurgeArchive, canSeeArchive), run: archivePurge},
	{name: "archive/purge-by-age", rule: "PurgeArchive deletes what has been in the archive for olderThan or longer, and nothing younger", needs: all(canPurgeArchive, canSeeArchive), run: archivePurgeByAge},
}

func archiveSettles(t *tester) {
	q := t.queue()
	t.send(q, "archived")
	v := 2 * t.unit
	d, leased := t.lease(q, v)
	t.before(leased.from.Add(v), func(t *tester) { t.ok(d.Archive(t.ctx, "why not"), "archive") })
	t.expire(leased.plus(v))
	t.none(q, "it was archived")
	t.counted(q, counts{archived: 1})
}

// archive sends a message and archives it.
func (t *tester) archive(q *mq.Queue, m *mq.Message, reason string) *mq.Delivery {
	t.Helper()
	t.post(q, m)
	d := t.one(q)
	t.ok(d.Archive(t.ctx, reason), "archive")
	return d
}

func archiveKeepsAll(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte(`{"kept":true}`)}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "v"}
	}
	if t.caps.Groups {
		m.Group = "g"
	}
	t.post(q, m)
	t.ok(t.one(q).Nack(t.ctx, 0), "nack")
	t.sleep(t.unit)
	d := t.one(q)
	t.ok(d.Archive(t.ctx, "card declined"), "archive")
	rs := t.archived(q)
	if len(rs) != 1 {
		t.Fatalf("the archive has %d records, want 1", len(rs))
	}
	r := rs[0]
	if r.ID != d.ID || r.Group != m.Group {
		t.Errorf("the record has id %q and group %q, the message %q and %q", r.ID, r.Group, d.ID, m.Group)
	}
	t.sameBody(r.Body, m.Body)
	t.sameHeaders(r.Headers, m.Headers, mq.Headers{driver.HeaderReason: "card declined"})
	t.reads(r.ReadCount, 2)
	if !r.EnqueuedAt.Equal(d.EnqueuedAt) {
		t.Errorf("EnqueuedAt was %v and is %v in the archive", d.EnqueuedAt, r.EnqueuedAt)
	}
	t.near(r.ArchivedAt, "ArchivedAt")
	if r.ArchivedAt.Before(r.EnqueuedAt) {
		t.Errorf("archived at %v, before it was sent at %v", r.ArchivedAt, r.EnqueuedAt)
	}
}

func archiveReasons(t *tester) {
	q := t.queue()
	for _, reason := range []string{"", "plain", "日本 🐘", `"quoted" \ 'it'`, "two\nlines", "null", strings.Repeat("long ", 200)} {
		d := t.archive(q, &mq.Message{}, reason)
		for _, r := range t.archived(q) {
			if _, has := r.Headers[driver.HeaderReason]; r.ID == d.ID && (r.Reason() != reason || has && reason == "") {
				t.Errorf("the reason came as %.100q, given as %.100q", r.Reason(), reason)
			}
		}
	}
}

func archiveBodies(t *tester) {
	q := t.queue()
	sent := make(map[string]string)
	for _, body := range []string{"", "plain", `{"a":1}`, "\xff\x00", `{"nul":"\u0000"}`} {
		sent[t.archive(q, &mq.Message{Body: []byte(body)}, "").ID] = body
	}
	rs := t.archived(q)
	if len(rs) != len(sent) {
		t.Errorf("the archive has %d records, want %d", len(rs), len(sent))
	}
	for _, r := range rs {
		t.sameBody(r.Body, []byte(sent[r.ID]))
	}
}

// archiveMany archives n messages and returns their ids in the order they were
// sent.
func (t *tester) archiveMany(q *mq.Queue, n int) []string {
	t.Helper()
	ids := t.post(q, numbered(n)...)
	t.ok(q.Settle(t.ctx, each(t.receive(q, n), mq.Settlement{Op: mq.OpArchive, Reason: "one of many"})...), "archive of %d", n)
	return ids
}

func archivePages(t *tester) {
	q := t.queue()
	if rs := t.archived(q); len(rs) != 0 {
		t.Errorf("a new archive has %d records", len(rs))
	}
	ids := t.archiveMany(q, 7)
	for _, limit := range []int{1, 3, 7, 8} {
		rs := t.browse(q.Archived, min(limit, t.caps.BatchLimit()))
		if got := recordIDs(rs); !slices.Equal(got, ids) {
			t.Errorf("pages of %d show %s, want %s", limit, got, ids)
		}
	}
	if rs, err := q.Archived(t.ctx, mq.BrowseOptions{}); err != nil || len(rs) != min(7, t.caps.BatchLimit()) {
		t.Errorf("the default page has %d records, %v", len(rs), err)
	}
	_, err := q.Archived(t.ctx, mq.BrowseOptions{Limit: -1})
	t.is(err, "Archived with a negative Limit", mq.ErrInvalid)
}

func recordIDs(rs []mq.Record) []string {
	ids := make([]string, len(rs))
	for i := range rs {
		ids[i] = rs[i].ID
	}
	return ids
}

func archiveCounted(t *tester) {
	q := t.queue()
	t.archiveMany(q, 3)
	t.send(q, "stays")
	t.counted(q, counts{visible: 1, archived: 3})
}

func archivePurge(t *tester) {
	q := t.queue()
	t.archiveMany(q, 3)
	t.send(q, "stays")
	for _, age := range []time.Duration{0, -time.Second} {
		_, err := q.PurgeArchive(t.ctx, age)
		t.is(err, "PurgeArchive of "+age.String(), mq.ErrInvalid)
	}
	if n, err := q.PurgeArchive(t.ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("PurgeArchive of what is an hour old returned %d, %v", n, err)
	}
	for _, want := range []int64{3, 0} {
		if n, err := q.PurgeArchive(t.ctx, mq.AnyAge); n != want || err != nil {
			t.Errorf("PurgeArchive returned %d, %v, want %d", n, err, want)
		}
	}
	if rs := t.archived(q); len(rs) != 0 {
		t.Errorf("the archive has %d records after PurgeArchive", len(rs))
	}
	t.counted(q, counts{visible: 1})
}

func archivePurgeByAge(t *tester) {
	q := t.queue()
	t.archive(q, &mq.Message{}, "old")
	age := 8 * t.unit
	t.sleep(age + t.unit/2 + t.caps.Resolution)
	begin := time.Now()
	young := t.archive(q, &mq.Message{}, "young")
	t.before(begin.Add(age), func(t *tester) {
		if n, err := q.PurgeArchive(t.ctx, age); n != 1 || err != nil {
			t.Errorf("PurgeArchive of one old and one young record returned %d, %v", n, err)
		}
	})
	if got := recordIDs(t.archived(q)); !slices.Equal(got, []string{young.ID}) {
		t.Errorf("the archive has records %s, want %s", got, young.ID)
	}
}

var redriveCases = []testCase{
	{name: "redrive/all", rule: "Redrive moves archived messages back, visible at once, and returns how many", needs: canRedrive, run: redriveAll},
	{name: "redrive/new-message", rule: "a redriven message is new: new ID, EnqueuedAt now, read count 0, header mq-origin, no reason, and no old receipt acts on it (rule 6)", needs: canRedrive, run: redriveNewMessage},
	{name: "redrive/ids", rule: "Redrive by ids takes those, and passes over ids that are not in the archive", needs: all(canRedrive, canSeeArchive), run: redriveIDs},
	{name: "redrive/limit", rule: "Redrive without ids takes the oldest, limit at most", needs: all(canRedrive, canSeeArchive), run: redriveLimit},
	{name: "redrive/concurrent", rule: "of concurrent redrives each message comes back once", needs: canRedrive, run: redriveConcurrent},
}

func redriveAll(t *tester) {
	q := t.queue()
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{}); n != 0 || err != nil {
		t.Errorf("Redrive of an empty archive returned %d, %v", n, err)
	}
	t.archiveMany(q, 5)
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{}); n != 5 || err != nil {
		t.Errorf("Redrive returned %d, %v, want 5", n, err)
	}
	t.counted(q, counts{visible: 5})
	got := bodies(t.receive(q, 5))
	slices.Sort(got)
	for i, body := range got {
		if want := fmt.Sprintf("message %d", i); body != want {
			t.Errorf("redriven body %q, want %q", body, want)
		}
	}
	t.none(q, "each was redriven once")
}

func redriveNewMessage(t *tester) {
	q := t.queue()
	m := &mq.Message{Body: []byte("redriven")}
	if t.caps.Headers {
		m.Headers = mq.Headers{"k": "v"}
	}
	if t.caps.Groups {
		m.Group = "g"
	}
	old := t.archive(q, m, "card declined")
	t.sleep(2 * t.unit)
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{}); n != 1 || err != nil {
		t.Fatalf("Redrive returned %d, %v", n, err)
	}
	d := t.one(q)
	if d.ID == old.ID {
		t.Errorf("the redriven message has the old id %s", d.ID)
	}
	t.reads(d.ReadCount, 1)
	t.younger(d, old, 2*t.unit)
	t.sameBody(d.Body, m.Body)
	if d.Group != m.Group {
		t.Errorf("the redriven message has group %q, want %q", d.Group, m.Group)
	}
	if t.caps.Headers {
		t.sameHeaders(d.Headers, m.Headers, mq.Headers{driver.HeaderOrigin: q.Name() + "/" + old.ID})
	}
	t.stale(q.Settle(t.ctx, mq.Settlement{Receipt: old.Receipt, Op: mq.OpAck}), "ack with the receipt from before the archive")
	t.stale(q.Extend(t.ctx, t.unit, old.Receipt), "extend with the receipt from before the archive")
	t.unharmed(q, d)
}

// younger checks that d was made of old at least some time after it, as far as
// a backend can tell that counts in seconds.
func (t *tester) younger(d, old *mq.Delivery, by time.Duration) {
	t.Helper()
	if d.EnqueuedAt.Nanosecond() == 0 && old.EnqueuedAt.Nanosecond() == 0 {
		by -= time.Second
	}
	if gap := d.EnqueuedAt.Sub(old.EnqueuedAt); gap < by-early {
		t.Errorf("EnqueuedAt of the new message is %v after that of the old one, want %v or more", gap, by)
	}
}

func redriveIDs(t *tester) {
	q := t.queue()
	ids := t.archiveMany(q, 4)
	o := mq.RedriveOptions{IDs: []string{ids[2], "no such id", ids[0], "0"}}
	if n, err := q.Redrive(t.ctx, o); n != 2 || err != nil {
		t.Errorf("Redrive of two ids and two that are not there returned %d, %v", n, err)
	}
	if n, err := q.Redrive(t.ctx, o); n != 0 || err != nil {
		t.Errorf("Redrive of ids that are not there any more returned %d, %v", n, err)
	}
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{IDs: []string{}}); n != 0 || err != nil {
		t.Errorf("Redrive of no ids returned %d, %v", n, err)
	}
	if got := recordIDs(t.archived(q)); !slices.Equal(got, []string{ids[1], ids[3]}) {
		t.Errorf("the archive still has %s, want %s and %s", got, ids[1], ids[3])
	}
	got := bodies(t.receive(q, 2))
	slices.Sort(got)
	if !slices.Equal(got, []string{"message 0", "message 2"}) {
		t.Errorf("redriven bodies %q", got)
	}
}

func redriveLimit(t *tester) {
	q := t.queue()
	ids := t.archiveMany(q, 5)
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{Limit: 2}); n != 2 || err != nil {
		t.Errorf("Redrive with Limit 2 returned %d, %v", n, err)
	}
	if got := recordIDs(t.archived(q)); !slices.Equal(got, ids[2:]) {
		t.Errorf("the archive still has %s, want %s", got, ids[2:])
	}
	if n, err := q.Redrive(t.ctx, mq.RedriveOptions{IDs: ids, Limit: 1}); n != 1 || err != nil {
		t.Errorf("Redrive of ids with Limit 1 returned %d, %v", n, err)
	}
	_, err := q.Redrive(t.ctx, mq.RedriveOptions{Limit: -1})
	t.is(err, "Redrive with a negative Limit", mq.ErrInvalid)
	t.counted(q, counts{visible: 3, archived: 2})
}

func redriveConcurrent(t *tester) {
	q := t.queue()
	const total = 40
	t.archiveMany(q, total)
	t.together(4, func(int) error {
		_, err := q.Redrive(t.ctx, mq.RedriveOptions{})
		return err
	})
	got := bodies(t.receive(q, total))
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != total {
		t.Errorf("%d messages were archived, %d different ones came back", total, n)
	}
	t.none(q, "each comes back once")
}
