package drivertest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

var browseCases = []testCase{
	{name: "browse/newest", rule: "BrowseRequest.Newest: pages in the order of ids, newest first, each After the last", needs: canPeek, run: browseNewest},
	{name: "browse/newest-archived", rule: "BrowseRequest.Newest in the archive", needs: canSeeArchive, run: browseNewestArchived},
	{name: "browse/ids", rule: "BrowseRequest.IDs are the only messages shown; those that are not there, or cannot be ids, are left out", needs: canPeek, run: browseIDs},
	{name: "browse/ids-archived", rule: "BrowseRequest.IDs in the archive", needs: canSeeArchive, run: browseIDsArchived},
	{name: "browse/cut", rule: "BrowseRequest.CutBody cuts bodies, and BodySize is that of the whole", needs: canPeek, run: browseCut},
	{name: "browse/cut-archived", rule: "BrowseRequest.CutBody in the archive", needs: canSeeArchive, run: browseCutArchived},
	{name: "browse/states", rule: "Record.State says where the message is", needs: canPeek, run: browseStates},
	{name: "search/fits", rule: "Search finds the messages that Match.Fits, and no others", needs: canPeek, run: searchFits},
	{name: "search/archived", rule: "Search in the archive, by reason", needs: canSeeArchive, run: searchArchived},
	{name: "search/bounded", rule: "Search looks at SearchRequest.Scan messages at most, and says how far it looked", needs: all(canPeek, batches), run: searchBounded},
	{name: "search/goes-on", rule: "a Search After Found.Last goes on where the last one stopped, in either direction", needs: canPeek, run: searchGoesOn},
	{name: "search/cut", rule: "a Search for text looks at whole bodies, however CutBody cuts them", needs: canPeek, run: searchCut},
	{name: "reasons/counted", rule: "CountReasons counts archived messages by reason, most frequent first, with the times of the first and the last", needs: canCountReasons, run: reasonsCounted},
	{name: "reasons/bounded", rule: "CountReasons looks at the newest messages, as many as it is asked to", needs: canCountReasons, run: reasonsBounded},
}

// pages reads all pages of a length.
func (t *tester) pages(limit int, page func(mq.BrowseOptions) ([]mq.Record, error)) []string {
	t.Helper()
	var got []string
	for o := (mq.BrowseOptions{Newest: true, Limit: limit}); ; {
		rs, err := page(o)
		t.ok(err, "a page of the newest after %q", o.After)
		if len(rs) == 0 || len(got) > 100 {
			return got
		}
		got = append(got, recordIDs(rs)...)
		o.After = rs[len(rs)-1].ID
	}
}

func browseNewest(t *tester) {
	q := t.queue()
	ids := t.post(q, numbered(7)...)
	slices.Reverse(ids)
	for _, limit := range []int{1, 3, 7, 8} {
		got := t.pages(min(limit, t.caps.BatchLimit()), func(o mq.BrowseOptions) ([]mq.Record, error) { return q.Peek(t.ctx, o) })
		if !slices.Equal(got, ids) {
			t.Errorf("pages of %d show %s, want %s", limit, got, ids)
		}
	}
	_, err := q.Peek(t.ctx, mq.BrowseOptions{Newest: true, After: "no id"})
	t.is(err, "Peek after what is no id", mq.ErrInvalid)
}

func browseNewestArchived(t *tester) {
	q := t.queue()
	ids := t.archiveMany(q, 5)
	slices.Reverse(ids)
	got := t.pages(min(2, t.caps.BatchLimit()), func(o mq.BrowseOptions) ([]mq.Record, error) { return q.Archived(t.ctx, o) })
	if !slices.Equal(got, ids) {
		t.Errorf("pages show %s, want %s", got, ids)
	}
}

func browseIDs(t *tester) {
	q := t.queue()
	ids := t.send(q, "1", "2", "3", "4")
	t.ok(t.receive(q, 1)[0].Ack(t.ctx), "ack")
	rs, err := q.Peek(t.ctx, mq.BrowseOptions{IDs: []string{ids[3], ids[0], "no id", ids[1], ids[1]}[:min(5, t.caps.BatchLimit())]})
	want := []string{ids[1], ids[3]}
	if t.caps.BatchLimit() < 5 {
		return
	}
	if t.ok(err, "Peek of IDs"); t.caps.Order != driver.Unordered && !slices.Equal(recordIDs(rs), want) {
		t.Errorf("Peek shows %s, want %s", recordIDs(rs), want)
	}
	rs, err = q.Peek(t.ctx, mq.BrowseOptions{IDs: []string{}})
	if t.ok(err, "Peek of no IDs"); len(rs) > 0 {
		t.Errorf("Peek of no IDs shows %s", recordIDs(rs))
	}
}

