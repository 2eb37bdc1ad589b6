package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// everything is what mem promises, but for what only a named store has.
var everything = driver.Caps{
	Delay: true, Headers: true, Groups: true, LateSettle: true, NackFences: true,
	ExactBodies: true, ExactReadCount: true, Attempts: true, NackReasons: true, ExactStats: true,
	AtomicSend: true, AtomicArchive: true, AtomicMove: true,
	Order: driver.OrderDue, MaxBatch: 1000, MaxBody: 16 << 20,
}

var silent = mq.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}

// private is the harness of mem://.
func private() Harness {
	return Harness{
		Open: func(testing.TB) *mq.Client { return mq.New(mem.New(), silent) },
		Begin: func(_ testing.TB, c *mq.Client) Tx {
			return TxOf(c.Provider().(interface{ Begin() *mem.Tx }).Begin())
		},
		BadDSN: []string{
			"mem://?size=1", "mem://user:s3cret@name", "mem://name/path", "mem://name:80", "mem:opaque", "mem://a b:s3cret@c",
			"mem://user:s3cret@name?password=s3cret", "mem://u:p%20w@h:port",
		},
		Want: everything,
	}
}

var stores atomic.Int64

// named is the harness of mem://name.
func named() Harness {
	h := private()
	var dsns sync.Map // by client
	open := func(t testing.TB, dsn string) *mq.Client {
		c, err := mq.OpenConfig(dsn, silent)
		if err != nil {
			t.Fatal(err)
		}
		dsns.Store(c, dsn)
		return c
	}
	h.Open = func(t testing.TB) *mq.Client { return open(t, fmt.Sprintf("mem://store%d", stores.Add(1))) }
	h.Again = func(t testing.TB, c *mq.Client) *mq.Client {
		dsn, _ := dsns.Load(c)
		return open(t, dsn.(string))
	}
	h.Break = func(testing.TB, *mq.Client) {} // there is no connection to break
	h.Want.Shared, h.Want.PortableReceipts = true, true
	return h
}

func TestMem(t *testing.T) {
	h := private()
	h.Bubble = true
	Run(t, h)
}

func TestMemNamed(t *testing.T) {
	h := named()
	h.Bubble = true
	Run(t, h)
}

func TestMemRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	Run(t, named())
}

func TestCases(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range cases {
		area, name, ok := strings.Cut(c.name, "/")
		if !ok || area == "" || name == "" || strings.ContainsAny(c.name, " _ABC") || seen[c.name] {
			t.Errorf("case name %q is not area/case, or is taken", c.name)
		}
		seen[c.name] = true
		if c.rule == "" || strings.Contains(c.rule, "\n") || c.run == nil {
			t.Errorf("case %s needs a function and a rule in one line, has %q", c.name, c.rule)
		}
	}
	if len(cases) < 90 {
		t.Errorf("%d cases, want 90 or more", len(cases))
	}
	t.Logf("%d cases", len(cases))
}

// TestRunCase shows that no way to fail is overlooked.
func TestRunCase(t *testing.T) {
	h := private()
	for _, tt := range []struct {
		name string
		run  func(t *tester)
		want string // in the first failure, "" for none
	}{
		{"passes", func(*tester) {}, ""},
		{"error", func(t *tester) { t.Errorf("one %d", 1) }, "one 1"},
		{"fatal", func(t *tester) { t.Fatal("stop"); panic("unreachable") }, "stop"},
		{"fail", func(t *tester) { t.Fail() }, "failed without a word"},
		{"deadline beside a transaction", func(t *tester) { t.made.began(); t.ok(context.DeadlineExceeded, "Send") }, "has begun a transaction"},
		{"skip", func(t *tester) { t.Skip("no server") }, "no server"},
		{"panic", func(*tester) { panic("oh no") }, "oh no"},
		{"runtime error", func(t *tester) { _ = []int{}[len(t.Name())] }, "out of range"},
		{"panic in a cleanup", func(t *tester) { t.Cleanup(func() { panic("at the end") }) }, "at the end"},
		{"fatal in a cleanup", func(t *tester) { t.Cleanup(func() { t.Fatal("at the end") }) }, "at the end"},
		{"close fails", func(t *tester) { t.Cleanup(func() { closeClient(t, mq.New(unclosable{t.p}, silent)) }) }, "cannot close"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			failures := runCase(h, testCase{name: "test/" + tt.name, rule: "none", run: tt.run})
			switch {
			case tt.want == "" && len(failures) > 0:
				t.Errorf("failures %q, want none", failures)
			case tt.want != "" && (len(failures) == 0 || !strings.Contains(failures[0], tt.want)):
				t.Errorf("failures %q, want %q", failures, tt.want)
			}
		})
	}
}

type unclosable struct{ driver.Provider }

func (unclosable) Close() error { return errors.New("cannot close") }

