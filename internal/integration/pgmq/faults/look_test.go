package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/pgmq"
)

// TestUnprintableLooks: a row that cannot be printed is on every page, without what it
// holds, and keeps neither a search from finding the others nor reasons from being counted.
func TestUnprintableLooks(t *testing.T) {
	b := newBase(t).legacy()
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		p := pgmq.FromDB(b.pool(library, b.dsn), pgmq.Config{Logger: b.config().Logger})
		b.Cleanup(func() { b.ok(p.Close()) })
		n := 0
		for what, columns := range unprintable {
			n++
			queue := fmt.Sprint("looks", library, n)
			b.ok(p.EnsureQueue(t.Context(), queue, driver.QueueOptions{}))
			good := `'{"order": 17}', '{"mq-reason": "why"}'`
			for _, table := range []string{"q_", "a_"} {
				b.execf("INSERT INTO pgmq.%[1]s (msg_id, vt, message, headers) OVERRIDING SYSTEM VALUE VALUES (1, now(), %[2]s), (2, now(), %[3]s), (3, now(), %[2]s)", table+queue, good, columns)
			}
			for _, r := range []driver.BrowseRequest{
				{}, {Newest: true}, {IDs: []string{"3", "2", "1"}}, {CutBody: 4}, {CutBody: 4, Newest: true, Archive: true}, {CutBody: 4, IDs: []string{"3", "2", "1"}},
			} {
				r.Limit = 10
				page, err := p.Browse(t.Context(), queue, r)
				b.ok(err)
				if len(page) != 3 || page[1].ID != "2" || page[1].State == driver.AnyState {
					t.Fatalf("%s: %+v shows %+v", what, r, page)
				}
				for _, i := range []int{0, 2} {
					if body := string(page[i].Body); page[i].BodySize != 13 || body == "" || !strings.HasPrefix(`{"order": 17}`, body) || r.CutBody > 0 && len(body) != r.CutBody {
						t.Errorf("%s: %+v shows %q of %d bytes", what, r, body, page[i].BodySize)
					}
				}
				if len(r.IDs) > 0 {
					continue
				}
				found, err := p.Search(t.Context(), queue, driver.SearchRequest{BrowseRequest: r, Match: driver.Match{Text: "17", Reason: "why"}, Scan: 10})
				b.ok(err)
				if len(found.Records) != 2 || found.Records[0].ID != page[0].ID || string(found.Records[1].Body) != string(page[2].Body) || found.Looked != 3 || !found.End {
					t.Errorf("%s: a search by %+v finds %+v", what, r, found)
				}
			}
			counts, looked, err := p.CountReasons(t.Context(), queue, 10)
			b.ok(err)
			if looked != 3 || len(counts) != 2 || counts[0].Reason != "why" || counts[0].Count != 2 || counts[0].First.IsZero() {
				t.Errorf("%s: it counts %+v of %d", what, counts, looked)
			}
		}
	})
}
