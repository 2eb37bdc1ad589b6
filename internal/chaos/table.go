package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portmq/mq/internal/chaos/judge"
	"github.com/portmq/mq/internal/chaos/work"
)

func breakNames() []string { return slices.Sorted(maps.Keys(work.Breaks)) }

// report prints what a run has come to.
func report(w io.Writer, v *judge.Verdict, skips []skipped) {
	n := v.Figures
	for _, row := range []struct {
		name  string
		value int
	}{
		{"events in the ledger", n.Events},
		{"starts of workers", n.Starts},
		{"sends acknowledged", n.Sent},
		{"  of them duplicates of a key", n.Duplicates},
		{"sends refused", n.SendsFailed},
		{"sends without an answer", n.SendsLost},
		{"deliveries", n.Received},
		{"  of them again", n.Again},
		{"acks", n.Acked},
		{"nacks", n.Nacked},
		{"archives", n.Archived},
		{"settlements that came too late", n.Stale},
		{"settlements without an answer", n.Undecided},
		{"leases that Consumers have lost", n.Lost},
		{"left in the queues", n.Left},
		{"left in the archives", n.InArchive},
	} {
		_, _ = fmt.Fprintf(w, "  %-34s %8d\n", row.name, row.value)
	}
	recoveries(w, v.Recoveries)
	for _, s := range skips {
		_, _ = fmt.Fprintf(w, "  skipped: %s: %s\n", s.name, s.reason)
	}
	for _, l := range v.Leaks {
		_, _ = fmt.Fprintf(w, "  LEAK %s\n", l)
	}
	for _, rule := range slices.Sorted(maps.Keys(v.Count)) {
		_, _ = fmt.Fprintf(w, "  BREACH %s: %d\n", rule, v.Count[rule])
	}
	for _, b := range v.Breaches {
		_, _ = fmt.Fprintf(w, "    %s\n", b)
	}
}

// recoveries prints how long it took after each fault until work went on.
func recoveries(w io.Writer, all []judge.Recovery) {
	if len(all) == 0 {
		return
	}
	byFault := make(map[string][]judge.Recovery)
	for _, r := range all {
		r.Fault = strings.ReplaceAll(r.Fault, "_", " ")
		byFault[r.Fault] = append(byFault[r.Fault], r)
	}
	_, _ = fmt.Fprintf(w, "  %-28s %3s %10s %10s %10s %10s %10s\n", "fault", "n", "longest", "send", "all send", "delivery", "all")
	for _, name := range slices.Sorted(maps.Keys(byFault)) {
		of := byFault[name]
		_, _ = fmt.Fprintf(w, "  %-28s %3d %10s %10s %10s %10s %10s\n", name, len(of),
			worst(of, func(r judge.Recovery) time.Duration { return time.Duration(r.Healed - r.Begin) }),
			worst(of, func(r judge.Recovery) time.Duration { return r.FirstSend }),
			worst(of, func(r judge.Recovery) time.Duration { return r.AllSend }),
			worst(of, func(r judge.Recovery) time.Duration { return r.FirstDelivery }),
			worst(of, func(r judge.Recovery) time.Duration { return r.AllDelivery }))
	}
	_, _ = fmt.Fprintln(w, "  (of n faults the worst: how long it lasted, then from its end to the first success of any worker and of the last one)")
}

// worst returns the longest of some times, of which a negative one is never.
func worst(all []judge.Recovery, of func(judge.Recovery) time.Duration) string {
	longest := time.Duration(0)
	for _, r := range all {
		d := of(r)
		if d < 0 {
			return "-"
		}
		longest = max(longest, d)
	}
	return cmp.Or(longest, 1).Round(time.Millisecond).String()
}