// TestRunCaseHangs has a case that does not end, and one that leaves a
// goroutine behind.
func TestRunCaseHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		failures := record(t.Context(), "hangs", func(tb testing.TB) {
			tb.(*recorder).limit.Reset(50 * time.Millisecond)
			<-release
		})
		close(release)
		if len(failures) != 1 || !strings.Contains(failures[0], "hangs") {
			t.Errorf("failures %q, want that it hangs", failures)
		}
	})
	t.Run("leaks", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		failures := runCase(private(), testCase{name: "test/leaks", rule: "none", run: func(t *tester) {
			t.leaks = 50 * time.Millisecond
			go func() { <-release }()
		}})
		close(release)
		if len(failures) != 1 || !strings.Contains(failures[0], "goroutines are left") {
			t.Errorf("failures %q, want a goroutine that is left", failures)
		}
	})
}

func TestCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("takes real time")
	}
	h := private()
	h.Known = map[string]string{"open/ping": "https://example.com/1"}
	results := Check(t.Context(), h)
	if len(results) != len(cases) {
		t.Errorf("%d results of %d cases", len(results), len(cases))
	}
	for _, r := range results {
		known := r.Name == "open/ping"
		if r.Rule == "" || known != (len(r.Failures) > 0) {
			t.Errorf("%s (%s): %q", r.Name, r.Rule, r.Failures)
		}
	}
}

// TestCommon shows that nothing is left behind in a namespace that is not the
// suite's own.
func TestCommon(t *testing.T) {
	h := private()
	open := func(testing.TB) *mq.Client {
		c, err := mq.OpenConfig("mem://common", silent)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	h.Open, h.Again = open, func(t testing.TB, _ *mq.Client) *mq.Client { return open(t) }
	h.Common = true
	c := open(t)
	defer closeClient(t, c)
	if _, err := c.EnsureQueue(t.Context(), "of_a_stranger", mq.QueueOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range Check(t.Context(), h) {
		if len(r.Failures) > 0 {
			t.Errorf("%s: %q", r.Name, r.Failures)
		}
	}
	if names, err := c.Queues(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("queues %q, %v, want only the stranger's", names, err)
	}
}

func TestCheckEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range Check(ctx, private()) {
		if r.Skipped == "" || len(r.Failures) > 0 {
			t.Errorf("%s was not skipped after its ctx ended: %q", r.Name, r.Failures)
		}
	}
}

// TestCheckEndedMeanwhile: a case that the end of the ctx has cut off did not
// fail.
func TestCheckEndedMeanwhile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	end := testCase{name: "any/ended", run: func(t *tester) {
		cancel()
		t.Error("cut off")
	}}
	if r := checkCase(ctx, private(), end); r.Skipped == "" || len(r.Failures) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestCheckBadHarness: a driver cannot pass by leaving hooks out.
func TestCheckBadHarness(t *testing.T) {
	noAgain := named()
	noAgain.Again = nil
	typo := private()
	typo.Known = map[string]string{"open/pong": "https://example.com/2"}
	fails := private()
	fails.Open = func(t testing.TB) *mq.Client {
		t.Fatal("no server")
		return nil
	}
	for want, h := range map[string]Harness{
		"Harness.Open": {}, "Harness.Again": noAgain, "open/pong": typo, "no server": fails,
	} {
		results := Check(t.Context(), h)
		if len(results) != 1 || len(results[0].Failures) != 1 || !strings.Contains(results[0].Failures[0], want) {
			t.Errorf("results %+v, want one failure with %q", results, want)
		}
	}
}

// mute is a provider that cannot be pinged.
type mute struct{ driver.Provider }

func (p mute) Ping(ctx context.Context) error {
	if err := p.Provider.Ping(ctx); err != nil {
		return err
	}
	return errors.New("no answer")
}

func (p mute) Caps() driver.Caps { return least(p).Caps() }

// TestKnown shows that a case that is known to fail does not fail the run.
func TestKnown(t *testing.T) {
	Run(t, Harness{
		Open:   func(testing.TB) *mq.Client { return mq.New(mute{plain{mem.New()}}, silent) },
		Known:  map[string]string{"open/ping": "https://example.com/3"},
		Bubble: true,
	})
}

func TestJudge(t *testing.T) {
	if failures, skipped := judge("link", []string{"still wrong"}); len(failures) > 0 || !strings.Contains(skipped, "still wrong") || !strings.Contains(skipped, "link") {
		t.Errorf("judge of a case that fails: %q, %q", failures, skipped)
	}
	if failures, _ := judge("link", nil); len(failures) != 1 {
		t.Errorf("judge of a case that passes: %q", failures)
	}
}

// plain is a provider whose nacks leave no trace.
type plain struct{ driver.Provider }

func (p plain) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := p.Provider.Receive(ctx, queue, r)
	for i := range ds {
		ds[i].Attempt, ds[i].Unanswered = 0, 0
	}
	return ds, err
}

func (p plain) Settle(ctx context.Context, queue string, s []driver.Settlement) error {
	s = slices.Clone(s)
	for i := range s {
		if s[i].Op == driver.OpNack {
			s[i].Reason, s[i].Uncounted = "", false
		}
	}
	return p.Provider.Settle(ctx, queue, s)
}

