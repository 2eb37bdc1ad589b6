package drivertest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// beyondFuzz are the areas that a sequence of operations on one queue does not
// enter, or where mq hides what a provider does: it tries the items of a batch
// that was refused as a whole apart.
var beyondFuzz = []string{
	"open/", "names/", "lifecycle/ensure", "lifecycle/drop", "lifecycle/list", "wait/", "receive/no-wait",
	"receive/cancelled", "receive/own-queue", "stale/batch", "group/", "group-limit/", "drain/", "stats/blocked", "tx/", "move/", "stale/move", "send/group-key",
	"send/split", "dedup/batch", "dedup/tx", "topic/", "browse/", "search/", "reasons/", "override/", "pause/", "report/", "peek/after-no-id", "send/not-shared-out", "settle/duplicates", "settle/twin-nacks", "lease/extend-twins", "body/empty", "body/sizes", "redrive/unchanged", "hostile/",
}

// TestFuzzNoticesMutants runs the seeds of Fuzz on the mutants that break what
// it looks at.
func TestFuzzNoticesMutants(t *testing.T) {
	for _, m := range mutations {
		if slices.ContainsFunc(beyondFuzz, func(area string) bool { return strings.HasPrefix(m.cases, area) }) {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for n := range fuzzSeeds {
				if failures := fuzzMutant(t, m.mutate, n); len(failures) > 0 {
					t.Logf("seed %d: %s", n, failures[0])
					return
				}
			}
			t.Errorf("it survives, and breaks: %s", m.rule)
		})
	}
}

// fuzzMutant runs a seed for as long as it takes on the bubble's time, which
// is longer than record allows.
func fuzzMutant(t *testing.T, mutate func(*mutant), seed int) (failures []string) {
	h := mutantHarness(mutate)
	h.Bubble = true
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{name: t.Name(), ctx: context.Background()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer r.cleanup()
			defer r.recover()
			fuzzQueue(r, h, fuzzSeed(seed))
		}()
		<-done
		failures = r.failures
	})
	return failures
}
