package ui

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
)

// get returns the status and the body of a page.
func (h *house) get(path string) (int, string) {
	h.Helper()
	resp, err := http.Get(h.url + path)
	checks.OK(h, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	checks.OK(h, err)
	return resp.StatusCode, string(body)
}

// page is a page of one source.
type page struct{ name, path string }

// pages returns the pages of a source, those that the provider has.
func (h *house) pages(source string) []page {
	h.Helper()
	at := "?source=" + source + "&queue="
	c := h.clients[source]
	all := []page{{"overview", "/"}, {"queue", "/queue" + at + big}, {"topics", "/topics?source=" + source}}
	if rs, err := c.Queue(big).Peek(h.Context(), mq.BrowseOptions{Newest: true, Limit: 1}); err == nil {
		all = append(
			all,
			page{"newest first", "/queue" + at + big + "&tab=waiting&newest=1"},
			page{"leased", "/queue" + at + big + "&tab=leased"},
			page{"delayed", "/queue" + at + big + "&tab=delayed"},
			page{"archive", "/queue" + at + "orders&tab=archive"},
			page{"search for a text that is nowhere", "/queue" + at + big + "&tab=waiting&text=nowhere"},
			page{"search for a header", "/queue" + at + big + "&tab=waiting&header=type%3Dnone"},
			page{"message", "/message" + at + big + "&id=" + rs[0].ID},
		)
	}
	return all
}

// TestPages looks at every page of every provider, with many messages in one queue:
// there is one, it is small, and how long the server takes stands in the documentation.
func TestPages(t *testing.T) {
	h := newHouse(t)
	var table strings.Builder
	table.WriteString(row("page", "source", "on the server", "bytes") + row("---", "---", "---:", "---:"))
	for _, source := range h.names {
		for _, p := range h.pages(source) {
			times, size := h.measure(p)
			table.WriteString(row(p.name, source, ms(times), size))
		}
	}
	t.Logf("%d messages in the queue\n%s", rows(), &table)
	if *update && !testing.Short() {
		write(t, table.String())
	}
}

// measure returns the median time of a page, and its size.
func (h *house) measure(p page) (took time.Duration, size string) {
	h.Helper()
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		status, body := h.get(p.path)
		times = append(times, time.Since(begin))
		if status != http.StatusOK || strings.Count(body, "<h1") != 1 {
			h.Fatalf("%s: status %d\n%.2000s", p.path, status, body)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") {
			h.Errorf("%s: there is markup of a message", p.path)
		}
		size = fmtBytes(len(body))
	}
	return median(times), size
}

// write puts the table into the documentation.
func write(t *testing.T, table string) {
	t.Helper()
	const file = "../../../docs/ui.md"
	text, err := os.ReadFile(file)
	checks.OK(t, err)
	between := regexp.MustCompile(`(?s)<!-- figures -->\n.*?<!-- end -->`)
	if !between.Match(text) {
		t.Fatalf("%s has no place for the figures", file)
	}
	text = between.ReplaceAllLiteral(text, []byte("<!-- figures -->\n"+table+"<!-- end -->"))
	checks.OK(t, os.WriteFile(file, text, 0o644))
}
