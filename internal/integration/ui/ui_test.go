package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
)

func fmtBytes(n int) string { return fmt.Sprint(n) }

// TestBrowser looks at every page in a browser, by day, by night and on a phone.
func TestBrowser(t *testing.T) {
	program(t) // before the house is filled
	h := newHouse(t)
	b := openBrowser(t)
	for _, source := range h.names {
		for _, p := range h.pages(source) {
			for _, width := range []int64{390, 1280} {
				b.looks(width, 900, "light")
				b.visit(h.url + p.path)
				where := fmt.Sprintf("%s of %s at %d pixels", p.name, source, width)
				b.fits(where)
				b.calm(where)
				if eval[string](b, "typeof window.pwned") != "undefined" {
					t.Errorf("%s: a message was run as a script", where)
				}
			}
		}
	}
	h.pictures(b)
	h.live(b)
	h.keys(b)
	h.acts(b)
	h.withoutScripts(b)
}

// pictures takes those of the documentation.
func (h *house) pictures(b *browser) {
	orders := h.url + "/queue?source=postgres&queue=orders"
	held, err := h.clients["postgres"].Consumers(h.Context(), "orders")
	checks.OK(h, err)
	for _, p := range []struct {
		file, url     string
		width, height int64
		scheme        string
	}{
		{"overview.png", h.url + "/", 1280, 620, "light"},
		{"overview-dark.png", h.url + "/", 1280, 620, "dark"},
		{"queue.png", orders, 1280, 1000, "light"},
		{"archive.png", orders + "&tab=archive", 1280, 1000, "light"},
		{"message.png", h.url + "/message?source=postgres&queue=orders&id=" + held[0].Longest[0].ID, 1280, 700, "dark"},
		{"phone.png", h.url + "/", 390, 844, "light"},
	} {
		b.looks(p.width, p.height, p.scheme)
		b.visit(p.url)
		dark := eval[string](b, `getComputedStyle(document.body).backgroundColor`)
		if light := strings.HasPrefix(dark, "rgb(2"); light != (p.scheme == "light") {
			h.Errorf("%s: the background is %s", p.file, dark)
		}
		b.shot(p.file)
	}
	b.looks(1280, 900, "light")
}

// live checks that figures change without a reload, and that a hidden tab costs nothing.
func (h *house) live(b *browser) {
	b.visit(h.url + "/")
	b.until(`document.getElementById("live").textContent === "live"`)
	eval[bool](b, `window.here = true`)
	q := h.clients["memory"].Queue("orders")
	for range 1234 {
		_, err := q.Send(h.Context(), &mq.Message{})
		checks.OK(h, err)
	}
	b.until(`document.querySelector("#rows").textContent.includes("1,2")`)
	if !eval[bool](b, `window.here === true`) {
		h.Error("the page was reloaded")
	}
	hidden := func(is bool) {
		eval[bool](b, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {value: %v, configurable: true}), document.dispatchEvent(new Event("visibilitychange")))`, is))
	}
	hidden(true)
	checks.Eventually(h, "the stream ends while the tab is hidden", func() bool { return h.streams.Load() == 0 })
	hidden(false)
	checks.Eventually(h, "the stream is back", func() bool { return h.streams.Load() == 1 })
	b.calm("the overview")
}

// keys walks from the overview to a queue and back.
func (h *house) keys(b *browser) {
	b.visit(h.url + "/")
	b.press("j")
	first := eval[string](b, `document.activeElement.textContent`)
	b.press("j")
	second := eval[string](b, `document.activeElement.href`)
	if first == "" || second == "" {
		h.Errorf("j went to %q and %q", first, second)
	}
	b.press("o")
	b.until(`location.pathname.endsWith("/queue") && document.readyState === "complete"`) // and hears keys
	b.press("/")
	if id := eval[string](b, `document.activeElement.id`); id != "filter" {
		h.Errorf("/ went to %q", id)
	}
	b.press("\u001b") // Escape
	b.press("u")
	b.until(`location.pathname === "/" && document.readyState === "complete"`)
}

// acts pauses and resumes a queue, and brings dead letters back, as a person does.
func (h *house) acts(b *browser) {
	c := h.clients["postgres"]
	paused := func() bool {
		all, err := c.Paused(h.Context())
		checks.OK(h, err)
		return len(all) == 1
	}
	b.visit(h.url + "/queue?source=postgres&queue=" + big)
	eval[bool](b, `(() => { const f = document.querySelector("form[action='act/pause']"); f.closest("details").open = true;
		f.querySelector("[name=reason]").value = "the bank is down"; f.querySelector("button").click(); return true })()`)
	b.until(`!!document.querySelector("form[action='act/resume']")`)
	if !paused() {
		h.Error("the queue is not paused")
	}
	eval[bool](b, `(document.querySelector("form[action='act/resume'] button").click(), true)`)
	b.until(`!!document.querySelector("form[action='act/pause']")`)
	if paused() {
		h.Error("the queue is still paused")
	}
	archived := func() int {
		rs, err := c.Queue("orders").Archived(h.Context(), mq.BrowseOptions{})
		checks.OK(h, err)
		return len(rs)
	}
	before := archived()
	b.visit(h.url + "/queue?source=postgres&queue=orders&tab=archive")
	eval[bool](b, `(() => { const boxes = document.querySelectorAll("input[name=id][type=checkbox]");
		boxes[0].click(); boxes[1].click(); document.querySelector("button[formaction='act/redrive']").click(); return true })()`)
	b.until(`(document.querySelector(".flash")?.textContent ?? "").includes("2")`)
	if after := archived(); after != before-2 {
		h.Errorf("the archive had %d messages and has %d", before, after)
	}
	b.calm("the acts")
}

// withoutScripts reads the overview and a queue in a browser that runs none.
func (h *house) withoutScripts(b *browser) {
	b.scripts(false)
	defer b.scripts(true)
	b.visit(h.url + "/")
	if n := h.tableRows(b); n < 2*len(h.names) {
		h.Errorf("without JavaScript there are %d rows", n)
	}
	b.calm("without JavaScript")
}

// tableRows counts rows by the browser's own protocol, which works without JavaScript of
// the page.
func (h *house) tableRows(b *browser) int {
	h.Helper()
	return int(eval[float64](b, `document.querySelectorAll("tbody tr").length`))
}
