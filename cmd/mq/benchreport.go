package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// benchLine is the JSON of a measurement. Latencies are in milliseconds.
type benchLine struct {
	Measurement string  `json:"measurement"`
	Provider    string  `json:"provider"`
	Senders     int     `json:"senders"`
	Consumers   int     `json:"consumers"`
	Size        int     `json:"size"`
	Batch       int     `json:"batch"`
	Target      float64 `json:"target_rate,omitempty"`
	Messages    int64   `json:"messages"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	P50         float64 `json:"p50_ms"`
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	Behind      int64   `json:"behind,omitempty"`
	Unsent      int64   `json:"unsent,omitempty"`
	Histogram   []band  `json:"histogram"`
}

// report shows what was measured, as a table with a histogram of the last
// latencies, or as JSON.
func (b *bencher) report() error {
	out := newPrinter(b.app, "MEASUREMENT", "MESSAGES", "PER SECOND", "P50", "P95", "P99", "MAX")
	for _, m := range b.results {
		h := &m.times
		out.row(b.line(m), m.name, strconv.FormatInt(h.count, 10), rateCell(m.rate()),
			latencyCell(h.quantile(0.5)), latencyCell(h.quantile(0.95)), latencyCell(h.quantile(0.99)), latencyCell(h.max))
	}
	if err := out.flush(); err != nil || len(b.results) == 0 {
		return err
	}
	for _, m := range b.results {
		if m.unsent > 0 {
			b.app.note("%s: %s were due but not sent %v after the end: the rate is too high", m.name, plural(m.unsent, "message"), stragglers)
		}
		if m.behind > 0 {
			b.app.note("%s: %s had not arrived %v after the last send and are missing from the figures",
				m.name, plural(m.behind, "message"), stragglers)
		}
	}
	last := b.results[len(b.results)-1]
	if b.app.json() || last.times.count == 0 {
		return nil
	}
	if last.target > 0 {
		fmt.Fprintf(b.app.stdout, "\nlatency of %s, at %s messages per second\n", last.name, rateCell(last.target))
	} else {
		fmt.Fprintf(b.app.stdout, "\nlatency of %s\n", last.name)
	}
	last.times.draw(b.app.stdout, b.app.mark(), barWidth(columns(b.app.stdout)))
	return nil
}

// mark is what bars are made of: full blocks on a terminal that has them.
func (a *app) mark() string {
	locale := strings.ToLower(cmp.Or(a.getenv("LC_ALL"), a.getenv("LC_CTYPE"), a.getenv("LANG")))
	if isTerminal(a.stdout) && (strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")) {
		return "\u2588"
	}
	return "#"
}

// rateCell shows a rate without decimals that do not matter.
func rateCell(perSecond float64) string {
	if perSecond < 10 {
		return strconv.FormatFloat(perSecond, 'g', 3, 64)
	}
	return strconv.FormatFloat(perSecond, 'f', 0, 64)
}

func (b *bencher) line(m *measurement) benchLine {
	h := &m.times
	return benchLine{
		Measurement: m.name, Provider: b.queue.Client().Provider().Name(),
		Senders: b.senders, Consumers: b.consumers, Size: b.size, Batch: b.batch, Target: m.target,
		Messages: h.count, Seconds: m.took.Seconds(), Rate: m.rate(),
		P50: milliseconds(h.quantile(0.5)), P95: milliseconds(h.quantile(0.95)),
		P99: milliseconds(h.quantile(0.99)), Max: milliseconds(h.max), Behind: m.behind, Unsent: m.unsent, Histogram: h.bands(),
	}
}