// least is a provider with nothing but the methods it must have. LateSettle is
// no promise but a fact.
type least struct{ driver.Provider }

func (p least) Caps() driver.Caps {
	return driver.Caps{LateSettle: true, MaxBatch: 10, Resolution: time.Millisecond}
}

// modest is the harness of a provider that declares nothing.
func modest() Harness {
	return Harness{Open: func(testing.TB) *mq.Client { return mq.New(least{plain{mem.New()}}, silent) }}
}

// TestModest shows that what is not declared is not required.
func TestModest(t *testing.T) {
	h := modest()
	h.Bubble = true
	Run(t, h)
}

func TestWant(t *testing.T) {
	h := modest()
	h.Want = everything
	failures := strings.Join(runCase(h, caseNamed(t, "open/wanted")), "\n")
	for _, field := range []string{"Delay", "Headers", "AtomicMove", "Order", "MaxBatch"} {
		if !strings.Contains(failures, "Caps."+field+" ") {
			t.Errorf("Caps.%s is wanted and not declared, and the failures are %q", field, failures)
		}
	}
}

// down is a driver whose backend is not there; it tells the password to
// whoever listens if it is indiscreet.
type down struct{ indiscreet bool }

func (d down) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	err := driver.ErrBadConn
	if d.indiscreet {
		err = fmt.Errorf("%w: %s", err, dsn)
	}
	return downProvider{mute{mem.New()}, err}, nil
}

type downProvider struct {
	driver.Provider
	err error
}

func (p downProvider) Ping(context.Context) error { return p.err }

func (p downProvider) Send(context.Context, string, []driver.Message) ([]string, error) {
	return nil, p.err
}

func (p downProvider) Receive(context.Context, string, driver.ReceiveRequest) ([]driver.Delivery, error) {
	return nil, p.err
}

func (p downProvider) Stats(context.Context, string) (driver.Stats, error) {
	return driver.Stats{}, p.err
}

func init() {
	mq.Register("drivertest-down", down{})
	mq.Register("drivertest-indiscreet", down{indiscreet: true})
}

func TestDSN(t *testing.T) {
	bad, downCase := caseNamed(t, "open/bad-dsn"), caseNamed(t, "open/down")
	for _, tt := range []struct {
		name   string
		h      Harness
		c      testCase
		failed bool
	}{
		{"refused", Harness{BadDSN: []string{"mem://user:s3cret@host"}}, bad, false},
		{"taken", Harness{BadDSN: []string{"mem://"}}, bad, true},
		{"down", Harness{DownDSN: "drivertest-down://user:s3cret@host"}, downCase, false},
		{"indiscreet", Harness{DownDSN: "drivertest-indiscreet://user:s3cret@host"}, downCase, true},
		{"up", Harness{DownDSN: "mem://"}, downCase, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.h.Open = private().Open
			if failures := runCase(tt.h, tt.c); (len(failures) > 0) != tt.failed {
				t.Errorf("failures %q", failures)
			}
		})
	}
}

func caseNamed(t *testing.T, name string) testCase {
	t.Helper()
	i := slices.IndexFunc(cases, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no case %q", name)
	}
	return cases[i]
}

// unlisted is mem without a list of queues.
type unlisted struct{ *mem.Provider }

func (unlisted) ListQueues(context.Context) ([]string, error) { return nil, driver.ErrNotSupported }

func TestReport(t *testing.T) {
	some := Harness{Open: func(testing.TB) *mq.Client { return mq.New(unlisted{mem.New()}, silent) }}
	header, width := ReportHeader(), len(columns)+1
	if strings.Count(header, "\n") != 2 || strings.Count(header, "|") != 2*width {
		t.Errorf("header\n%s", header)
	}
	for want, h := range map[string]Harness{
		"| mem | due | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | no | yes | yes | yes | 1000 | 16 MiB | none | none | none |":       named(),
		"| mem | due | yes | yes | yes | yes | yes | yes | yes | yes | yes | drop, purge | yes | yes | yes | yes | yes | no | no | no | yes | yes | 1000 | 16 MiB | none | none | none |": some,
		"| mem | unordered | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | no | 10 | none | none | none | 1ms |":                         modest(),
	} {
		if got := Report(h); got != want+"\n" {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// TestOnly: a run can be limited to some cases, and not to none.
func TestOnly(t *testing.T) {
	h := private()
	h.Known = map[string]string{"open/close-twice": "https://example.com/4"} // not in this run
	for only, want := range map[string]int{"open/ping": 1, "open/none": 0} {
		h.Only = func(name string) bool { return name == only }
		var n int
		failures := record(t.Context(), only, func(tb testing.TB) { n = len(newPlan(tb, h).apply) })
		if n != want || (len(failures) == 0) != (want > 0) {
			t.Errorf("%s: %d cases apply, want %d; %q", only, n, want, failures)
		}
	}
}
