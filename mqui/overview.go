package mqui

import (
	"context"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// overviewRows is how many queues one page of the overview shows.
const overviewRows = 100

// overviewData is the first page: a row a queue, worst first.
type overviewData struct {
	Sources []banner
	Rows    []row
	Queues  int // in all, or that match Filter
	Filter  string
	Source  string // "" for all
	Page    int
	Next    string // the address of the next page, "" at the end
	Many    bool   // more than one source
}

// banner is the health of one source.
type banner struct {
	Name, Provider string
	Err            string
	At             time.Time // of the last figures
	Findings       []Finding
	FindingsErr    string
	Topics         bool
	Schedules      bool
	CanList        bool
}

// Waiting reports that there are no figures yet.
func (b banner) Waiting() bool { return b.At.IsZero() && b.Err == "" }

func (s *source) banner() banner {
	b := banner{
		Name: s.Name, Provider: s.Client.Provider().Name(),
		Topics: s.can.to(canTopics), Schedules: s.Schedules != nil, CanList: s.can.to(canList),
	}
	s.sampler.mu.Lock()
	b.Err, b.At = errorText(s.sampler.err), s.sampler.at
	s.sampler.mu.Unlock()
	all, err := s.findings.last()
	b.Findings, b.FindingsErr = all, errorText(err)
	return b
}

// overview builds the first page from what is in memory: it asks no backend.
func (u *UI) overview(_ context.Context, v viewer, r *http.Request) (*page, error) {
	d := u.overviewData(r)
	p := &page{Template: "overview", Title: "Queues", Data: d, Refresh: 15}
	p.Live = address("events", "page", "overview", "source", d.Source, "filter", d.Filter, "n", strconv.Itoa(d.Page))
	return p, nil
}

func (u *UI) overviewData(r *http.Request) *overviewData {
	d := &overviewData{Source: r.FormValue("source"), Filter: strings.TrimSpace(r.FormValue("filter")), Many: len(u.sources) > 1}
	var rows []row
	for _, s := range u.sources {
		if d.Source != "" && d.Source != s.Name {
			continue
		}
		d.Sources = append(d.Sources, s.banner())
		rows = append(rows, s.sampler.rows()...)
	}
	rows = slices.DeleteFunc(rows, func(r row) bool {
		return !strings.Contains(strings.ToLower(r.Queue), strings.ToLower(d.Filter))
	})
	worstFirst(rows)
	d.cut(rows, r.FormValue("n"))
	for i := range d.Rows {
		row := &d.Rows[i]
		row.Spark = newSparkline(u.byName[row.Source].sampler.points(row.Queue))
		row.ID, row.Many = elementID(row.Source, row.Queue), d.Many
	}
	return d
}

// cut chooses the rows of one page. The figures are in memory, so that a number of the
// page costs nothing here.
func (d *overviewData) cut(rows []row, page string) {
	d.Queues = len(rows)
	if n, err := strconv.Atoi(page); err == nil && n > 0 && n < len(rows) {
		d.Page = n
	}
	from := min(d.Page*overviewRows, len(rows))
	to := min(from+overviewRows, len(rows))
	d.Rows = rows[from:to]
	if to < len(rows) {
		d.Next = address("./", "source", d.Source, "filter", d.Filter, "n", strconv.Itoa(d.Page+1))
	}
}

// elementID names the row of a queue, whatever is in the queue's name.
func elementID(source, queue string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source + "\x00" + queue))
	return "r" + strconv.FormatUint(h.Sum64(), 36)
}

// overviewBlocks are the parts of the page that change.
func (u *UI) overviewBlocks(_ context.Context, r *http.Request) (update, error) {
	d := u.overviewData(r)
	up := update{List: "rows"}
	if err := up.add("banners", "banners", d); err != nil {
		return up, err
	}
	for _, row := range d.Rows {
		up.Order = append(up.Order, row.ID)
		if err := up.add(row.ID, "row", row); err != nil {
			return up, err
		}
	}
	return up, nil
}
