package suite_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// provided is queue jobs of a provider, whose interfaces an mq.Queue hides.
type provided struct {
	*testing.T
	*pgmq.Provider
	db  *sql.DB
	dsn string
}

const jobs = layouts.Queue

// eachProvider runs a test with each library, and with pgx as it is behind a pooler.
func eachProvider(t *testing.T, f func(p *provided)) {
	t.Helper()
	for name, way := range map[string][2]string{
		"pgx": {"pgx", ""}, "pq": {"postgres", ""}, "unprepared": {"pgx", "default_query_exec_mode=exec"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := server.Postgres(t).Database(t)
			if way[1] != "" {
				dsn = and(dsn, way[1])
			}
			f(provide(t, way[0], dsn, pgmq.Config{}))
		})
	}
}

func provide(t *testing.T, library, dsn string, cfg pgmq.Config) *provided {
	t.Helper()
	cfg.Logger = quiet.Logger
	db := checks.DB(t, library, dsn)
	db.SetMaxOpenConns(maxConns)
	p := pgmq.FromDB(db, cfg)
	t.Cleanup(func() { ok(t, p.Close()) })
	ok(t, p.EnsureQueue(t.Context(), jobs, driver.QueueOptions{}))
	return &provided{T: t, Provider: p, db: db, dsn: dsn}
}

func (p *provided) exec(text string) {
	p.Helper()
	checks.Exec(p, p.db, text)
}

// post sends messages, and returns their ids.
func (p *provided) post(msgs ...driver.Message) []string {
	p.Helper()
	return must(p.Send(p.Context(), jobs, msgs))(p)
}

func (p *provided) lease(n int) []driver.Delivery {
	p.Helper()
	ds := must(p.Receive(p.Context(), jobs, driver.ReceiveRequest{Max: n, Visibility: time.Hour}))(p)
	if len(ds) != n {
		p.Fatalf("received %d messages, want %d", len(ds), n)
	}
	return ds
}

func (p *provided) browse(r driver.BrowseRequest) []driver.Record {
	p.Helper()
	if r.Limit == 0 {
		r.Limit = 100
	}
	return must(p.Browse(p.Context(), jobs, r))(p)
}

func ids(records []driver.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.ID)
	}
	return all
}

