package drivertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// Harness is what the author of a driver fills in.
type Harness struct {
	// Open returns a client of a namespace of its own: no other client sees
	// its queues but those that Again makes of it. The suite closes it.
	// Required.
	Open func(t testing.TB) *mq.Client

	// Common says that the clients of Open share one namespace, with each
	// other and with strangers, as the DSN given to a tool does. Cases that
	// need one of their own do not run then, and the queues of the others are
	// dropped in the end, if that is possible.
	Common bool

	// Again returns another client of the backend and namespace of c, as
	// another process would open it. The suite closes it. Required under
	// Caps.Shared.
	Again func(t testing.TB, c *mq.Client) *mq.Client

	// Break cuts the connections of c. Optional.
	Break func(t testing.TB, c *mq.Client)

	// Hang makes the backend silent for c, on its connections and on new ones:
	// what c sends gets no answer, and no refusal either, until resume is
	// called. Then the old connections may go on, be cut, or stay silent.
	// Optional.
	Hang func(t testing.TB, c *mq.Client) (resume func())

	// Restart restarts the backend of all clients. Cases that need it run
	// alone. Optional.
	Restart func(t testing.TB)

	// Begin begins a transaction on the backend of c, on a connection that
	// Hang makes silent as well. Required if the provider is a
	// driver.Transactor that works.
	Begin func(t testing.TB, c *mq.Client) Tx

	// BadDSN are DSNs that the driver must refuse, one with an unknown
	// parameter among them. The password in each must not show in the error.
	// Optional.
	BadDSN []string

	// DownDSN is a DSN of a backend that is not there, with a password that
	// must not show in an error. Optional.
	DownDSN string

	// Want is what the provider must declare at least: every field that is
	// not zero.
	Want driver.Caps

	// Only limits the run to the cases for which it returns true. Optional: for
	// a second set-up of a driver that has passed the whole suite in another.
	Only func(name string) bool

	// Known names cases that are known to fail, each with a link to why. They
	// run, and fail the run once they pass.
	Known map[string]string

	// Bubble runs each case in a testing/synctest bubble, on fake time: for
	// providers that live in the process and use the time package.
	Bubble bool
}

// Tx is a transaction that Harness.Begin has begun. TxOf makes one of a *sql.Tx.
type Tx struct {
	SQLTx            driver.SQLTx // what Queue.Tx takes
	Commit, Rollback func() error
}

// TxOf returns tx as Harness.Begin does.
func TxOf(tx interface {
	driver.SQLTx
	Commit() error
	Rollback() error
},
) Tx {
	return Tx{tx, tx.Commit, tx.Rollback}
}

// testCase is one check of one rule.
type testCase struct {
	name string // "area/case"
	rule string // in one line, with its number in the doc of package driver if it has one
	// needs returns what is missing for the case to apply. nil: nothing.
	needs  func(h Harness, p driver.Provider, c driver.Caps) (missing string)
	run    func(t *tester)
	serial bool // may not run beside others: it restarts the backend, or is a heavy load
}

// cases are the suite.
var cases = slices.Concat(
	openCases, nameCases, lifecycleCases, sendCases, bodyCases, receiveCases, countCases, waitCases,
	leaseCases, staleCases, settleCases, nackCases, attemptCases, reasonCases, receiptCases, delayCases, headStartCases, dedupCases, topicCases, archiveCases, redriveCases, moveCases,
	popCases, peekCases, browseCases, operateCases, statsCases, groupCases, pathCases, drainCases, freeCases, groupLimitCases, txCases,
	deliveryCases, messagesCases, consumerCases, outcomeCases, stopCases, typedCases,
	unsupportedCases, contextCases, concurrencyCases, faultCases, hangCases, unchangedCases, hostileCases,
)

// Run checks the provider of h against every rule of package driver that
// applies to it, and that package mq works on it. Each case is a subtest that
// runs beside the others, but for those in a bubble, that restart the backend
// or that are a heavy load. Cases that do not apply are not run; one log line
// says why.
//
// The suite does not need a fast machine: where one was too slow for a check to
// prove anything, the case begins anew, with times twice as long.
func Run(t *testing.T, h Harness) {
	t.Helper()
	p := newPlan(t, h)
	if len(p.missing) > 0 {
		t.Logf("%d of %d cases do not apply:\n%s", len(p.missing), len(cases), p)
	}
	for _, c := range p.apply {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case h.Bubble:
				stuck := time.AfterFunc(bubbleLimit, func() {
					panic("drivertest: case " + c.name + " does not end: something in its bubble never waits, so that the time stands still")
				})
				defer stuck.Stop()
				synctest.Test(t, func(t *testing.T) { runKnown(t, h, c) })
				return
			case !c.serial:
				t.Parallel()
			}
			runKnown(t, h, c)
		})
	}
}

// runKnown runs a case on t, or beside it if it is known to fail.
func runKnown(t *testing.T, h Harness, c testCase) {
	t.Helper()
	link, known := h.Known[c.name]
	if !known {
		execute(t, h, c)
		return
	}
	failures, skipped := judge(link, runCaseOn(t.Context(), h, c))
	for _, f := range failures {
		t.Error(f)
	}
	if skipped != "" {
		t.Log(skipped)
	}
}