func browseIDsArchived(t *tester) {
	q := t.queue()
	ids := t.archiveMany(q, 3)
	t.send(q, "not archived")
	rs, err := q.Archived(t.ctx, mq.BrowseOptions{IDs: ids[1:2]})
	if t.ok(err, "Archived of IDs"); !slices.Equal(recordIDs(rs), ids[1:2]) {
		t.Errorf("Archived shows %s, want %s", recordIDs(rs), ids[1:2])
	}
}

// cuttable are bodies that backends keep in different ways. JSON is in the one spelling
// that a backend may choose.
var cuttable = []string{`"a longer text"`, "plain text, no JSON", "\x00\x01\xff binary \xfe", ""}

func browseCut(t *tester) {
	q := t.queue()
	t.send(q, cuttable...)
	t.areCut(q.Peek(t.ctx, mq.BrowseOptions{CutBody: 5}))
}

func browseCutArchived(t *tester) {
	q := t.queue()
	t.send(q, cuttable...)
	t.ok(q.Settle(t.ctx, each(t.receive(q, len(cuttable)), mq.Settlement{Op: mq.OpArchive})...), "archive")
	t.areCut(q.Archived(t.ctx, mq.BrowseOptions{CutBody: 5}))
}

// areCut checks records of the cuttable bodies.
func (t *tester) areCut(rs []mq.Record, err error) {
	t.Helper()
	if t.ok(err, "browse"); len(rs) != len(cuttable) {
		t.Fatalf("%d records, want %d", len(rs), len(cuttable))
	}
	for i, whole := range cuttable {
		if want := whole[:min(5, len(whole))]; string(rs[i].Body) != want || rs[i].BodySize != len(whole) {
			t.Errorf("%q came as %q of %d bytes, want %q of %d", whole, rs[i].Body, rs[i].BodySize, want, len(whole))
		}
	}
}

func browseStates(t *tester) {
	q := t.queue()
	t.send(q, "leased", "given back", "late")
	want := []mq.State{mq.StateLeased, mq.StateVisible, mq.StateVisible}
	if t.caps.Delay {
		t.post(q, &mq.Message{Delay: t.long})
		want = append(want, mq.StateDelayed)
	}
	var lapsed span
	for _, d := range t.receive(q, 3) {
		switch string(d.Body) {
		case "given back":
			t.ok(d.Nack(t.ctx, 0), "nack")
		case "late":
			from := time.Now()
			t.ok(d.Extend(t.ctx, 2*t.unit), "Extend")
			lapsed = span{from, time.Now()}.plus(2 * t.unit)
		}
	}
	t.expire(lapsed)
	if got := states(t.peek(q)); !slices.Equal(got, want) {
		t.Errorf("the states are %v, want %v", got, want)
	}
	if t.caps.Delay && t.caps.NackFences {
		d := t.one(q)
		t.ok(d.Nack(t.ctx, t.long), "nack with a delay")
		rs, err := q.Peek(t.ctx, mq.BrowseOptions{IDs: []string{d.ID}})
		if t.ok(err, "Peek"); !slices.Equal(states(rs), []mq.State{mq.StateDelayed}) {
			t.Errorf("after a nack with a delay the state is %v, want delayed", states(rs))
		}
	}
	if canSeeArchive(t.h, t.p, t.caps) == "" {
		t.archive(t.queue(), &mq.Message{}, "")
	}
}

func states(rs []mq.Record) []mq.State {
	out := make([]mq.State, len(rs))
	for i, r := range rs {
		out[i] = r.State
	}
	return out
}

