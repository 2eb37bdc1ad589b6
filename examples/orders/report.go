package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portmq/mq"
)

// report is what a job has done.
type report struct {
	counts
	reasons   map[string]int // why there are dead letters
	refused   []refusal
	cents     int64 // in the ledger
	latencies []time.Duration
	took      time.Duration
	order     string  // whether each customer's orders were processed in order
	problems  []error // sums that do not add up
}

// report gathers the figures of a job that has ended, and compares those that
// must agree.
func (j *job) report(ctx context.Context, took time.Duration) *report {
	r := &report{counts: j.tally.snapshot(), reasons: j.tally.dead, refused: j.tally.refused, took: took}
	r.addSums()
	r.addLedger(j)
	r.addQueue(ctx, j.queue)
	return r
}

func (r *report) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

func (r *report) equal(what string, n int, other string, m int) {
	if n != m {
		r.problem("%s: %d, but %s: %d", what, n, other, m)
	}
}

func (r *report) addSums() {
	r.equal("lines read", r.Lines, "sent or refused", r.Sent+r.Refused)
	r.equal("sent", r.Sent, "processed or dead letters", r.finished())
	undecodable, all := 0, 0
	for reason, n := range r.reasons {
		if strings.HasPrefix(reason, "payload does not decode") {
			undecodable += n
		}
		all += n
	}
	r.equal("dead letters", r.Dead, "with a reason", all)
	r.equal("malformed lines", r.Malformed, "dead letters that do not decode", undecodable)
}

// addLedger goes through the effects in the order in which they happened.
func (r *report) addLedger(j *job) {
	r.equal("processed", r.Processed, "ledger entries", len(j.ledger.entries))
	last := make(map[string]int) // line, by customer
	r.order = "kept"
	for _, e := range j.ledger.entries {
		sent, ok := j.tally.sent[e.message]
		if !ok {
			r.problem("message %s was processed, but not sent", e.message)
		}
		if sent.line < last[e.customer] {
			r.order = "not kept"
		}
		last[e.customer] = sent.line
		r.cents += e.cents
		r.latencies = append(r.latencies, e.at.Sub(sent.at))
	}
	slices.Sort(r.latencies)
	if j.inOrder && r.order != "kept" {
		r.problem("the order per customer was not kept")
	}
}

// addQueue asks the provider, where it can tell.
func (r *report) addQueue(ctx context.Context, q *mq.Queue) {
	if !q.Client().Caps().ExactStats {
		return
	}
	s, err := q.Stats(ctx)
	if err != nil {
		r.problems = append(r.problems, err)
		return
	}
	r.equal("left in the queue", int(s.Total), "unfinished", 0)
	r.equal("in the archive", int(s.Archived), "dead letters", r.Dead)
}

// err says what is wrong, although the job came to its end.
func (r *report) err() error {
	if r.Refused > 0 {
		r.problem("lines refused: %d", r.Refused)
	}
	return errors.Join(r.problems...)
}

func (r *report) printRefused(w io.Writer) {
	const most = 10
	for i, bad := range r.refused {
		if i == most {
			fmt.Fprintf(w, "and %d more\n", len(r.refused)-most)
			break
		}
		fmt.Fprintf(w, "line %d: %v\n", bad.line, bad.err)
	}
}

func (r *report) print(w io.Writer) {
	row := func(name, value, note string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-19s %7s  %s", name, value, note), " "))
	}
	row("lines read", thousands(r.Lines), "")
	row("  malformed", thousands(r.Malformed), "sent as they are")
	row("  refused", thousands(r.Refused), "by the queue")
	row("sent", thousands(r.Sent), "")
	row("processed", thousands(r.Processed), fmt.Sprintf("%s.%02d charged", thousands(int(r.cents/100)), r.cents%100))
	row("retried", thousands(r.Retried), "attempts failed and were repeated")
	row("dead letters", thousands(r.Dead), "")
	for _, d := range deadLetters(r.reasons) {
		row("", thousands(d.n), d.reason)
	}
	row("order per customer", r.order, "")
	row("throughput", fmt.Sprintf("%.0f", float64(r.Processed)/max(r.took, 1).Seconds()), "orders/s")
	row("send to done, p50", percentile(r.latencies, 50), "")
	row("              p99", percentile(r.latencies, 99), "")
}

type deadLetter struct {
	reason string
	n      int
}

// deadLetters returns the most frequent reasons, and the rest in one.
func deadLetters(reasons map[string]int) []deadLetter {
	const most = 20
	var ds []deadLetter
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		ds = append(ds, deadLetter{reason, reasons[reason]})
	}
	slices.SortStableFunc(ds, func(a, b deadLetter) int { return cmp.Compare(b.n, a.n) })
	if len(ds) <= most {
		return ds
	}
	rest := deadLetter{reason: fmt.Sprintf("for %d other reasons", len(ds)-most)}
	for _, d := range ds[most:] {
		rest.n += d.n
	}
	return append(ds[:most], rest)
}

// percentile returns the pth percentile of sorted durations.
func percentile(sorted []time.Duration, p int) string {
	if len(sorted) == 0 {
		return "-"
	}
	return sorted[(len(sorted)-1)*p/100].Round(time.Millisecond).String()
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