// judge turns around the result of a case that is known to fail.
func judge(link string, failures []string) (now []string, skipped string) {
	if len(failures) == 0 {
		return []string{"passes by now: remove it from Harness.Known"}, ""
	}
	return nil, fmt.Sprintf("known to fail (%s): %s", link, failures[0])
}

// Result is the result of one case of Check.
type Result struct {
	Name     string   // "area/case"
	Rule     string   // what it checks
	Failures []string // nil if it passed or was skipped
	Skipped  string   // why it did not count, or ""
}

// checkedAtOnce is how many cases Check runs side by side.
const checkedAtOnce = 8

// Check is Run for programs: it returns the result of every case. It does not
// use Harness.Bubble. When ctx ends it skips what is left, and what fails by
// then.
func Check(ctx context.Context, h Harness) []Result {
	h.Bubble = false
	var p *plan
	if failures := record(ctx, "plan", func(tb testing.TB) { p = newPlan(tb, h) }); len(failures) > 0 {
		return []Result{{Name: "open", Rule: "Harness: Open must work, and what the provider declares must have its hook", Failures: failures}}
	}
	results := make([]Result, len(p.apply))
	slots := make(chan struct{}, checkedAtOnce)
	var wg sync.WaitGroup
	for i, c := range p.apply {
		if c.serial {
			wg.Wait()
			results[i] = checkCase(ctx, h, c)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			results[i] = checkCase(ctx, h, c)
			<-slots
		})
	}
	wg.Wait()
	return append(results, p.missing...)
}

func checkCase(ctx context.Context, h Harness, c testCase) Result {
	r := Result{Name: c.name, Rule: c.rule}
	if ctx.Err() != nil {
		r.Skipped = context.Cause(ctx).Error()
		return r
	}
	r.Failures = runCaseOn(ctx, h, c)
	if ctx.Err() != nil && len(r.Failures) > 0 { // for that reason, perhaps
		r.Failures, r.Skipped = nil, context.Cause(ctx).Error()
		return r
	}
	if link, known := h.Known[c.name]; known {
		r.Failures, r.Skipped = judge(link, r.Failures)
	}
	return r
}

// plan is which cases apply to a provider.
type plan struct {
	apply   []testCase
	missing []Result
}

// String lists what is missing, and the cases that do not apply for it.
func (p *plan) String() string {
	var reasons []string
	names := make(map[string][]string)
	for _, r := range p.missing {
		if names[r.Skipped] == nil {
			reasons = append(reasons, r.Skipped)
		}
		names[r.Skipped] = append(names[r.Skipped], r.Name)
	}
	var b strings.Builder
	for _, reason := range reasons {
		fmt.Fprintf(&b, "\t%s: %s\n", reason, strings.Join(names[reason], ", "))
	}
	return b.String()
}

// newPlan asks the provider of h what applies to it.
func newPlan(t testing.TB, h Harness) *plan {
	t.Helper()
	if h.Open == nil {
		t.Fatal("Harness.Open is required")
	}
	client := h.Open(t)
	defer closeClient(t, client)
	provider, caps := client.Provider(), client.Caps()
	if caps.Shared && h.Again == nil {
		t.Error("Harness.Again is required under Caps.Shared")
	}
	known := make(map[string]bool)
	p := new(plan)
	for _, c := range cases {
		if h.Only != nil && !h.Only(c.name) {
			known[c.name] = true
			continue
		}
		if c.needs != nil {
			if missing := c.needs(h, provider, caps); missing != "" {
				p.missing = append(p.missing, Result{Name: c.name, Rule: c.rule, Skipped: "needs " + missing})
				continue
			}
		}
		known[c.name] = true
		p.apply = append(p.apply, c)
	}
	if len(p.apply) == 0 {
		t.Error("no case applies: Harness.Only lets none through")
	}
	for name := range h.Known {
		if !known[name] {
			t.Errorf("Harness.Known: there is no case %q, or it does not apply", name)
		}
	}
	return p
}

// runCase runs one case on a recorder, on real time, and returns what failed.
func runCase(h Harness, c testCase) (failures []string) {
	h.Bubble = false
	return runCaseOn(context.Background(), h, c)
}

func runCaseOn(ctx context.Context, h Harness, c testCase) (failures []string) {
	return record(ctx, c.name, func(tb testing.TB) { execute(tb, h, c) })
}

// patience is how long a case waits for the next thing that should come, and
// serialPatience that of one which runs alone. They are never waited for when
// all is well.
const (
	patience       = time.Minute
	serialPatience = 5 * time.Minute
)

// A try of a case that shows no sign of life for tryPatience times as long is
// given up.
const tryPatience = 4

func (c *testCase) patience() time.Duration {
	if c.serial {
		return serialPatience
	}
	return patience
}

// bubbleLimit is how much real time a case in a bubble may take: its own limits
// are on the bubble's time.
const bubbleLimit = 5 * time.Minute

// minUnit is the base of all times of a case: short enough not to hold up the
// suite. Where a machine is too slow for it the case is tried again.
const minUnit = 60 * time.Millisecond

// maxUnits is more units than any lease or delay takes, except for those that
// are not to end.
const maxUnits = 25
