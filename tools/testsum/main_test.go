package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name, skips, events, last string
		ok                        bool
	}{
		{
			name:   "subtests count, their parent does not",
			events: `run A|run A/1|pass A/1|run A/b/2|pass A/b/2|pass A|run B|pass B|pass`,
			last:   "3 passed, 0 failed, 0 skipped", ok: true,
		},
		{
			name:   "one failure counts once",
			events: `run A|run A/b|run A/b/1|fail A/b/1|fail A/b|fail A|run B|pass B|fail`,
			last:   "1 passed, 1 failed, 0 skipped",
		},
		{
			name:   "a parent fails by itself",
			events: `run A|run A/1|pass A/1|fail A|fail`,
			last:   "1 passed, 1 failed, 0 skipped",
		},
		{
			name:   "a crash ends no test",
			events: `run A|pass A|run B|output B boom|fail`,
			last:   "1 passed, 1 failed, 0 skipped",
		},
		{
			name:   "an unexpected skip",
			skips:  "pkg.A/[a-z]",
			events: `run A|run A/1|skip A/1|run A/2|pass A/2|pass A|pass`,
			last:   "1 passed, 0 failed, 1 skipped",
		},
		{
			name:   "an allowed skip",
			skips:  "# numbers\n\npkg.A/[0-9] # why",
			events: `run A|run A/1|skip A/1|run A/2|pass A/2|pass A|pass`,
			last:   "1 passed, 0 failed, 1 skipped", ok: true,
		},
		{
			name:   "an allowed reason",
			skips:  "reason: long",
			events: `run A|output A too-long|skip A|run B|pass B|pass`,
			last:   "1 passed, 0 failed, 1 skipped", ok: true,
		},
		{
			name:   "another reason",
			skips:  "reason: long",
			events: `run A|output A too-short|skip A|run B|pass B|pass`,
			last:   "1 passed, 0 failed, 1 skipped",
		},
		{
			name:   "a secret in the output of a test that passes",
			events: `run A|output A password=canary-1|pass A|pass`,
			last:   "1 passed, 0 failed, 0 skipped",
		},
		{
			name:   "no test ran",
			events: `skip`,
			last:   "0 passed, 0 failed, 0 skipped",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			s.secrets = regexp.MustCompile("canary|another")
			if err := s.allow(tt.skips); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(tt.events, "|") {
				f := append(strings.Fields(line), "", "")
				s.event(event{Action: f[0], Package: "pkg", Test: f[1], Output: f[2]})
			}
			ok := s.close()
			if got := out.String(); ok != tt.ok || !strings.HasSuffix(got, tt.last+"\n") {
				t.Errorf("ok %v, output:\n%swant %v, %q", ok, got, tt.ok, tt.last)
			}
			if strings.Contains(tt.events, "boom") && !strings.Contains(out.String(), "boom") {
				t.Error("the crash's output is lost")
			}
			if strings.Contains(tt.events, "canary") && !strings.Contains(out.String(), "pkg.A: password") {
				t.Error("it does not say what was printed")
			}
		})
	}
}

func TestSlowest(t *testing.T) {
	var out strings.Builder
	s := newSummary(&out)
	for name, elapsed := range map[string]float64{"A/1": 3, "A/2": 1, "A": 4, "B": 2} {
		s.parents["pkg.A"] = true
		s.endTest(event{Action: "pass", Package: "pkg", Test: name, Elapsed: elapsed})
	}
	s.list(2)
	if got, want := out.String(), "    3.00s  pkg.A/1\n    2.00s  pkg.B\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRuns(t *testing.T) {
	t.Chdir("../..")
	got := fmt.Sprint(runs([]string{".", "./cmd/mq", "./bench", "./internal/integration/server"}))
	if want := "[{. [./... ./cmd/mq/... ./internal/integration/server/...]} {bench [./...]}]"; got != want {
		t.Errorf("runs = %s, want %s", got, want)
	}
}
