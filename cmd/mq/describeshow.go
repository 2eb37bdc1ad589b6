package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// How much of a description is shown in a table.
const maxHeldShown, maxReasonsShown = 10, 10

// descriptionLine is the JSON of a description. What is not known is left out.
type descriptionLine struct {
	Provider string `json:"provider"`
	statsLine
	Bindings  []string       `json:"bindings,omitempty"`
	Consumers []consumerLine `json:"consumers,omitempty"`
	Held      []heldLine     `json:"held,omitempty"`
	Reasons   []reasonLine   `json:"reasons,omitempty"`
	Looked    *int64         `json:"reasons_looked_at,omitempty"`
	Findings  []finding      `json:"findings,omitempty"`
	Advice    []string       `json:"advice,omitempty"`
}

// consumerLine is the JSON of a consumer.
type consumerLine struct {
	Name        string    `json:"name"`
	Running     int       `json:"running"`
	Concurrency int       `json:"concurrency"`
	Paused      bool      `json:"paused,omitempty"`
	Held        int       `json:"held"`
	Longest     float64   `json:"longest_seconds"`
	Done        int64     `json:"done"`
	Failed      int64     `json:"failed"`
	LastError   string    `json:"last_error,omitempty"`
	SeenAt      time.Time `json:"seen_at"`
}

// heldLine is the JSON of a message that is held.
type heldLine struct {
	ID      string  `json:"id"`
	By      string  `json:"by"`
	Seconds float64 `json:"seconds"`
}

func (d *description) line() descriptionLine {
	l := descriptionLine{
		Provider: d.provider, statsLine: lineOfStats(d.queue, d.stats, d.rates, d.paused.line(d.queue)),
		Bindings: d.bindings, Looked: known(d.looked), Findings: d.findings, Advice: d.advise(),
	}
	for _, r := range d.consumers {
		l.Consumers = append(l.Consumers, consumerLine{
			Name: r.Name, Running: r.Running, Concurrency: r.Concurrency, Paused: r.Paused, Held: r.Held,
			Longest: longestOf(r).Seconds(), Done: r.Done, Failed: r.Failed, LastError: r.LastError, SeenAt: r.At,
		})
	}
	for _, h := range d.held {
		l.Held = append(l.Held, heldLine{h.id, h.by, h.since.Seconds()})
	}
	for _, c := range d.reasons {
		l.Reasons = append(l.Reasons, reasonLine{Reason: c.Reason, Count: c.Count, First: c.First, Last: c.Last})
	}
	return l
}

// longestOf returns for how long a consumer has held a message.
func longestOf(r mq.ConsumerReport) (longest time.Duration) {
	for _, h := range r.Longest {
		longest = max(longest, holdsFor(r, h))
	}
	return longest
}

func (a *app) showDescription(d *description) error {
	if a.json() {
		out := newPrinter(a)
		out.row(d.line())
		return out.flush()
	}
	for _, section := range []func(*description) *printer{
		a.headSection, a.consumerSection, a.heldSection, a.reasonSection, a.findingSection, a.adviceSection,
	} {
		out := section(d)
		if len(out.rows) == 0 {
			continue
		}
		if err := out.flush(); err != nil {
			return err
		}
		if err := a.write("\n"); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) headSection(d *description) *printer {
	out := newPrinter(a)
	s := d.stats
	field := func(name, format string, args ...any) { out.cells([]string{name, fmt.Sprintf(format, args...)}) }
	field("queue", "%s on %s", d.queue, d.provider)
	if p, ok := d.paused[d.queue]; ok {
		field("paused", "for %s by %s", age(time.Since(p.Since)), p.By)
	}
	about := ""
	if s.Approximate {
		about = "~"
	}
	field("messages", "%s%s visible, %s leased, %s delayed, %s%s blocked", about, count(s.Visible), count(s.Leased), count(s.Delayed), about, count(s.Blocked))
	field("archived", "%s%s", about, count(s.Archived))
	field("sent", "%s", count(s.TotalSent))
	field("lag", "%s", ageCell(s.Lag))
	field("oldest", "%s", ageCell(s.OldestAge))
	if d.sampled > 0 {
		field("rates", "%s sent and %s done per second, for %v", perSecond(d.rates.sent), perSecond(d.rates.done), d.sampled)
	}
	if len(d.bindings) > 0 {
		field("bindings", "%s", strings.Join(d.bindings, ", "))
	}
	return out
}

func (a *app) consumerSection(d *description) *printer {
	out := newPrinter(a, "CONSUMER", "RUNNING", "HELD", "LONGEST", "DONE?", "FAILED?", "SEEN", "LAST ERROR…")
	for _, r := range d.consumers {
		out.cells([]string{
			r.Name, fmt.Sprintf("%d/%d", r.Running, r.Concurrency), strconv.Itoa(r.Held), age(longestOf(r)),
			strconv.FormatInt(r.Done, 10), strconv.FormatInt(r.Failed, 10), a.timeCell(r.At), orDash(shorten(r.LastError)),
		})
	}
	return out
}

func (a *app) heldSection(d *description) *printer {
	out := newPrinter(a, "HELD", "FOR", "BY")
	for _, h := range d.held[:min(maxHeldShown, len(d.held))] {
		if h.since >= longHold {
			out.paint("FOR", yellow)
		}
		out.cells([]string{h.id, age(h.since), h.by})
	}
	return out
}

func (a *app) reasonSection(d *description) *printer {
	out := newPrinter(a, "DEAD LETTERS", "FIRST", "LAST", "REASON…")
	for _, c := range d.reasons[:min(maxReasonsShown, len(d.reasons))] {
		out.cells([]string{strconv.FormatInt(c.Count, 10), a.timeCell(c.First), a.timeCell(c.Last), orDash(shorten(c.Reason))})
	}
	return out
}

func (a *app) findingSection(d *description) *printer {
	out := newPrinter(a, "LEVEL", "WHERE", "FINDING¶")
	for _, f := range d.findings {
		out.cells([]string{f.Level, f.Where, f.Finding})
	}
	return out
}

func (a *app) adviceSection(d *description) *printer {
	out := newPrinter(a, "ADVICE¶")
	for _, text := range d.advise() {
		out.cells([]string{text})
	}
	return out
}
