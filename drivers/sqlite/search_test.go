package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
)

// TestSearch compares searches of every kind with what [driver.Match.Fits] says of all
// records.
func TestSearch(t *testing.T) {
	d := newDesk(t)
	d.stock()
	first := d.browse(driver.BrowseRequest{Limit: 30})[29].EnqueuedAt
	matches := []driver.Match{
		{},
		{State: driver.StateVisible},
		{State: driver.StateLeased},
		{State: driver.StateDelayed},
		{State: driver.StateArchived},
		{Header: "n", Value: "1"},
		{Header: "n"},
		{Header: `odd "name".x`, Value: "<ü>"},
		{Header: "missing"},
		{Group: "a"},
		{Text: "needle"},
		{Text: "\x00\xff"},
		{Text: "BODY"},
		{Text: "body 1", Header: "n", Value: "0", State: driver.StateVisible},
		{Reason: "many"},
		{Reason: "luck"},
		{Reason: "u"},
		{SentSince: first},
		{SentBefore: first},
		{SentSince: first.Add(1), SentBefore: time.Now().Add(time.Hour)},
		{SentBefore: first.Add(1)},
	}
	for _, archive := range []bool{false, true} {
		for _, newest := range []bool{false, true} {
			all := d.browse(driver.BrowseRequest{Archive: archive, Newest: newest, Limit: 1000})
			for i := range matches {
				for _, limit := range []int{1, 5, 1000} {
					for _, scan := range []int{10, len(all), 1000} {
						r := driver.SearchRequest{Match: matches[i], Scan: scan}
						r.Archive, r.Newest, r.Limit = archive, newest, limit
						d.searchAll(r, all)
					}
				}
			}
		}
	}
}

// searchAll goes through a queue with the searches of one request.
func (d desk) searchAll(r driver.SearchRequest, all []driver.Record) {
	d.Helper()
	for range len(all) + 1 {
		got, err := d.Search(d.Context(), "q", r)
		d.must(err)
		want := expected(r, all)
		if got.Looked != want.Looked || got.Last != want.Last || got.End != want.End || !slices.Equal(idsOf(got.Records), idsOf(want.Records)) {
			d.Fatalf("%+v: looked at %d up to %s, end %v, %v; want %d, %s, %v, %v", r,
				got.Looked, got.Last, got.End, idsOf(got.Records), want.Looked, want.Last, want.End, idsOf(want.Records))
		}
		for i, r := range got.Records {
			if !reflect.DeepEqual(r, want.Records[i]) {
				d.Fatalf("got %+v, want %+v", r, want.Records[i])
			}
		}
		if got.End {
			return
		}
		r.After = got.Last
	}
	d.Fatalf("%+v does not come to an end", r)
}

// expected is what a search finds among all records.
func expected(r driver.SearchRequest, all []driver.Record) (f driver.Found) {
	rest := all[slices.IndexFunc(all, func(one driver.Record) bool { return one.ID == r.After })+1:]
	for f.Looked < min(r.Scan, len(rest)) && len(f.Records) < r.Limit {
		one := rest[f.Looked]
		if r.Match.Fits(&one) {
			f.Records = append(f.Records, one)
		}
		f.Last = one.ID
		f.Looked++
	}
	f.End = f.Looked == len(rest)
	return f
}

// TestSearchCut: the text is looked for in the whole body, of which a part is returned.
func TestSearchCut(t *testing.T) {
	d := newDesk(t)
	body := strings.Repeat("x", 5000) + "needle"
	d.send(driver.Message{Body: []byte(body)})
	r := driver.SearchRequest{Match: driver.Match{Text: "needle"}, Scan: 10}
	r.Limit, r.CutBody = 1, 4
	f, err := d.Search(t.Context(), "q", r)
	d.must(err)
	if len(f.Records) != 1 || string(f.Records[0].Body) != "xxxx" || f.Records[0].BodySize != len(body) {
		t.Errorf("found %+v", f)
	}
}

// TestSearchLarge: a search ends early where the bodies become too large, and the next one
// goes on behind them.
func TestSearchLarge(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		d.send(driver.Message{Body: make([]byte, 40<<20)}, driver.Message{Body: []byte("small")})
	}
	r := driver.SearchRequest{Match: driver.Match{Text: "\x00"}, Scan: 100}
	r.Limit = 100
	f, err := d.Search(t.Context(), "q", r)
	d.must(err)
	if len(f.Records) != 2 || f.Looked != 3 || f.Last != f.Records[1].ID || f.End {
		t.Fatalf("%d records of %d up to %s, end %v", len(f.Records), f.Looked, f.Last, f.End)
	}
	r.After = f.Last
	f, err = d.Search(t.Context(), "q", r)
	d.must(err)
	if len(f.Records) != 1 || f.Looked != 3 || !f.End {
		t.Errorf("%d records of %d up to %s, end %v", len(f.Records), f.Looked, f.Last, f.End)
	}
}