// searched are messages of many kinds, as far as the provider takes them.
func (t *tester) searched(q *mq.Queue) {
	t.Helper()
	var msgs []*mq.Message
	for i, body := range []string{`{"a":"needle"}`, "needle", `{"a":"Needle"}`, "\xffneedle\x00", "", "nee", `"%_\\"`, "n%e"} {
		m := &mq.Message{Body: []byte(body)}
		if t.caps.Headers {
			m.Headers = mq.Headers{"k": []string{"v", "V", "", "v%"}[i%4]}
			if i == 3 {
				m.Headers = nil
			}
		}
		if t.caps.Groups {
			m.Group = []string{"g", "", "G"}[i%3]
		}
		if t.caps.Delay && i == 5 {
			m.Delay = t.long
		}
		msgs = append(msgs, m)
	}
	t.post(q, msgs[:4]...)
	t.sleep(t.unit)
	t.post(q, msgs[4:]...)
	t.receive(q, 2)
}

// searchFits compares searches with what Fits says of all records.
func searchFits(t *tester) {
	q := t.queue()
	t.searched(q)
	all := t.peek(q)
	middle := all[4].EnqueuedAt
	for _, m := range []mq.Match{
		{},
		{State: mq.StateVisible},
		{State: mq.StateLeased},
		{State: mq.StateDelayed},
		{Header: "k", Value: "v"},
		{Header: "k"},
		{Header: "K", Value: "v"},
		{Header: "none"},
		{Group: "g"},
		{Text: "needle"},
		{Text: "%"},
		{Text: "_"},
		{Text: `\`},
		{Text: "\xff"},
		{SentSince: middle},
		{SentBefore: middle},
		{SentSince: all[0].EnqueuedAt, SentBefore: all[0].EnqueuedAt.Add(time.Hour)},
		{Text: "needle", State: mq.StateVisible, SentBefore: middle},
	} {
		if m.Header != "" && !t.caps.Headers || m.Group != "" && !t.caps.Groups {
			continue
		}
		for _, newest := range []bool{false, true} {
			t.searchAgrees(q, m, all, newest)
		}
	}
}

// searchAgrees checks one search against all records of the queue.
func (t *tester) searchAgrees(q *mq.Queue, m mq.Match, all []mq.Record, newest bool) {
	t.Helper()
	found, err := q.Search(t.ctx, mq.SearchOptions{Match: m, BrowseOptions: mq.BrowseOptions{Newest: newest}})
	t.ok(err, "Search for %+v", m)
	var want []string
	for _, r := range all {
		if m.Fits(&driver.Record{
			Message: driver.Message{Body: r.Body, Headers: r.Headers, Group: r.Group}, State: r.State, EnqueuedAt: r.EnqueuedAt,
		}) {
			want = append(want, r.ID)
		}
	}
	if newest {
		slices.Reverse(want)
	}
	if got := recordIDs(found.Records); !slices.Equal(got, want) {
		t.Errorf("Search for %+v found %s, want %s", m, got, want)
	}
	if !found.End && t.caps.BatchLimit() > len(all) || found.Looked != len(all) && found.End {
		t.Errorf("Search for %+v looked at %d messages (End: %v), want all %d", m, found.Looked, found.End, len(all))
	}
}

func searchArchived(t *tester) {
	q := t.queue()
	for _, reason := range []string{"card declined", "bank: 500", "", "bank: 100%"} {
		t.archive(q, &mq.Message{Body: []byte(reason)}, reason)
	}
	t.send(q, "bank: in the queue")
	for reason, want := range map[string]int{"bank": 2, "card": 1, "%": 1, "Bank": 0, "500": 1} {
		found, err := q.Search(t.ctx, mq.SearchOptions{Archive: true, Match: mq.Match{Reason: reason}})
		if t.ok(err, "Search"); len(found.Records) != want {
			t.Errorf("Search for the reason %q found %d messages, want %d", reason, len(found.Records), want)
		}
	}
	found, err := q.Search(t.ctx, mq.SearchOptions{Archive: true, Match: mq.Match{State: mq.StateArchived}})
	if t.ok(err, "Search"); len(found.Records) != 4 {
		t.Errorf("Search for archived messages found %d, want 4", len(found.Records))
	}
}

func searchBounded(t *tester) {
	q := t.queue()
	ids := t.send(q, "a", "b", "a", "b", "a")
	for _, tt := range []struct {
		text         string
		limit, scan  int
		found, looks int
		last         string
		end          bool
	}{
		{"a", 4, 3, 2, 3, ids[2], false},
		{"b", 4, 3, 1, 3, ids[2], false},
		{"b", 1, 5, 1, 2, ids[1], false},
		{"none", 1, 4, 0, 4, ids[3], false},
		{"none", 1, 50, 0, 5, ids[4], true},
		{"", 2, 50, 2, 2, ids[1], false},
	} {
		o := mq.SearchOptions{Match: mq.Match{Text: tt.text}, Scan: tt.scan}
		o.Limit = tt.limit
		f, err := q.Search(t.ctx, o)
		t.ok(err, "Search")
		if len(f.Records) != tt.found || f.Looked != tt.looks || f.Last != tt.last || f.End != tt.end {
			t.Errorf("Search for up to %d of %q in %d messages found %d, looked at %d up to %q, End: %v; want %d, %d, %q, %v",
				tt.limit, tt.text, tt.scan, len(f.Records), f.Looked, f.Last, f.End, tt.found, tt.looks, tt.last, tt.end)
		}
	}
	if f, err := t.queue().Search(t.ctx, mq.SearchOptions{}); err != nil || !f.End || f.Looked != 0 || f.Last != "" {
		t.Errorf("Search of an empty queue looked at %d up to %q, End: %v, %v", f.Looked, f.Last, f.End, err)
	}
}

func searchGoesOn(t *tester) {
	q := t.queue()
	ids := t.post(q, numbered(9)...)
	for _, newest := range []bool{false, true} {
		var got []string
		o := mq.SearchOptions{Scan: 2}
		o.Newest, o.Limit = newest, 1
		for range 20 {
			f, err := q.Search(t.ctx, o)
			t.ok(err, "Search after %q", o.After)
			got = append(got, recordIDs(f.Records)...)
			if f.End {
				break
			}
			o.After = f.Last
		}
		if !slices.Equal(got, ids) {
			t.Errorf("searches (newest first: %v) found %s, want %s", newest, got, ids)
		}
		slices.Reverse(ids)
	}
}

func searchCut(t *tester) {
	q := t.queue()
	t.send(q, strings.Repeat("hay ", 100)+"needle")
	o := mq.SearchOptions{Match: mq.Match{Text: "needle"}}
	o.CutBody = 3
	f, err := q.Search(t.ctx, o)
	if t.ok(err, "Search"); len(f.Records) != 1 || !bytes.Equal(f.Records[0].Body, []byte("hay")) || f.Records[0].BodySize != 406 {
		t.Errorf("Search found %+v, want one message, cut to 3 of 406 bytes", f.Records)
	}
}

func reasonsCounted(t *tester) {
	q := t.queue()
	for i := range 6 {
		t.archive(q, &mq.Message{}, []string{"often", "once", "often", "", "often", ""}[i])
		t.sleep(t.unit / 10)
	}
	rs := t.archived(q)
	counts, looked, err := q.Reasons(t.ctx, 0)
	t.ok(err, "Reasons")
	want := []mq.ReasonCount{
		{Reason: "often", Count: 3, First: rs[0].ArchivedAt, Last: rs[4].ArchivedAt},
		{Reason: "", Count: 2, First: rs[3].ArchivedAt, Last: rs[5].ArchivedAt},
		{Reason: "once", Count: 1, First: rs[1].ArchivedAt, Last: rs[1].ArchivedAt},
	}
	same := func(a, b mq.ReasonCount) bool {
		return a.Reason == b.Reason && a.Count == b.Count && a.First.Equal(b.First) && a.Last.Equal(b.Last)
	}
	if looked != 6 || !slices.EqualFunc(counts, want, same) {
		t.Errorf("Reasons are %v of %d, want %v of 6", counts, looked, want)
	}
	none, looked, err := t.queue().Reasons(t.ctx, 0)
	if err != nil || looked != 0 || len(none) != 0 {
		t.Errorf("Reasons of an empty archive are %v of %d, %v", none, looked, err)
	}
}

func reasonsBounded(t *tester) {
	q := t.queue()
	for i := range 5 {
		t.archive(q, &mq.Message{}, fmt.Sprint("reason ", i/3))
	}
	counts, looked, err := q.Reasons(t.ctx, 2)
	if t.ok(err, "Reasons"); looked != 2 || len(counts) != 1 || counts[0].Reason != "reason 1" || counts[0].Count != 2 {
		t.Errorf("Reasons of the newest 2 are %v of %d, want reason 1 twice", counts, looked)
	}
}
