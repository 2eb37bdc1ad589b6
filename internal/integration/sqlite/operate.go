package sqlite

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/sqlite"
)

// Operates checks what a library makes of parameters that are bytes, NULL, or not used:
// searches and reports depend on it.
func (l Library) Operates(t *testing.T) {
	t.Helper()
	p := sqlite.FromDB(l.open(t, filepath.Join(t.TempDir(), "queue.db")), sqlite.Config{})
	defer func() { _ = p.Close() }()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.EnsureQueue(t.Context(), "q", driver.QueueOptions{}))
	body := append(make([]byte, 5000), "\xffneedle"...)
	ids, err := p.Send(t.Context(), "q", []driver.Message{{Body: body, Headers: driver.Headers{"a": "b"}}, {Group: "g"}, {Delay: time.Hour}})
	must(err)
	for _, m := range []driver.Match{{Text: "\xffneedle"}, {Header: "a", Value: "b"}, {Reason: "why"}} {
		for _, archive := range []bool{false, true} {
			r := driver.SearchRequest{Match: m, Scan: 10}
			r.Archive, r.Limit, r.CutBody, r.Newest = archive, 10, 3, true
			f, err := p.Search(t.Context(), "q", r)
			if err != nil || !f.End || m.Reason == "" && !archive && (len(f.Records) != 1 || !bytes.Equal(f.Records[0].Body, body[:3])) {
				t.Errorf("%+v: %+v, %v", r, f, err)
			}
		}
	}
	records, err := p.Browse(t.Context(), "q", driver.BrowseRequest{IDs: ids, Limit: 10})
	if err != nil || len(records) != 3 || !bytes.Equal(records[0].Body, body) || records[2].State != driver.StateDelayed {
		t.Errorf("browse: %+v, %v", records, err)
	}
	if n, err := p.Override(t.Context(), "q", ids, driver.Settlement{Op: driver.OpArchive, Reason: "why"}); n != 3 || err != nil {
		t.Errorf("archived %d, %v", n, err)
	}
	if counts, looked, err := p.CountReasons(t.Context(), "q", 10); err != nil || looked != 3 || len(counts) != 1 || counts[0].Reason != "why" {
		t.Errorf("reasons: %+v, %v", counts, err)
	}
	must(p.SetPaused(t.Context(), "q", true, "me"))
	if paused, err := p.Paused(t.Context()); err != nil || len(paused) != 1 || paused[0].By != "me" {
		t.Errorf("paused: %+v, %v", paused, err)
	}
	for range 2 {
		must(p.Report(t.Context(), driver.ConsumerReport{ID: "1", Queue: "q", Held: 2}, time.Hour))
	}
	if reports, err := p.Consumers(t.Context(), "q"); err != nil || len(reports) != 1 || reports[0].Held != 2 {
		t.Errorf("consumers: %+v, %v", reports, err)
	}
}