// TestReadsBesideTx: what reads at one moment does not wait for a writer, on a pool whose
// transactions begin as writers as well.
func TestReadsBesideTx(t *testing.T) {
	d := newDesk(t)
	d.send(driver.Message{})
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: d.path}).EscapedPath()+"?_txlock=immediate")
	d.must(err)
	defer func() { _ = db.Close() }()
	p := sqlite.FromDB(db, sqlite.Config{})
	defer func() { _ = p.Close() }()
	d.must(p.Ping(t.Context()))
	tx, err := db.BeginTx(t.Context(), nil)
	d.must(err)
	defer func() { _ = tx.Rollback() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if s, err := p.Stats(ctx, "q"); err != nil || s.Total != 1 {
		t.Errorf("stats: %+v, %v", s, err)
	}
	r := driver.SearchRequest{Scan: 1}
	r.Limit = 1
	if f, err := p.Search(ctx, "q", r); err != nil || len(f.Records) != 1 {
		t.Errorf("search: %+v, %v", f, err)
	}
}

func TestSearchRefuses(t *testing.T) {
	d := newDesk(t)
	r := driver.SearchRequest{Scan: 1}
	r.Limit = 1
	if f, err := d.Search(t.Context(), "q", r); err != nil || !reflect.DeepEqual(f, driver.Found{End: true}) {
		t.Errorf("an empty queue: %+v, %v", f, err)
	}
	if _, err := d.Search(t.Context(), "missing", r); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("a missing queue: %v", err)
	}
	if _, _, err := d.CountReasons(t.Context(), "missing", 1); !errors.Is(err, driver.ErrQueueNotFound) {
		t.Errorf("reasons of a missing queue: %v", err)
	}
	r.After = "x"
	if _, err := d.Search(t.Context(), "q", r); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("after x: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Search(ctx, "q", driver.SearchRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a search whose ctx has ended: %v", err)
	}
}

func TestCountReasons(t *testing.T) {
	d := newDesk(t)
	if counts, looked, err := d.CountReasons(t.Context(), "q", 10); err != nil || len(counts) != 0 || looked != 0 {
		t.Errorf("an empty archive: %v, %d, %v", counts, looked, err)
	}
	began := time.Now().Truncate(time.Microsecond)
	for _, reason := range []string{"old", "b", "a", "", "b", "c", ""} {
		d.send(driver.Message{})
		d.settle(driver.OpArchive, reason, d.lease(1, time.Hour)...)
	}
	for scan, want := range map[int]string{100: "2,2 b,1 a,1 c,1 old of 7", 6: "2,2 b,1 a,1 c of 6", 2: "1,1 c of 2"} {
		counts, looked, err := d.CountReasons(t.Context(), "q", scan)
		d.must(err)
		var got []string
		for _, c := range counts {
			got = append(got, strings.TrimSpace(fmt.Sprint(c.Count, " ", c.Reason)))
			if c.First.Before(began) || c.Last.After(time.Now()) || c.First.After(c.Last) || (c.Count == 1) != c.First.Equal(c.Last) {
				t.Errorf("%+v", c)
			}
		}
		if text := fmt.Sprintf("%s of %d", strings.Join(got, ","), looked); text != want {
			t.Errorf("%d: %s, want %s", scan, text, want)
		}
	}
}

// BenchmarkSearch looks at 10,000 of 1,000,000 small messages.
func BenchmarkSearch(b *testing.B) {
	d := millionDesk(b)
	for name, m := range map[string]driver.Match{
		"none":   {},
		"text":   {Text: "missing"},
		"header": {Header: "kind", Value: "missing"},
		"reason": {Reason: "missing"},
		"state":  {State: driver.StateDelayed},
		"all":    {State: driver.StateVisible, Header: "kind", Value: "order", Text: "missing", SentSince: time.Unix(1, 0)},
	} {
		for _, newest := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/newest=%v", name, newest), func(b *testing.B) {
				r := driver.SearchRequest{Match: m, Scan: 10000}
				r.Newest, r.Limit, r.CutBody, r.After = newest, 100, 200, "500000"
				for b.Loop() {
					if _, err := d.Search(b.Context(), "q", r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// millionDesk returns a provider of a file whose queue has 1,000,000 messages.
func millionDesk(b *testing.B) driver.Searcher {
	b.Helper()
	path := b.TempDir() + "/queue.db"
	db := openDB(b, path)
	c := open(b, path)
	if _, err := c.EnsureQueue(b.Context(), "q", driver.QueueOptions{}); err != nil {
		b.Fatal(err)
	}
	run(b, db, `INSERT INTO mq_message (id, queue, due, lease, reads, uncounted, answered, unanswered, sent, size, headers, body)
		WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000)
		SELECT 1 << 40 | n, 1, 1e15 + n, 0, 0, 0, 0, 0, 1e15 + n, 100,
			json_object('kind', 'order', 'trace', printf('%032d', n), 'mq-error', 'no answer'),
			CAST(printf('{"id": %091d}', n) AS BLOB) FROM n`)
	run(b, db, "UPDATE mq_queue SET sent = 1000000, total = 1000000")
	return c.Provider().(driver.Searcher)
}