func (p *provided) want(what string, got, want any) {
	p.Helper()
	if !reflect.DeepEqual(got, want) {
		p.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func bodies(texts ...string) (msgs []driver.Message) {
	for _, text := range texts {
		msgs = append(msgs, driver.Message{Body: []byte(text)})
	}
	return msgs
}

// TestBrowseOrder: pages of either direction, and of some ids.
func TestBrowseOrder(t *testing.T) {
	eachProvider(t, func(p *provided) {
		p.post(bodies("1", "2", "3", "4", "5")...)
		p.want("newest", ids(p.browse(driver.BrowseRequest{Newest: true, Limit: 2})), []string{"5", "4"})
		p.want("newest, next", ids(p.browse(driver.BrowseRequest{Newest: true, Limit: 2, After: "4"})), []string{"3", "2"})
		p.want("newest, after one that is gone", ids(p.browse(driver.BrowseRequest{Newest: true, After: "1"})), []string(nil))
		some := []string{"4", "x", "2", "77", "2", ""}
		p.want("some", ids(p.browse(driver.BrowseRequest{IDs: some})), []string{"2", "4"})
		p.want("some, newest", ids(p.browse(driver.BrowseRequest{IDs: some, Newest: true})), []string{"4", "2"})
		p.want("none", ids(p.browse(driver.BrowseRequest{IDs: []string{"x"}})), []string(nil))
	})
}

// TestBrowseStates: a record's state is that of Stats.
func TestBrowseStates(t *testing.T) {
	eachProvider(t, func(p *provided) {
		p.post(bodies("1", "2", "3")...)
		p.post(driver.Message{Body: []byte("4"), Delay: time.Hour}, driver.Message{Body: []byte("5")})
		ds := p.lease(3)
		ok(p, p.Settle(p.Context(), jobs, []driver.Settlement{
			{Receipt: ds[1].Receipt, Op: driver.OpNack, Delay: time.Hour}, {Receipt: ds[2].Receipt, Op: driver.OpArchive, Reason: "why"},
		}))
		var states []driver.State
		for _, r := range append(p.browse(driver.BrowseRequest{}), p.browse(driver.BrowseRequest{Archive: true})...) {
			states = append(states, r.State)
		}
		p.want("states", states, []driver.State{driver.StateLeased, driver.StateDelayed, driver.StateDelayed, driver.StateVisible, driver.StateArchived})
	})
}

// odd are bodies that other programs have written, as jsonb, and how they are shown.
var odd = map[string]string{
	`{"mq:base64": "AAEC/w=="}`:             "\x00\x01\x02\xff",
	`{"mq:base64": "AAEC\n/w=="}`:           "",
	`{"mq:base64": "AAEC/x=="}`:             "", // not strict: "" stands for the JSON
	`{"mq:base64": "no base64"}`:            "",
	`{"mq:base64": "AAEC/w==", "more": 1}`:  "",
	`{"mq:base64": 1}`:                      "",
	`{"mq:text": "ключ \"値\" \u0001"}`:      "ключ \"値\" \x01",
	`{"mq:text": null}`:                     "",
	`{"mq:text": "a", "mq:base64": "AAEC"}`: "",
	`["mq:text"]`:                           "",
	`"mq:text"`:                             "",
	`null`:                                  "",
}

// TestBrowseCut: the server cuts what Browse shows, byte by byte, and says how much that
// was.
func TestBrowseCut(t *testing.T) {
	eachProvider(t, func(p *provided) {
		p.post(bodies(`{"a": [1, "ж"]}`, "жж", "\x00\xff\xfe\x01", "", `{"mq:text": "own"}`, strings.Repeat("long", 100_000))...)
		for stored := range odd {
			must(p.db.Exec("INSERT INTO pgmq.q_jobs (vt, message) VALUES (now(), '" + stored + "'::jsonb)"))(p)
		}
		p.exec("INSERT INTO pgmq.q_jobs (vt, message) VALUES (now(), NULL)")
		whole := p.browse(driver.BrowseRequest{})
		for _, r := range whole[6:] {
			if want := odd[string(r.Body)]; want != "" && r.Body != nil {
				p.Errorf("%s is shown as it is stored", r.Body)
			}
		}
		for _, n := range []int{1, 2, 3, 4, 7, 1000, 1 << 40} {
			for i, r := range p.browse(driver.BrowseRequest{CutBody: n}) {
				want := whole[i].Body[:min(n, len(whole[i].Body))]
				if !bytes.Equal(r.Body, want) || r.BodySize != len(whole[i].Body) || whole[i].BodySize != r.BodySize {
					p.Errorf("%.50q, cut at %d: it shows %.50q of %d bytes", whole[i].Body, n, r.Body, r.BodySize)
				}
			}
		}
	})
}

func (p *provided) search(r driver.SearchRequest) driver.Found {
	p.Helper()
	if r.Limit == 0 {
		r.Limit = 100
	}
	if r.Scan == 0 {
		r.Scan = 1000
	}
	return must(p.Search(p.Context(), jobs, r))(p)
}

// searchable makes a queue and an archive of messages that differ in everything.
func searchable(p *provided) {
	p.Helper()
	p.post(
		driver.Message{Body: []byte(`{"order": 17}`), Headers: driver.Headers{"kind": "new", "empty": ""}, Group: "g"},
		driver.Message{Body: []byte("plain\x00\xff17"), Headers: driver.Headers{"kind": "old"}},
		driver.Message{Body: []byte(`say "17"`), Group: "h"},
		driver.Message{Body: []byte(`"ж 17"`), Delay: time.Hour},
	)
	d := p.lease(1)[0]
	ok(p, p.Settle(p.Context(), jobs, []driver.Settlement{{Receipt: d.Receipt, Op: driver.OpNack, Reason: "boom: 17"}}))
	p.lease(1)
	p.exec(`INSERT INTO pgmq.q_jobs (vt, enqueued_at, message, headers) VALUES
		(now(), 'infinity', 'null', '{"n": 1.50, "null": null, "o": {"a": [1]}, "mq-answered": 3, "x-pgmq-group": null}'),
		(now(), '2020-01-02 03:04:05.000006+00', '{"mq:base64": "no base64"}', '["kind"]'),
		(now(), now(), NULL, '{"mq-reason": null, "x-pgmq-group": 7}')`)
	p.exec("INSERT INTO pgmq.a_jobs (msg_id, read_ct, enqueued_at, vt, message, headers) SELECT msg_id, read_ct, enqueued_at, vt, message, headers FROM pgmq.q_jobs")
}

var matches = []driver.Match{
	{},
	{State: driver.StateVisible},
	{State: driver.StateLeased},
	{State: driver.StateDelayed},
	{State: driver.StateArchived},
	{Header: "kind", Value: "new"},
	{Header: "kind"},
	{Header: "empty"},
	{Header: "n", Value: "1.50"},
	{Header: "null", Value: "null"},
	{Header: "o", Value: `{"a": [1]}`},
	{Header: "mq-answered", Value: "3"},
	{Header: "x-pgmq-group", Value: "g"},
	{Header: "kind", Value: "\xff"},
	{Header: "a\x00b"},
	{Header: `k"`},
	{Group: "g"},
	{Group: "null"},
	{Group: "7"},
	{Text: "17"},
	{Text: `"17"`},
	{Text: "\x00\xff"},
	{Text: "ж"},
	{Text: "no base64"},
	{Text: "null"},
	{Text: "\xb6"},
	{Text: "order\": 1"},
	{Text: "%"},
	{Reason: "boom"},
	{Reason: "BOOM"},
	{Reason: "ull"},
	{SentSince: time.Date(2020, 1, 2, 3, 4, 5, 6001, time.UTC)},
	{SentSince: time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)},
	{SentBefore: time.Date(2020, 1, 2, 3, 4, 5, 6001, time.UTC)},
	{SentBefore: time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)},
	{SentSince: time.Date(-1_000_000, 1, 1, 0, 0, 0, 0, time.UTC), SentBefore: time.Date(1_000_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	{Header: "kind", Value: "new", Group: "g", Text: "order", State: driver.StateVisible},
}

// TestSearch: the server finds what Match.Fits fits, whatever programs have written, and
// returns it as Browse does.
func TestSearch(t *testing.T) {
	eachProvider(t, func(p *provided) {
		searchable(p)
		for _, r := range []driver.BrowseRequest{{}, {Newest: true, CutBody: 3}, {Archive: true, CutBody: 1}} {
			r.Limit = 100
			page := p.browse(r)
			whole := r
			whole.CutBody = 0
			for _, m := range matches {
				want := []driver.Record{}
				for i, full := range p.browse(whole) {
					if m.Fits(&full) {
						want = append(want, page[i])
					}
				}
				got := p.search(driver.SearchRequest{BrowseRequest: r, Match: m})
				if !slices.Equal(ids(got.Records), ids(want)) || len(want) > 0 && !reflect.DeepEqual(got.Records, want) {
					p.Errorf("%+v by %+v: it finds %v, want %v", m, r, ids(got.Records), ids(want))
				}
				if !got.End || got.Looked != len(page) || got.Last != page[len(page)-1].ID {
					p.Errorf("%+v: it ends with %d, %q, %v", m, got.Looked, got.Last, got.End)
				}
			}
		}
	})
}

// TestSearchBounds: a search says how far it has got, whether it found anything or not.
func TestSearchBounds(t *testing.T) {
	eachProvider(t, func(p *provided) {
		empty := p.search(driver.SearchRequest{})
		p.want("empty", empty, driver.Found{End: true})
		p.exec(`INSERT INTO pgmq.q_jobs (vt, message) SELECT now(), to_jsonb(i % 10) FROM generate_series(1, 25000) i`)
		nines := driver.Match{Text: "9"}
		for _, tt := range []struct {
			r      driver.SearchRequest
			found  []string
			looked int
			last   string
			end    bool
		}{
			{driver.SearchRequest{Match: nines, Scan: 8}, nil, 8, "8", false},
			{driver.SearchRequest{Match: nines, Scan: 9}, []string{"9"}, 9, "9", false},
			{driver.SearchRequest{Match: nines, Scan: 25, BrowseRequest: driver.BrowseRequest{Limit: 1}}, []string{"9"}, 9, "9", false},
			{driver.SearchRequest{Match: nines, Scan: 10, BrowseRequest: driver.BrowseRequest{After: "24985"}}, []string{"24989"}, 10, "24995", false},
			{driver.SearchRequest{Match: nines, BrowseRequest: driver.BrowseRequest{After: "24985"}}, []string{"24989", "24999"}, 15, "25000", true},
			{driver.SearchRequest{Match: nines, Scan: 15, BrowseRequest: driver.BrowseRequest{After: "24985"}}, []string{"24989", "24999"}, 15, "25000", true},
			{driver.SearchRequest{BrowseRequest: driver.BrowseRequest{Newest: true, Limit: 2}}, []string{"25000", "24999"}, 2, "24999", false},
			{driver.SearchRequest{BrowseRequest: driver.BrowseRequest{Newest: true, After: "3", Limit: 2}}, []string{"2", "1"}, 2, "1", true},
			{driver.SearchRequest{Match: driver.Match{Text: "x"}, Scan: 100_000}, nil, 25_000, "25000", true},
			{driver.SearchRequest{Match: driver.Match{Text: "x"}, Scan: 24_999, BrowseRequest: driver.BrowseRequest{Newest: true}}, nil, 24_999, "2", false},
			{driver.SearchRequest{BrowseRequest: driver.BrowseRequest{After: "25000"}}, nil, 0, "", true},
		} {
			got := p.search(tt.r)
			if !slices.Equal(ids(got.Records), tt.found) || got.Looked != tt.looked || got.Last != tt.last || got.End != tt.end {
				p.Errorf("%+v: %v, %d, %q, %v", tt.r, ids(got.Records), got.Looked, got.Last, got.End)
			}
		}
		_, err := p.Search(p.Context(), jobs, driver.SearchRequest{BrowseRequest: driver.BrowseRequest{After: "x", Limit: 1}, Scan: 1})
		wantError(p, err, driver.ErrInvalid)
		_, err = p.Search(p.Context(), "missing", driver.SearchRequest{BrowseRequest: driver.BrowseRequest{Limit: 1}, Scan: 1})
		wantError(p, err, driver.ErrQueueNotFound)
	})
}

// TestCountReasons counts the newest of the archive.
func TestCountReasons(t *testing.T) {
	eachProvider(t, func(p *provided) {
		for i, reason := range []string{"old", "b", "a", "", "a", "b"} {
			p.exec(fmt.Sprintf(`INSERT INTO pgmq.a_jobs (msg_id, vt, archived_at, message, headers)
				VALUES (%d, now(), timestamptz 'epoch' + interval '%d s', '1', nullif('{"mq-reason": "%s"}', '{"mq-reason": ""}')::jsonb)`, i+1, i, reason))
		}
		at := func(n int64) time.Time { return time.Unix(n, 0) }
		counts, looked, err := p.CountReasons(p.Context(), jobs, 5)
		ok(p, err)
		want := []driver.ReasonCount{
			{Reason: "a", Count: 2, First: at(2), Last: at(4)}, {Reason: "b", Count: 2, First: at(1), Last: at(5)}, {Count: 1, First: at(3), Last: at(3)},
		}
		if len(counts) != len(want) || looked != 5 {
			p.Fatalf("it counts %v of %d", counts, looked)
		}
		for i, c := range counts {
			if w := want[i]; c.Reason != w.Reason || c.Count != w.Count || !c.First.Equal(w.First) || !c.Last.Equal(w.Last) {
				p.Errorf("it counts %v, want %v", c, w)
			}
		}
	})
}
