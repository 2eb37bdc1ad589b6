package main

import (
	"fmt"
	"strconv"
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
	Histogram   []band  `json:"histogram"`
}

// report shows what was measured, as a table with a histogram of the last
// latencies, or as JSON.
func (b *bencher) report() error {
	out := newPrinter(b.app, "MEASUREMENT", "MESSAGES", "PER SECOND", "P50", "P95", "P99", "MAX")
	for _, m := range b.results {
		h := &m.times
		out.row(b.line(m), m.name, strconv.FormatInt(h.count, 10), strconv.FormatFloat(m.rate(), 'f', 0, 64),
			latencyCell(h.quantile(0.5)), latencyCell(h.quantile(0.95)), latencyCell(h.quantile(0.99)), latencyCell(h.max))
	}
	if err := out.flush(); err != nil || len(b.results) == 0 {
		return err
	}
	for _, m := range b.results {
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
		fmt.Fprintf(b.app.stdout, "\nlatency of %s, at %.0f messages per second\n", last.name, last.target)
	} else {
		fmt.Fprintf(b.app.stdout, "\nlatency of %s\n", last.name)
	}
	mark := "#"
	if isTerminal(b.app.stdout) {
		mark = "\u2588" // a full block
	}
	last.times.draw(b.app.stdout, mark)
	return nil
}

func (b *bencher) line(m *measurement) benchLine {
	h := &m.times
	return benchLine{
		Measurement: m.name, Provider: b.queue.Client().Provider().Name(),
		Senders: b.senders, Consumers: b.consumers, Size: b.size, Batch: b.batch, Target: m.target,
		Messages: h.count, Seconds: m.took.Seconds(), Rate: m.rate(),
		P50: milliseconds(h.quantile(0.5)), P95: milliseconds(h.quantile(0.95)),
		P99: milliseconds(h.quantile(0.99)), Max: milliseconds(h.max), Behind: m.behind, Histogram: h.bands(),
	}
}
